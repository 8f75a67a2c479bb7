package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// maxAnswer is the most that a proxy's answer to CONNECT may have, in bytes.
const maxAnswer = 16 << 10

// connect asks for a tunnel to address and gives the connection that is one then. ctx ends the wait.
func (r *route) connect(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	auth, err := r.authorization()
	if err != nil {
		return nil, err
	}
	// The wait is over when ctx is: a deadline of the past ends a read that has begun.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := ask(conn, address, auth); err != nil {
		return nil, because(ctx, err)
	}
	b := bufio.NewReaderSize(io.LimitReader(conn, maxAnswer), maxAnswer)
	resp, err := http.ReadResponse(b, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, because(ctx, fmt.Errorf("it does not answer as a proxy: %w", err))
	}
	// The body of a refusal is not read: the connection ends here.
	switch {
	case resp.ProtoMajor != 1:
		return nil, errors.New("it does not answer in HTTP/1")
	case resp.StatusCode == http.StatusProxyAuthRequired && auth == "":
		return nil, errors.New("it asks for a user name and a password (407), and none are configured")
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return nil, errors.New("it does not take the user name or the password (407)")
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("it answers %d %s: ask its operator to allow CONNECT to this host and port",
			resp.StatusCode, http.StatusText(resp.StatusCode))
	case b.Buffered() > 0: // both TLS and MQTT begin with the client
		return nil, errors.New("it sends bytes before the tunnel is used")
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	return conn, nil
}

func ask(conn net.Conn, address, auth string) error {
	var q bytes.Buffer
	fmt.Fprintf(&q, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ratchet\r\n", address, address)
	if auth != "" {
		fmt.Fprintf(&q, "Proxy-Authorization: %s\r\n", auth)
	}
	q.WriteString("\r\n")
	_, err := conn.Write(q.Bytes())
	return err
}

// because is ctx's reason where ctx is why a call ended.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// authorization is the value of Proxy-Authorization (RFC 7617); "" without a user name.
func (r *route) authorization() (string, error) {
	if r.username == "" {
		return "", nil
	}
	var password []byte
	if r.password != nil {
		var err error
		if password, err = r.password(); err != nil {
			return "", fmt.Errorf("cannot read its password: %w", err)
		}
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(r.username+":"+string(password))), nil
}
