package stage

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Names in the client certificates, which the broker takes as user names.
const (
	DeviceName = "demo-1"
	DeskName   = "release-desk"
	labName    = "demo-lab"
)

// Network is the world outside of the device: a broker and an image server, both TLS 1.3 on loopback; the broker asks
// for client certificates. It listens to one device, the one named DeviceName.
type Network struct {
	Broker string // URL
	Images string // URL
	stop   func() // ends the broker
	http   *http.Server
	link   paho.Client
	Rate   atomic.Int64 // bytes a second of the image server, 0: as fast as it goes
	Served atomic.Int64 // bytes of images so far
	Damage atomic.Bool  // the image server sends other bytes than it has

	mu      sync.Mutex
	records []evidence.Record
	signed  map[recordID][]byte // as they came
}

// recordID names a record.
type recordID struct {
	chain [16]byte
	seq   uint64
}

// Addresses are where the servers listen, "host:port"; "" is any port of loopback.
type Addresses struct {
	Broker string
	Images string
}

const anywhere = "127.0.0.1:0"

// StartNetwork starts the image server, of the files in the folder images, and a broker: an embedded one, or Mosquitto
// with the example configuration of transport/mqtt where its folder is given. It returns when both answer. Close it.
func StartNetwork(p *PKI, images, example string, at Addresses) (*Network, error) {
	n := &Network{signed: map[recordID][]byte{}, stop: func() {}}
	cert, err := p.Issue("server")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cmp.Or(at.Broker, anywhere))
	if err != nil {
		return nil, err
	}
	n.Broker = "mqtts://" + l.Addr().String()
	if example == "" {
		err = n.embedded(l, p.server(cert, true))
	} else {
		err = n.mosquitto(l, p, example)
	}
	if err != nil {
		return nil, err
	}
	if err := n.serveImages(cmp.Or(at.Images, anywhere), images, p.server(cert, false)); err != nil {
		return nil, err
	}
	return n, n.connect(p)
}

func (n *Network) embedded(l net.Listener, t *tls.Config) error {
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		return err
	}
	if err := s.AddListener(listeners.NewNet("demo", tls.NewListener(l, t))); err != nil {
		return err
	}
	n.stop = func() { _ = s.Close() }
	return s.Serve()
}

// mosquitto runs the real broker with the shipped example, its paths and port changed.
func (n *Network) mosquitto(l net.Listener, p *PKI, example string) error {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	conf, err := os.ReadFile(filepath.Join(example, "mosquitto.conf"))
	if err != nil {
		return err
	}
	acl, err := os.ReadFile(filepath.Join(example, "ratchet.acl"))
	if err != nil {
		return err
	}
	acl = append(acl, labAccess()...)
	dir := filepath.Join(filepath.Dir(p.Dir), "mosquitto")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o777); err != nil { // mosquitto gives root's rights up
		return err
	}
	text := strings.NewReplacer("listener 8883", "user root\nlistener "+port+" 127.0.0.1",
		"/etc/mosquitto/certs/ca.crt", p.CA(),
		"/etc/mosquitto/certs/server.crt", filepath.Join(p.Dir,
			"server.pem"), "/etc/mosquitto/certs/server.key", filepath.Join(p.Dir, "server.key"),
		"/etc/mosquitto/ratchet.acl", filepath.Join(dir, "acl"), "/var/lib/mosquitto/", dir+"/").Replace(string(conf))
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "acl"), acl, 0o600),
		os.WriteFile(filepath.Join(dir, "conf"), []byte(text), 0o600)); err != nil {
		return err
	}
	tool, ok := image.Find("mosquitto")
	if !ok {
		return errors.New("mosquitto is not installed; run scripts/deps.sh interop")
	}
	cmd := exec.Command(tool, "-c", filepath.Join(dir, "conf"))
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	n.stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = out.Close()
	}
	return nil
}

// labAccess is what the demonstration's device and the lab may do beyond the shipped access list.
func labAccess() string {
	const channel = "stable"
	var b strings.Builder
	fmt.Fprintf(&b, "\nuser %s\n", DeviceName)
	for _, topic := range []string{wire.ChannelTopic(channel), wire.PlanTopic(channel), wire.PulseTopic(channel)} {
		fmt.Fprintf(&b, "topic read %s\n", topic)
	}
	fmt.Fprintf(&b, "\nuser %s\ntopic read %s\n", labName, wire.DeviceTopic(wire.Any, wire.Evidence))
	for _, topic := range []string{wire.DeviceTopic(wire.Any, wire.Offer), wire.DeviceTopic(wire.Any, wire.Resend),
		wire.ChannelTopic(channel), wire.RootTopic(), wire.RootVersionTopic(2)} {
		fmt.Fprintf(&b, "topic write %s\n", topic)
	}
	return b.String()
}

func (n *Network) serveImages(at, images string, t *tls.Config) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	n.Images = "https://" + l.Addr().String() + "/images"
	if err := os.MkdirAll(images, 0o755); err != nil {
		return err
	}
	files := http.StripPrefix("/images/", http.FileServer(http.Dir(images)))
	n.http = &http.Server{ReadHeaderTimeout: 5 * time.Second, TLSConfig: t, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// A published image has its digest in its name and never changes.
			w.Header().Set("ETag", fmt.Sprintf("%q", filepath.Base(r.URL.Path)))
			files.ServeHTTP(&slowWriter{ResponseWriter: w, n: n}, r)
		})}
	go func() { _ = n.http.ServeTLS(l, "", "") }()
	return nil
}

// slowWriter counts and, where a rate is set, slows down.
type slowWriter struct {
	http.ResponseWriter
	n *Network
}

// Write implements io.Writer.
func (s *slowWriter) Write(p []byte) (int, error) {
	if s.n.Damage.Load() && len(p) > 0 {
		p = bytes.Clone(p)
		p[len(p)/2] ^= 1
	}
	k, err := s.ResponseWriter.Write(p)
	s.n.Served.Add(int64(k))
	if rate := s.n.Rate.Load(); rate > 0 {
		time.Sleep(time.Duration(int64(k) * int64(time.Second) / rate))
	}
	return k, err
}

// connect makes the lab a client of the broker, waiting until the broker is up.
func (n *Network) connect(p *PKI) error {
	if _, err := p.Issue(labName); err != nil {
		return err
	}
	files := secure.Files{CA: p.CA(), Certificate: filepath.Join(p.Dir, labName+".pem"),
		Key: filepath.Join(p.Dir, labName+".key")}
	t, err := files.Config()
	if err != nil {
		return err
	}
	o := paho.NewClientOptions().AddBroker(strings.Replace(n.Broker, "mqtts://", "ssl://",
		1)).SetClientID(labName).SetOrderMatters(true).
		SetTLSConfig(secure.Client(t, tls.VersionTLS13))
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		n.link = paho.NewClient(o)
		err := wait(n.link.Connect())
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("cannot reach the broker: %w", err)
		}
	}
}

func wait(t paho.Token) error {
	if !t.WaitTimeout(10 * time.Second) {
		return errors.New("the broker does not answer")
	}
	return t.Error()
}

// Watch listens to the device's evidence and verifies each record with the device's public key, in the file pub. show
// is called with each record once, in the order in which they come, and with one of kind "forged" for what does not
// verify.
func (n *Network) Watch(pub string, show func(evidence.Record)) error {
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
	err = wait(n.link.Subscribe(wire.DeviceTopic(DeviceName, wire.Evidence), 1, func(_ paho.Client, m paho.Message) {
		var rec evidence.Record
		_, err := export.Verify(bytes.NewReader(m.Payload()), keys,
			func(r evidence.Record) error { rec = r; return nil })
		if err != nil {
			rec = evidence.Record{Event: evidence.Event{Kind: "forged", Detail: map[string]string{"why": err.Error()}}}
		}
		n.mu.Lock()
		id := recordID{rec.Chain, rec.Seq}
		_, again := n.signed[id] // at least once: records may come twice
		n.signed[id] = m.Payload()
		if !again {
			n.records = append(n.records, rec)
		}
		n.mu.Unlock()
		if !again {
			show(rec)
		}
	}))
	if err != nil {
		return err
	}
	return n.Resend()
}

// Resend makes the device send again what nobody listened to: from record 1 (CBOR).
func (n *Network) Resend() error {
	return wait(n.link.Publish(wire.DeviceTopic(DeviceName, wire.Resend), 1, false, []byte{1}))
}

// Forget begins anew, for a device whose past was changed.
func (n *Network) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records, n.signed = nil, map[recordID][]byte{}
}

// Export is all records that came, signed, in the order of their chains; how many chains those are; and the last
// sequence number.
func (n *Network) Export() (all []byte, chains int, last uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := slices.SortedFunc(maps.Keys(n.signed), func(a, b recordID) int {
		return cmp.Or(bytes.Compare(a.chain[:], b.chain[:]), cmp.Compare(a.seq, b.seq))
	})
	var before recordID
	for i, id := range ids {
		if i == 0 || id.chain != before.chain {
			chains++
		}
		all, last, before = append(all, n.signed[id]...), id.seq, id
	}
	return all, chains, last
}

// Since returns the records after the first k, in the order in which they came.
func (n *Network) Since(k int) []evidence.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]evidence.Record(nil), n.records[min(k, len(n.records)):]...)
}

// Count is how many records came.
func (n *Network) Count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.records)
}

// Inject publishes past the desk, retained, as somebody who has the broker would. An empty body takes away what is
// there.
func (n *Network) Inject(topic string, body []byte) error {
	return wait(n.link.Publish(topic, 1, true, body))
}

// Close ends the servers.
func (n *Network) Close() {
	if n.link != nil {
		n.link.Disconnect(100)
	}
	n.stop()
	if n.http != nil {
		_ = n.http.Close()
	}
}
