package manifest_test

import "github.com/ratchet-ota/ratchet/agent/manifest"

// conditionRules are about conditions.
func conditionRules() []rule {
	return []rule{
		{"8.4.9", "missing parameter", craft{shared: seq{1, 15}}, nil, findings("rootfs 1")},

		{"8.4.9.1", "wrong vendor and wrong class", craft{install: inst()}, func(d *manifest.Device) { d.Vendors, d.Classes = nil, nil }, findings("rootfs 1", "rootfs 2")},
		{"8.4.9.1", "several vendors", craft{install: inst()}, func(d *manifest.Device) { d.Vendors = append([]manifest.UUID{class}, d.Vendors...) }, fetched},
		{"8.4.9.1", "device", craft{shared: identify(20, pars{24: class[:]}, 24, 15), install: inst()}, func(d *manifest.Device) { d.Devices = []manifest.UUID{vendor, class} }, fetched},
		{"8.4.9.1", "another device", craft{shared: identify(20, pars{24: class[:]}, 24, 15), install: inst()}, nil, findings("rootfs 24")},

		{"8.4.9.2", "fetch without image-match", craft{install: join(uri(u), seq{21, 2})}, nil, refuses(manifest.CodeOperation, "never compared")},
		{"8.4.9.2", "image-match in validate binds", craft{install: join(uri(u), seq{21, 2}), validate: seq{3, 15}}, nil, fetched},
		{"8.4.9.2", "no digest", craft{shared: seq{20, pars{1: vendor[:]}, 1, 15}, install: inst()}, nil, findings("rootfs 3")},
		{"8.4.9.2", "no size", craft{shared: seq{20, pars{3: pdigest(digA)}}, install: inst()}, nil, refuses(manifest.CodeOperation, "image-size")},
		{"8.4.9.2", "size is said with a later match", craft{shared: seq{20, pars{3: pdigest(digA)}}, install: inst(), validate: seq{20, pars{14: 7}, 3, 15}}, nil, fetched},
		{"8.4.9.2", "two digests for one fetch", craft{install: inst(20, b, 3, 15)}, nil, findings("rootfs 3")},
		{"8.4.9.2", "two sizes for one fetch", craft{install: inst(20, pars{14: 8}, 3, 15)}, nil, findings("rootfs 3")},
		{"8.4.9.2", "before a fetch: known content", craft{shared: identify(), install: seq{3, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"8.4.9.2", "before a fetch: other content", craft{install: seq{3, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digB} }, findings("rootfs 3")},
		{"8.4.9.2", "before a fetch: unknown content", craft{install: seq{3, 15}}, nil, findings("rootfs 3")},
		{"8.4.9.2", "fetch only what is not there", craft{install: seq{15, list{nest(3, 15), nest(inst()...)}}, validate: seq{3, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"8.4.9.2", "fetch what is not there", craft{install: seq{15, list{nest(3, 15), nest(inst()...)}}, validate: seq{3, 15}}, nil, fetched},

		{"8.4.9.3", "check-content", craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 6, 15}}, nil, installs(`rootfs  A "image A"`)},
		{"8.4.9.3", "check-content differs", craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 20, pars{18: []byte("image ?")}, 6, 15}}, nil, findings("rootfs 6")},
		{"8.4.9.3", "check-content of known content", craft{install: seq{20, pars{18: []byte("image A")}, 6, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"8.4.9.3", "check-content of unknown content", craft{install: seq{20, pars{18: []byte("image A")}, 6, 15}}, nil, findings("rootfs 6")},
		{"8.4.9.3", "check-content after a fetch cannot be known", craft{install: join(uri(u), seq{21, 2, 20, pars{18: []byte("image A")}, 6, 15, 3, 15})}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, findings("rootfs 6")},

		{"8.4.9.4", "slot", craft{install: inst(20, pars{5: 1}, 5, 5)}, nil, fetched},
		{"8.4.9.4", "other slot", craft{install: inst(20, pars{5: 0}, 5, 5)}, nil, findings("rootfs 5")},
		{"8.4.9.4", "an image per slot", craft{shared: identify(15, list{nest(20, pars{5: 0}, 5, 5, 20, a), nest(20, pars{5: 1}, 5, 5, 20, b)}), install: inst()}, nil, installs("rootfs " + u + " B")},
		{"8.4.9.4", "no image for the slot", craft{shared: seq{15, list{nest(20, pars{5: 0}, 5, 5, 20, a), nest(20, pars{5: 2}, 5, 5, 20, b)}}, install: seq{21, 2, 3, 15}}, nil, findings("rootfs 5")},

		{"8.4.9.5", "abort", craft{install: join(inst(), seq{14, 15})}, nil, findings("rootfs 14")},

		{"U5.1", "before the expiry", craft{shared: identify(20, pars{4: noon.Unix() + 1}, 4, 15), install: inst()}, nil, fetched},
		{"U5.1", "at the expiry", craft{shared: identify(20, pars{4: noon.Unix()}, 4, 15), install: inst()}, nil, findings("rootfs 4")},
		{"U5.1", "expiry, time unknown", craft{shared: identify(20, pars{4: noon.Unix() + 1}, 4, 15), install: inst()}, func(d *manifest.Device) { d.TimeKnown = false }, findings("rootfs 4")},
		{"U5.1", "expiry beyond every calendar", craft{shared: identify(20, pars{4: ^uint64(0)}, 4, 15), install: inst()}, nil, fetched},

		{"U5.2", "image-not-match, unknown content", craft{install: seq{15, list{nest(append(seq{25, 15}, inst()...)...), nil}}}, nil, fetched},
		{"U5.2", "image-not-match, the image is there", craft{install: seq{15, list{nest(append(seq{25, 15}, inst()...)...), nil}}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"U5.2", "image-not-match after a fetch cannot be known", craft{install: join(uri(u), seq{21, 2, 25, 15, 3, 15})}, nil, findings("rootfs 25")},

		{"U5.3", "battery", craft{shared: identify(20, pars{26: 5000}, 26, 15), install: inst()}, nil, fetched},
		{"U5.3", "battery low", craft{shared: identify(20, pars{26: 5001}, 26, 15), install: inst()}, nil, findings("rootfs 26")},
		{"U5.3", "battery unknown", craft{shared: identify(20, pars{26: 0}, 26, 15), install: inst()}, func(d *manifest.Device) { d.BatteryMWh = -1 }, findings("rootfs 26")},

		{"U5.4", "authorised", craft{shared: identify(20, pars{27: -3}, 27, 15), install: inst()}, func(d *manifest.Device) { d.Authorized = func(p int64) bool { return p == -3 } }, fetched},
		{"U5.4", "not authorised", craft{shared: identify(20, pars{27: 3}, 27, 15), install: inst()}, func(d *manifest.Device) { d.Authorized = func(p int64) bool { return p != 3 } }, findings("rootfs 27")},

		{"U5.5", "version", craft{shared: identify(20, pars{28: enc(list{2, list{1, 4}})}, 28, 15), install: inst()}, nil, fetched},
		{"U5.5", "version too old", craft{shared: identify(20, pars{28: enc(list{2, list{1, 5}})}, 28, 15), install: inst()}, nil, findings("rootfs 28")},
		{"U5.5", "version unknown, upper limit", craft{shared: identify(20, pars{28: enc(list{4, list{9}})}, 28, 15), install: inst()}, func(d *manifest.Device) { d.Version = nil }, findings("rootfs 28")},
		{"U5.5", "version unknown", craft{shared: identify(20, pars{28: enc(list{2, list{1}})}, 28, 15), install: inst()}, func(d *manifest.Device) { d.Version = nil }, findings("rootfs 28")},
	}
}
