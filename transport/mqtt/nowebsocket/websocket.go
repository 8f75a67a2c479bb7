// Package websocket stands in the place of github.com/gorilla/websocket (go.mod: replace). The MQTT client that is
// built in could speak over WebSockets, and so could the broker of the tests; here neither does, and what they call
// says so. The device's program is 160 KiB smaller, and its network process has no parser that it never needs.
package websocket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// BinaryMessage is a kind of message.
const BinaryMessage = 2

var errNone = errors.New("this program is built without WebSockets")

// Dialer does not dial.
type Dialer struct {
	Proxy            func(*http.Request) (*url.URL, error)
	HandshakeTimeout time.Duration
	TLSClientConfig  *tls.Config
	Subprotocols     []string

	ReadBufferSize, WriteBufferSize int
	EnableCompression               bool
}

// Dial fails.
func (*Dialer) Dial(string, http.Header) (*Conn, *http.Response, error) { return nil, nil, errNone }

// Upgrader does not upgrade.
type Upgrader struct {
	Subprotocols []string
	CheckOrigin  func(*http.Request) bool
}

// Upgrade fails.
func (*Upgrader) Upgrade(http.ResponseWriter, *http.Request, http.Header) (*Conn, error) {
	return nil, errNone
}

// Conn is a connection that nobody has.
type Conn struct{ net.Conn }

// NextReader fails.
func (*Conn) NextReader() (int, io.Reader, error) { return 0, nil, errNone }

// WriteMessage fails.
func (*Conn) WriteMessage(int, []byte) error { return errNone }

// UnderlyingConn is the connection below.
func (c *Conn) UnderlyingConn() net.Conn { return c.Conn }
