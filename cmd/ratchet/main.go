// Command ratchet is the update agent of a device: the daemon, and the technician's verbs that talk
// to it over a unix socket.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := cli.Program{Name: "ratchet", Version: agent.Version,
		About: "the update agent of a device, and the technician's verbs", Section: 8,
		Before: "ratchet keeps an embedded Linux device with two slots up to date, and never lets go " +
			"of a system that boots.\n\nUsage: ratchet VERB [flags] [arguments]\n\n",
		Exits: "0 done; 1 failed; 2 usage; 3 refused; 4 deferred; 5 daemon not reachable;\n" +
			"6 not permitted; 7 busy.",
		Verbs:       verbs(),
		Environment: []cli.Item{{Name: "RATCHET_SOCKET", Says: "The control socket, where --socket is not given."}},
		Files: []cli.Item{
			{Name: "/etc/ratchet/ratchet.toml", Says: "The configuration: ratchet.toml(5)."},
			{Name: control.DefaultSocket, Says: "The control socket (control.socket)."},
			{Name: "/var/lib/ratchet/", Says: "The state directory (state.directory): journal.db, device.key and its " +
				"public half device.pem, and last-good.toml, the configuration that worked last."}},
		SeeAlso: "ratchet.toml(5), ratchet-release(1), systemctl(1), and /usr/share/doc/ratchet where it is installed"}
	return p.Run(ctx, args, stdin, stdout, stderr)
}
