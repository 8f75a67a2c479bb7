package daemon_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/boxtest"
)

func TestMain(m *testing.M) { boxtest.Main(m, rogues) }
