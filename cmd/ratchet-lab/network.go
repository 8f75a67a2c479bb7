package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// network is the demo's world outside of the device: a broker and an image server, both TLS 1.3 on
// loopback; the broker asks for client certificates.
type network struct {
	broker string // URL
	images string // URL
	mqtt   *mochi.Server
	http   *http.Server
	rate   atomic.Int64 // bytes a second of the image server, 0: as fast as it goes
	served atomic.Int64 // bytes of images

	mu      sync.Mutex
	records []evidence.Record
	seen    map[uint64]bool
}

func startNetwork(p *pki, images string) (*network, error) {
	n := &network{seen: map[uint64]bool{}}
	cert, err := p.issue("server")
	if err != nil {
		return nil, err
	}
	l, err := freePort()
	if err != nil {
		return nil, err
	}
	n.broker = "mqtts://" + l.Addr().String()
	n.mqtt = mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := n.mqtt.AddHook(new(auth.AllowHook), nil); err != nil {
		return nil, err
	}
	if err := n.mqtt.AddListener(listeners.NewNet("demo", tls.NewListener(l, p.server(cert, true)))); err != nil {
		return nil, err
	}
	if err := n.mqtt.Serve(); err != nil {
		return nil, err
	}
	w, err := freePort()
	if err != nil {
		return nil, err
	}
	n.images = "https://" + w.Addr().String() + "/images"
	if err := os.MkdirAll(images, 0o755); err != nil {
		return nil, err
	}
	files := http.StripPrefix("/images/", http.FileServer(http.Dir(images)))
	n.http = &http.Server{ReadHeaderTimeout: 5 * time.Second, TLSConfig: p.server(cert, false), ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if m, err := filepath.Glob(filepath.Join(images, filepath.Base(r.URL.Path))); err == nil && len(m) == 1 {
				// A published image has its digest in its name and never changes.
				w.Header().Set("ETag", `"`+filepath.Base(m[0])+`"`)
			}
			files.ServeHTTP(&slowWriter{ResponseWriter: w, n: n}, r)
		})}
	go func() { _ = n.http.ServeTLS(w, "", "") }()
	return n, nil
}

// slowWriter counts and, where a rate is set, slows down.
type slowWriter struct {
	http.ResponseWriter
	n *network
}

func (s *slowWriter) Write(p []byte) (int, error) {
	k, err := s.ResponseWriter.Write(p)
	s.n.served.Add(int64(k))
	if rate := s.n.rate.Load(); rate > 0 {
		time.Sleep(time.Duration(int64(k) * int64(time.Second) / rate))
	}
	return k, err
}

// watch listens to the device's evidence and verifies each record with the enrolled key.
func (n *network) watch(pub string, show func(evidence.Record)) error {
	b, err := os.ReadFile(pub)
	if err != nil {
		return err
	}
	key, err := trust.ParsePublic(b)
	if err != nil {
		return err
	}
	keys, err := trust.NewKeys([]trust.Key{key}, false)
	if err != nil {
		return err
	}
	return n.mqtt.Subscribe("ratchet/v1/device/demo-1/evidence", 1, func(_ *mochi.Client, _ packets.Subscription, pk packets.Packet) {
		var rec evidence.Record
		_, err := evidence.VerifyExport(bytes.NewReader(pk.Payload), keys, func(r evidence.Record) error { rec = r; return nil })
		if err != nil {
			rec = evidence.Record{Event: evidence.Event{Kind: "forged", Detail: map[string]string{"why": err.Error()}}}
		}
		n.mu.Lock()
		again := n.seen[rec.Seq] // at least once: records may come twice
		n.seen[rec.Seq] = true
		if !again {
			n.records = append(n.records, rec)
		}
		n.mu.Unlock()
		if !again {
			show(rec)
		}
	})
}

// since returns the records after the first k.
func (n *network) since(k int) []evidence.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]evidence.Record(nil), n.records[min(k, len(n.records)):]...)
}

func (n *network) count() int { n.mu.Lock(); defer n.mu.Unlock(); return len(n.records) }

func (n *network) heard() bool { return n.count() > 0 }

// inject publishes past the desk, as somebody who has the broker would.
func (n *network) inject(topic string, body []byte) error {
	return n.mqtt.Publish(topic, body, true, 1)
}

func (n *network) close() {
	_ = n.mqtt.Close()
	_ = n.http.Close()
}
