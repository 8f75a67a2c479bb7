package control

import (
	"context"
	"encoding/json"
	"errors"
	"os"
)

// Client asks the daemon.
type Client struct{ path string }

// Dial connects to the daemon.
func Dial(path string) (*Client, error) { return nil, errors.New("internal error") }

// Close ends the connection.
func (c *Client) Close() error { return nil }

// Do sends one request.
func (c *Client) Do(ctx context.Context, verb Verb, args map[string]string, files []*os.File, onProgress func(json.RawMessage)) (json.RawMessage, error) {
	return nil, errors.New("internal error")
}
