package manifest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// staged is a component and the one that its payload passes through.
var staged = list{rootfs[0], list{[]byte("rootfs"), []byte(manifest.PayloadPart)}}

// Names of encryption-infos in testdata.
const (
	gcm = "a128kw-a128gcm"
	ctr = "ecdh-a128ctr"
)

func info(name string) []byte {
	b, err := os.ReadFile(filepath.Join(testdata, "encrypted", name+".info"))
	if err != nil {
		panic(err)
	}
	return b
}

// opened fetches into the second component, with parameters and perhaps commands, and decrypts from
// there into the first.
func opened(info []byte, p pars, more ...any) seq {
	s := seq{12, 1, 20, pars{21: u}, 21, 2}
	if p != nil {
		s = append(seq{12, 1, 20, p}, s...)
	}
	return join(s, more, seq{12, 0, 20, pars{19: info, 22: 1}, 22, 2, 3, 15})
}

func holdsA(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }

// installRules are about what is stored.
func installRules() []rule {
	return []rule{
		{"7.5", "integrated",
			craft{install: join(uri("#p"), fetch), payloads: map[string][]byte{"#p": []byte("image A")}}, nil,
			installs(`rootfs #p A "image A"`)},
		{"7.5", "integrated under any name",
			craft{install: join(uri("p"), fetch), payloads: map[string][]byte{"p": []byte("image A")}}, nil,
			installs(`rootfs p A "image A"`)},
		{"7.5", "integrated and wrong",
			craft{install: join(uri("#p"), fetch), payloads: map[string][]byte{"#p": []byte("image ?")}}, nil,
			findings("rootfs 3")},
		{"7.5", "integrated and absent",
			craft{install: join(uri("#p"), fetch)}, nil, refuses(manifest.CodeOperation, "not in the envelope")},
		{"7.5", "integrated and never compared",
			craft{install: join(uri("#p"), seq{21, 2}), payloads: map[string][]byte{"#p": []byte("image A")}}, nil,
			refuses(manifest.CodeOperation, "never compared")},

		{"7.5", "integrated and says its own size",
			craft{shared: seq{20, pars{3: pdigest(digA)}}, install: join(uri("#p"), fetch),
				payloads: map[string][]byte{"#p": []byte("image A")}}, nil, installs(`rootfs #p A "image A"`)},
		{"7.5", "integrated and encoded: the digest is that of the image",
			craft{install: join(seq{20, pars{21: "#p", 25: enc(pars{2: 1})}}, fetch),
				payloads: map[string][]byte{"#p": {1}}}, nil, installs(`rootfs #p A zstd 1 "\x01"`)},
		{"7.5", "integrated, and as long as is said",
			craft{install: join(seq{20, pars{21: "#p", 25: enc(pars{3: 7})}}, fetch),
				payloads: map[string][]byte{"#p": []byte("image A")}}, nil, installs(`rootfs #p A "image A"`)},
		{"7.5", "integrated and copied, and wrong",
			craft{components: two, shared: append(twoID, 12, 1, 20, a),
				payloads: map[string][]byte{"#p": []byte("image ?")}, install: seq{
					12, 0, 20, pars{21: "#p"}, 21, 2, 12, 1, 20, pars{22: 0}, 22, 2, 3, 15}}, nil, findings("boot 3")},

		{"8.4.8.13", "mirrors and encoding",
			craft{install: join(seq{20, pars{21: u, 25: enc(pars{1: list{"https://y/u"}, 2: 1, 3: 5})}}, fetch)}, nil,
			installs("rootfs " + u + " A [https://y/u] zstd 5")},
		{"8.4.8.13", "no encoding, in as many words",
			craft{install: join(seq{20, pars{21: u, 25: enc(pars{2: 0})}}, fetch)}, nil, fetched},
		{"8.4.8.13", "unknown encoding", craft{install: join(seq{20, pars{21: u, 25: enc(pars{2: 9})}}, fetch)}, nil,
			refuses(manifest.CodeParameter, "encoding 9")},
		{"8.4.8.13", "unknown fetch-argument", craft{install: join(seq{20, pars{21: u, 25: enc(pars{9: 9})}}, fetch)},
			nil, refuses(manifest.CodeParameter, "unknown key")},
		{"8.4.8.13", "a raw payload has the image's size",
			craft{install: join(seq{20, pars{21: u, 25: enc(pars{3: 8})}}, fetch)}, nil,
			refuses(manifest.CodeOperation, "raw payload")},

		{"8.4.10.4", "fetch again", craft{install: join(uri("https://x/1"), fetch, inst())}, nil, fetched},
		{"8.4.10.4", "fetch what was written before",
			craft{install: join(seq{20, pars{18: []byte("image ?")}, 18, 15}, inst())}, nil, fetched},
		{"8.4.10.4", "fetch again unbinds",
			craft{install: join(inst(), seq{21, 2})}, nil, refuses(manifest.CodeOperation, "never compared")},

		{"8.4.10.6", "write",
			craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 3, 15}}, nil, installs(`rootfs  A "image A"`)},
		{"8.4.10.6", "write is bound without a condition",
			craft{install: seq{20, pars{18: []byte("image A")}, 18, 15}}, nil, installs(`rootfs  A "image A"`)},
		{"8.4.10.6", "write of something else",
			craft{install: seq{20, pars{18: []byte("image ?")}, 18, 15, 3, 15}}, nil, findings("rootfs 3")},
		{"8.4.10.6", "write without content",
			craft{install: seq{18, 15}}, nil, refuses(manifest.CodeOperation, "content is not set")},

		{"8.4.10.5", "copy what was fetched", craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
			12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{22: 0}, 22, 2, 3, 15}}, nil,
			installs("rootfs "+u+" A", "boot "+u+" A")},
		{"8.4.10.5", "a copy of what was compared is bound with it",
			craft{components: two, shared: append(twoID, 12, 1, 20, pars{14: 7}), install: seq{
				12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{22: 0}, 22, 2}}, nil,
			installs("rootfs "+u+" A", "boot "+u+" A")},
		{"8.4.10.5", "a copy that must be something else",
			craft{components: two, shared: append(twoID, 12, 1, 20, b), install: seq{
				12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{22: 0}, 22, 2, 3, 15}}, nil, findings("boot 3")},
		{"8.4.10.5", "copy what was written", craft{components: two, shared: twoID, install: seq{
			12, 0, 20, pars{18: []byte("image A")}, 18, 15, 12, 1, 20, pars{22: 0}, 22, 2}}, nil,
			installs(`rootfs  A "image A"`, `boot  A "image A"`)},
		{"8.4.10.5", "copy what a component is known to hold",
			craft{components: two, shared: append(twoID, 12, 1, 20, a),
				install: seq{12, 1, 20, pars{22: 0}, 22, 2, 3, 15}},
			holdsA, installs("boot  A from rootfs")},
		{"8.4.10.5", "a copy has the payload size of its source",
			craft{components: list{rootfs[0], list{[]byte("boot")}, list{[]byte("app"), []byte("x")}},
				shared: append(twoID, 12, true, 20, a), install: seq{
					12, 0, 20, pars{21: u, 25: enc(pars{2: 1, 3: 5})}, 21, 2, 3, 15, 12, 1, 20, pars{22: 0}, 22, 2, 3,
					15, 12,
					2, 20, pars{22: 1}, 22, 2, 3, 15}}, nil,
			installs("rootfs "+u+" A zstd 5", "boot "+u+" A zstd 5", "app/x "+u+" A zstd 5")},
		{"8.4.10.5", "which is not the size of an image that is encoded",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, 0, 20, pars{21: u, 25: enc(pars{2: 1})}, 21, 2, 3, 15, 12, 1, 20, pars{22: 0}, 22, 2, 3, 15}}, nil,
			installs("rootfs "+u+" A zstd 0", "boot "+u+" A zstd 0")},
		{"8.4.10.5", "source absent",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{12, 1, 20,
				pars{22: 0}, 22, 2, 3, 15}}, nil, refuses(manifest.CodeOperation, "source component rootfs is absent")},
		{"8.4.10.5", "source-component absent", craft{components: two, shared: twoID, install: seq{12, 1, 22, 2}}, nil,
			refuses(manifest.CodeOperation, "source-component is not set")},
		{"8.4.10.5", "a failed copy aborts a try-each too",
			craft{components: two, shared: twoID, install: seq{12, 1, 15, list{nest(22, 2), nil}}}, nil,
			refuses(manifest.CodeOperation, "source-component is not set")},
		{"8.4.10.5", "onto itself", craft{components: two, shared: twoID, install: seq{12, 1, 20, pars{22: 1}, 22, 2}},
			nil, refuses(manifest.CodeOperation, "copied from itself")},
		{"8.4.8.11", "source component out of range",
			craft{components: two, shared: twoID, install: seq{12, 1, 20, pars{22: 2}, 22, 2}}, nil,
			refuses(manifest.CodeComponent, "source component 2")},
		{"7.4", "a payload is fetched into one component and installed in another",
			craft{components: staged, shared: twoID,
				fetch:   seq{12, 1, 20, pars{3: pdigest(digA), 21: u}, 21, 2, 3, 15},
				install: seq{12, 0, 20, pars{22: 1}, 22, 2, 3, 15}, validate: seq{12, 0, 3, 15}}, nil, fetched},
		{"7.4", "unless the device stores it",
			craft{components: staged, shared: append(twoID, 12, 1, 20, a),
				install: seq{12, 1, 20, pars{21: u}, 21, 2, 3, 15}},
			func(d *manifest.Device) { d.Components["rootfs/payload"] = manifest.Target{Slot: 1} },
			installs("rootfs/payload " + u + " A")},
		{"7.4", "which the device names",
			craft{components: two, shared: twoID, fetch: seq{12, 1, 20, pars{21: u}, 21, 2},
				install: seq{12, 0, 20, pars{22: 1}, 22, 2, 3, 15}},
			func(d *manifest.Device) { d.Components["boot"] = manifest.Target{Passed: true} }, fetched},
		{"7.4", "what is only passed through is not stored",
			craft{components: staged, shared: twoID, fetch: seq{12, 1, 20, pars{21: u}, 21, 2}}, nil, installs()},
		{"7.4", "of a component that the device lacks",
			craft{components: list{rootfs[0], list{[]byte("modem"), []byte("payload")}}, shared: twoID,
				fetch: seq{12, 1, 20, pars{21: u}, 21, 2}}, nil,
			refuses(manifest.CodeComponent, "modem/payload does not exist")},

		{"E5", "copy decrypts", craft{components: staged, shared: twoID, install: opened(info(gcm), nil)}, nil,
			installs("rootfs " + u + " A decrypt 1")},
		{"E5", "copy decrypts a payload whose digest is known",
			craft{components: staged, shared: twoID, install: opened(info(gcm), pars{3: pdigest(digB)}, 3, 15)}, nil,
			installs("rootfs " + u + " A decrypt 1 payload B")},
		{"E5", "the encrypted payload has its own size",
			craft{components: staged, shared: twoID, install: opened(info(gcm), pars{14: 23})}, nil,
			installs("rootfs " + u + " A decrypt 1")},
		{"E5", "which must fit", craft{components: staged, shared: twoID, install: opened(info(gcm), pars{14: 7})}, nil,
			refuses(manifest.CodeOperation, "holds nothing")},
		{"E5", "exactly", craft{components: staged, shared: twoID, install: opened(info(gcm), pars{14: 24})}, nil,
			refuses(manifest.CodeOperation, "raw payload of 24 bytes")},
		{"E5", "nothing but a tag",
			craft{components: staged, shared: append(twoID, 20, pars{25: enc(pars{2: 1})}),
				install: opened(info(gcm), pars{14: 16})}, nil, refuses(manifest.CodeOperation, "holds nothing")},
		{"E5", "a byte more", craft{components: staged, shared: append(twoID, 20, pars{25: enc(pars{2: 1})}),
			install: opened(info(gcm), pars{14: 17})}, nil, installs("rootfs " + u + " A zstd 17 decrypt 1")},
		{"E5", "the payload's own size counts, not that of an image",
			craft{components: staged, shared: twoID, install: opened(info(gcm), pars{14: 99, 25: enc(pars{3: 23})})},
			nil, installs("rootfs " + u + " A decrypt 1")},
		{"E5", "nor does that of what is decrypted, once it is copied on",
			craft{components: append(slices.Clone(staged), list{[]byte("boot")}), shared: append(twoID, 12, 2, 20, a),
				install: join(opened(info(gcm), nil), seq{12, 2, 20, pars{22: 0}, 22, 2, 3, 15})}, nil,
			installs("rootfs "+u+" A decrypt 1", "boot "+u+" A decrypt 1")},
		{"E5", "CTR adds nothing",
			craft{components: staged, shared: twoID, install: opened(info(ctr), pars{25: enc(pars{3: 7})})}, nil,
			installs("rootfs " + u + " A decrypt -65534")},
		{"E5", "the encoding below is said by the target",
			craft{components: staged, shared: append(twoID, 20, pars{25: enc(pars{2: 1})}),
				install: opened(info(gcm), pars{14: 40})}, nil, installs("rootfs " + u + " A zstd 40 decrypt 1")},
		{"E5", "not by the payload",
			craft{components: staged, shared: twoID, install: opened(info(gcm), pars{25: enc(pars{2: 1})})}, nil,
			refuses(manifest.CodeParameter, "encoded or encrypted already")},
		{"E5", "nothing is decrypted twice",
			craft{components: list{rootfs[0], list{[]byte("rootfs"), []byte("payload")}, list{[]byte("boot")}},
				shared: twoID, install: join(opened(info(gcm), nil), seq{12, 2, 20, pars{19: info(gcm), 22: 0}, 22,
					2})}, nil, refuses(manifest.CodeParameter, "encoded or encrypted already")},
		{"E5", "the digest of the plain image is mandatory, that of the encrypted one does not count",
			craft{components: staged, shared: twoID, install: seq{
				12, 1, 20, pars{3: pdigest(digB), 21: u}, 21, 2, 3, 15, 12, 0, 20, pars{19: info(gcm), 22: 1}, 22, 2}},
			nil, refuses(manifest.CodeOperation, "decrypted and never compared")},
		{"E5", "write decrypts", craft{install: seq{20, pars{18: make([]byte, 23), 19: info(gcm)}, 18, 15, 3, 15}}, nil,
			installs("rootfs  A " + fmt.Sprintf("%q", make([]byte, 23)) + " decrypt 1")},
		{"E5", "and decodes", craft{install: seq{20, pars{18: make([]byte, 23), 19: info(gcm), 25: enc(pars{2: 1})}, 18,
			15, 3, 15}}, nil, installs("rootfs  A zstd 23 " + fmt.Sprintf("%q", make([]byte, 23)) + " decrypt 1")},
		{"E5", "and its digest is mandatory",
			craft{install: seq{20, pars{18: make([]byte, 23), 19: info(gcm)}, 18, 15}}, nil,
			refuses(manifest.CodeOperation, "decrypted and never compared")},
		{"E5", "an encrypted payload in the envelope",
			craft{components: staged, shared: twoID, payloads: map[string][]byte{"#p": make([]byte, 23)},
				install: seq{12, 1, 20, pars{21: "#p"}, 21, 2, 12, 0, 20, pars{19: info(gcm), 22: 1}, 22, 2, 3, 15}},
			nil, installs("rootfs #p A " + fmt.Sprintf("%q", make([]byte, 23)) + " decrypt 1")},
		{"E5", "fetch does not decrypt",
			craft{install: seq{20, pars{19: info(gcm), 21: u}, 21, 2, 3, 15}}, nil, fetched},
		{"E5", "set-parameters may set it", craft{components: staged, shared: twoID, install: seq{
			12, 1, 20, pars{21: u}, 21, 2, 12, 0, 19, pars{19: info(ctr), 22: 1}, 22, 2, 3, 15}}, nil,
			installs("rootfs " + u + " A decrypt -65534")},
	}
}

// TestInstallOfAWrite: what the manifest carries is known to the byte, and stands where it was written.
func TestInstallOfAWrite(t *testing.T) {
	m, err := accept(t, craft{components: two, shared: twoID,
		install: seq{12, 1, 20, pars{18: []byte("image B")}, 18, 15}}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	u, err := m.Resolve(device())
	if err != nil || len(u.Installs) != 1 {
		t.Fatal(u, err)
	}
	in := u.Installs[0]
	at := in.Stored
	if in.Component != "boot" || string(in.Content) != "image B" || in.PayloadSize != 7 || in.Size != 7 ||
		in.Image != digB || in.URI != "" ||
		at.Section != 20 || at.Offset != 14 || at.Index != 1 || in.Matched != at {
		t.Errorf("%+v", in)
	}
}
