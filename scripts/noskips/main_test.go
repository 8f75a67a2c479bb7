package main

import (
	"strings"
	"testing"
)

// TestWatch: what a machine lacks is told and counted, what no machine has is not, and failures are shown.
func TestWatch(t *testing.T) {
	const events = `{"Action":"run","Package":"p","Test":"TestLoop"}
{"Action":"output","Package":"p","Test":"TestLoop","Output":"    x_test.go:2: no variables are logged\n"}
{"Action":"output","Package":"p","Test":"TestLoop","Output":"    x_test.go:3: no loop device: exit status 1\n"}
{"Action":"skip","Package":"p","Test":"TestLoop"}
{"Action":"output","Package":"p","Test":"Role","Output":"    x_test.go:4: plays its roles for the other tests only\n"}
{"Action":"skip","Package":"p","Test":"Role"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"a line that nobody wants\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"    x_test.go:5: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}
{"Action":"skip","Package":"q"}
a line of the compiler's
`
	var out strings.Builder
	bad, err := watch(strings.NewReader(events), &out)
	const want = `SKIPPED: p TestLoop
    x_test.go:2: no variables are logged
    x_test.go:3: no loop device: exit status 1
    x_test.go:5: wrong
FAIL	p	0.1s
?   	q	[no test files]
a line of the compiler's
`
	if err != nil || bad != 1 || out.String() != want {
		t.Errorf("%d, %v:\n%s", bad, err, out.String())
	}
}
