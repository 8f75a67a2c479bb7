package mqtt_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

// published is a retained PUBLISH at QoS 0.
func published(t *testing.T, topic string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Retain = topic, body, true
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A retained message that is too large is passed over: the connection stays, what comes after it is received, and it
// is said once, until a good one has come.
func TestTooLargeIsPassedOver(t *testing.T) {
	large, good := published(t, channelTopic, make([]byte, 300<<10)), published(t, channelTopic, []byte("good"))
	s := &script{greeting: slices.Concat(large, published(t, offerTopic, []byte("for one")), large, good, large)}
	var log lines
	o := s.options()
	o.Logger = log.logger()
	bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
		got := map[string]bool{string((<-c.Messages()).Body): true, string((<-c.Messages()).Body): true}
		if !got["for one"] || !got["good"] {
			t.Errorf("received %v", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		n := strings.Count(log.String(), "too large")
		if !online(c)() || len(s.connections()) != 1 || n != 2 { // the third follows a good one
			t.Errorf("online %v, %d connections, said %d times\n%s", online(c)(), len(s.connections()), n, log.String())
		}
	})
}

// One that is so large that passing over it costs too much has its topic left out: one connection ends, the next one
// lasts, and after an hour the topic is asked for again.
func TestFarTooLargeLeavesItsTopicOut(t *testing.T) {
	s := &script{greeting: published(t, channelTopic, make([]byte, 3<<20))}
	var mu sync.Mutex
	var asked [][]string
	askedFor := func() [][]string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}
	s.codes = func(topics []string) []byte {
		mu.Lock()
		defer mu.Unlock()
		if asked = append(asked, topics); !slices.Contains(topics, channelTopic) {
			s.greeting = published(t, offerTopic, []byte("for one"))
		} else if len(asked) > 2 {
			s.greeting = published(t, channelTopic, []byte("for all"))
		}
		return make([]byte, len(topics))
	}
	var log lines
	o := s.options()
	o.Logger = log.logger()
	bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
		m := <-c.Messages()
		synctest.Wait() // the message may come before the client says that it is online
		if string(m.Body) != "for one" || !online(c)() {
			t.Errorf("received %q, online %v", m.Body, online(c)())
		}
		time.Sleep(mqtt.AskAgain - time.Minute)
		if list := askedFor(); len(s.connections()) != 2 || len(list) != 2 || slices.Contains(list[1], channelTopic) ||
			!log.has("far too large; the topic is left out")() {
			t.Errorf("%d connections ask for %v\n%s", len(s.connections()), list, log.String())
		}
		m = <-c.Messages()
		if list := askedFor(); string(m.Body) != "for all" || len(s.connections()) != 2 ||
			!slices.Equal(list[2], []string{channelTopic}) {
			t.Errorf("received %q on %d connections, which ask for %v", m.Body, len(s.connections()), list)
		}
	})
}

// While a long message arrives slowly, the answer to a ping waits behind it: the connection stays.
func TestSlowMessageIsNoSilence(t *testing.T) {
	s := &script{greeting: published(t, channelTopic, make([]byte, 60<<10))}
	o := s.options()
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := s.dial(ctx, network, address)
		return slow{c}, err
	}
	bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
		began := time.Now()
		m := <-c.Messages()
		synctest.Wait()
		if took := time.Since(began); len(m.Body) != 60<<10 || took < mqtt.DefaultKeepAlive+2*mqtt.PingWait ||
			len(s.connections()) != 1 || !online(c)() {
			t.Errorf("%d bytes after %v on %d connections", len(m.Body), took, len(s.connections()))
		}
	})
}

// slow is a connection on which 256 bytes come in every two seconds.
type slow struct{ net.Conn }

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(2 * time.Second)
	return s.Conn.Read(p[:min(len(p), 256)])
}
