// Command ratchet-release is the release desk: it runs on a workstation or in CI, makes and signs
// releases, publishes them, and shows what the devices make of them.
//
// Files: a release directory made by init (ratchet-release.toml, keys, enrolled devices, published
// images), release files that people write (TOML), envelopes (SUIT, *.suit), payloads named by
// their digest, and collected evidence (CBOR sequences). FORMATS.md describes each.
//
// Every file is replaced as a whole: written beside its place, flushed, renamed. After a crash or a
// power loss each file is the old one or the new one; what may be left over is a hidden temporary
// file. A published payload is never replaced by other bytes, because its name is its digest.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
