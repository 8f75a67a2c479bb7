package explorer

import "testing"

// Half is a device at its power-on on which somebody has armed slot B, which holds what fill leaves there. It tells
// which slot is started in the end, and what is broken.
func (x *Lab) Half(t *testing.T, loader string, both bool,
	fill func(put func(component string, off int64, b []byte), image func(component string, n byte) []byte),
) (slot string, said []Breach) {
	t.Helper()
	l, ok := FindLoader(loader)
	if !ok {
		t.Fatalf("no loader %q", loader)
	}
	d, err := newDevice(&Scenario{Name: "half", Both: both}, &l, x.p, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	fill(func(c string, off int64, b []byte) { d.W.Poke(d.parts("B")[c], off, b) }, d.p.image)
	d.somebodyArms("B")
	d.W.PowerOn()
	d.boot()
	return d.started, d.breaches
}
