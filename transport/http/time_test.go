package http_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	nethttp "net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
)

// bubble runs f on fake time in a world of its own; synctest demands that nothing is left running.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(t, w)
		w.close()
		time.Sleep(time.Minute) // handlers that sleep find their connections closed
	})
}

// defaults are the options as they are for a device.
func (w *world) defaults() http.Options {
	o := w.options()
	o.Backoff, o.Stall = transport.Backoff{}, 0
	return o
}

// A body that stops coming is given up after Stall and resumed.
func TestStall(t *testing.T) {
	content := random(11, 200_000)
	bubble(t, func(t *testing.T, w *world) {
		s, first := newStore(content), true
		w.serve("updates.example:80", "192.0.2.1", func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			if !first {
				s.ServeHTTP(rw, r)
				return
			}
			first = false
			head(rw, 200, `ETag: "v1"`, "Content-Length: 200000")
			_, _ = rw.Write(content[:100_000])
			_ = nethttp.NewResponseController(rw).Flush()
			<-r.Context().Done()
		})
		began := time.Now()
		got, _, err := fetch(t.Context(), newFetcher(t, w.defaults()).Source([]string{payloadURL}, 200_000), 0, "")
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if d := time.Since(began); d < http.DefaultStall || d > http.DefaultStall+2*time.Second {
			t.Errorf("took %v, want a little more than %v", d, http.DefaultStall)
		}
	})
}

// A server that never answers, and one that lets bytes trickle, do not hold us for ever.
func TestSlowLoris(t *testing.T) {
	for name, serve := range map[string]func(nethttp.ResponseWriter, *nethttp.Request){
		"NoAnswer": func(_ nethttp.ResponseWriter, r *nethttp.Request) { <-r.Context().Done() },
		"Header":   func(rw nethttp.ResponseWriter, _ *nethttp.Request) { trickle(rw, "HTTP/1.1 200 OK\r\nX-A: ") },
		"Body": func(rw nethttp.ResponseWriter, _ *nethttp.Request) {
			trickle(rw, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 200000\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.serve("updates.example:80", "192.0.2.1", serve)
				began := time.Now()
				got, _, err := fetch(t.Context(),
					newFetcher(t, w.defaults()).Source([]string{payloadURL}, 200_000), 0, "")
				if kind(err) != errLater {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				// Retries+1 rounds, each Stall and a pause.
				if d, most := time.Since(began), 9*http.DefaultStall+8*http.DefaultBackoffMax; d > most {
					t.Errorf("held for %v, at most %v is right", d, most)
				}
				// Five minutes of waiting for a body are enough, in however many connections.
				n, body := len(w.dialled()), name == "Body"
				if n > http.DefaultRetries+1 || n < 5 || !body && n != http.DefaultRetries+1 {
					t.Errorf("%d requests, want %d", n, http.DefaultRetries+1)
				}
			})
		})
	}
}

// trickle sends a header, then a byte every 20 s.
func trickle(rw nethttp.ResponseWriter, start string) {
	c, _, err := nethttp.NewResponseController(rw).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for _, err = io.WriteString(c, start); err == nil; _, err = c.Write([]byte("x")) {
		time.Sleep(20 * time.Second)
	}
}

// A reader that is slow itself, and a link that is slow but steady, are no stall.
func TestSlowIsNoStall(t *testing.T) {
	content := random(12, 100_000)
	bubble(t, func(t *testing.T, w *world) {
		s := newStore(content)
		w.serve("updates.example:80", "192.0.2.1", s.ServeHTTP)
		w.serve("slow.example:80", "192.0.2.2", func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			head(rw, 200, `ETag: "v1"`, "Content-Length: 100000")
			for b := content; len(b) > 0; b = b[1000:] { // 2000 bytes/s
				_, _ = rw.Write(b[:1000])
				_ = nethttp.NewResponseController(rw).Flush()
				time.Sleep(500 * time.Millisecond)
			}
		})
		f := newFetcher(t, w.defaults())
		body, _, err := f.Source([]string{payloadURL}, 100_000).Open(t.Context(), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for buf := make([]byte, 10_000); err == nil; time.Sleep(10 * time.Minute) {
			var n int
			n, err = body.Read(buf)
			got = append(got, buf[:n]...)
		}
		body.Close()
		if !errors.Is(err, io.EOF) || !bytes.Equal(got, content) || len(w.dialled()) != 1 {
			t.Errorf("slow reader: %d bytes, %v, %d connections", len(got), err, len(w.dialled()))
		}
		got, _, err = fetch(t.Context(), f.Source([]string{"http://slow.example/x"}, 100_000), 0, "")
		if err != nil || !bytes.Equal(got, content) || len(w.dialled()) != 2 {
			t.Errorf("slow server: %d bytes, %v, %d connections", len(got), err, len(w.dialled()))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	content := random(13, 1000)
	for name, tc := range map[string]struct {
		field      string
		least, max time.Duration
	}{
		"seconds":  {"120", 120 * time.Second, 121 * time.Second},
		"none":     {"", 0, http.DefaultBackoffMin},
		"zero":     {"0", 0, http.DefaultBackoffMin},
		"a year":   {"31536000", http.MaxRetryAfter, http.MaxRetryAfter + time.Second},
		"more":     {"99999999999999999999", 0, http.DefaultBackoffMin},
		"past":     {"Fri, 31 Dec 1999 23:59:59 GMT", 0, http.DefaultBackoffMin},
		"nonsense": {"soon", 0, http.DefaultBackoffMin},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				s, n := newStore(content), 0
				w.serve("updates.example:80", "192.0.2.1", func(rw nethttp.ResponseWriter, r *nethttp.Request) {
					if n++; n == 1 {
						head(rw, 503, "Retry-After: "+tc.field)
						return
					}
					s.ServeHTTP(rw, r)
				})
				began := time.Now()
				if _, _, err := fetch(t.Context(),
					newFetcher(t, w.defaults()).Source([]string{payloadURL}, 1000), 0, ""); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d < tc.least || d > tc.max {
					t.Errorf("waited %v, want %v to %v", d, tc.least, tc.max)
				}
			})
		})
	}
	t.Run("another mirror meanwhile", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			s := newStore(content)
			w.serve("a.example:80", "192.0.2.1", func(rw nethttp.ResponseWriter, r *nethttp.Request) {
				head(rw, 503, "Retry-After: 600")
			})
			w.serve("b.example:80", "192.0.2.2", s.ServeHTTP)
			s.breakAfter(0, 0)
			began := time.Now()
			src := newFetcher(t, w.defaults()).Source([]string{"http://a.example/", "http://b.example/"}, 1000)
			if _, _, err := fetch(t.Context(), src, 0, ""); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d > 10*time.Second {
				t.Errorf("waited %v for a mirror that was not needed", d)
			}
			if n := len(w.dialled()); n != 4 {
				t.Errorf("dialled %v", w.dialled())
			}
		})
	})
}

// The pauses between rounds grow with jitter.
func TestPauses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var at []time.Time
		w.serve("updates.example:80", "192.0.2.1", func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			at = append(at, time.Now())
			head(rw, 500)
		})
		_, _, _ = fetch(t.Context(), newFetcher(t, w.defaults()).Source([]string{payloadURL}, 1000), 0, "")
		b := transport.Backoff{Min: http.DefaultBackoffMin, Max: http.DefaultBackoffMax}
		for i := range at[1:] {
			if p := at[i+1].Sub(at[i]); p < b.Delay(i, 0) || p > b.Delay(i, 1) {
				t.Errorf("pause %d is %v, want %v to %v", i, p, b.Delay(i, 0), b.Delay(i, 1))
			}
		}
	})
}

// The limit holds over all bodies together.
func TestLimit(t *testing.T) {
	content := random(14, 500_000)
	bubble(t, func(t *testing.T, w *world) {
		w.serve("updates.example:80", "192.0.2.1", newStore(content).ServeHTTP)
		o := w.defaults()
		o.Limit = 50_000
		src := newFetcher(t, o).Source([]string{payloadURL}, 500_000)
		began := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if got, _, err := fetch(t.Context(), src, 0, ""); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d < 19*time.Second || d > 21*time.Second {
			t.Errorf("1 MB at 50 kB/s took %v", d)
		}
	})
}

// A wait of any kind ends with the context at once.
func TestCancel(t *testing.T) {
	for name, serve := range map[string]nethttp.HandlerFunc{
		"WaitForAnswer": func(_ nethttp.ResponseWriter, r *nethttp.Request) { <-r.Context().Done() },
		"WaitForBody": func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			head(rw, 200, "Content-Length: 1000")
			_ = nethttp.NewResponseController(rw).Flush()
			<-r.Context().Done()
		},
		"WaitToRetry": func(rw nethttp.ResponseWriter, r *nethttp.Request) { head(rw, 503, "Retry-After: 300") },
		"WaitForLimit": func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			head(rw, 200, "Content-Length: "+strconv.Itoa(1<<20))
			_, _ = rw.Write(make([]byte, 1<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.serve("updates.example:80", "192.0.2.1", serve)
				o := w.defaults()
				o.Limit = 1000
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				began := time.Now()
				_, _, err := fetch(ctx, newFetcher(t, o).Source([]string{payloadURL}, 0), 0, "")
				if d := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || d != 30*time.Second {
					t.Errorf("ended after %v with %v", d, err)
				}
			})
		})
	}
	t.Run("Close", func(t *testing.T) { // from another goroutine, while Read waits
		bubble(t, func(t *testing.T, w *world) {
			w.serve("updates.example:80", "192.0.2.1", func(rw nethttp.ResponseWriter, r *nethttp.Request) {
				head(rw, 200, "Content-Length: 1000")
				_ = nethttp.NewResponseController(rw).Flush()
				<-r.Context().Done()
			})
			body, _, err := newFetcher(t, w.defaults()).Source([]string{payloadURL}, 0).Open(t.Context(), 0, "")
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, func() { body.Close() })
			began := time.Now()
			if _, err := io.ReadAll(body); err == nil || time.Since(began) != time.Second {
				t.Errorf("ended after %v with %v", time.Since(began), err)
			}
		})
	})
}
