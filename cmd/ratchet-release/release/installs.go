package release

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// maxSlot is the highest slot number that everyInstall asks about.
const maxSlot = 7

// conditionImageMatch is the command that compares an image with its digest. For a device that holds
// nothing it can fail only for content that comes with the manifest.
const conditionImageMatch = 3

// Installs lists the images that any device could be told to install by m, those of every slot,
// each once. A manifest says what to install only to a device that fits it; so the manifest's own
// identifiers and versions are taken to make devices that do. An embedded payload that is not the
// image it should be is a *manifest.Error.
func Installs(m manifest.Manifest) ([]manifest.Install, error) {
	ids, versions := candidates(m.Envelope())
	var (
		list []manifest.Install
		why  string
		fail = func(text string) {
			if why == "" {
				why = text
			}
		}
	)
	for slot := range maxSlot + 1 {
		d := manifest.Device{
			Vendors: ids, Classes: ids, Devices: ids,
			Now: time.Unix(1, 0), TimeKnown: true, BatteryMWh: math.MaxInt64,
			Components: map[string]manifest.Target{},
		}
		var names []string
		for _, id := range m.Components() {
			names = append(names, id.String())
		}
		for _, name := range Passing(names) {
			d.Components[name] = manifest.Target{Slot: slot}
		}
		for _, d.Version = range versions {
			u, err := m.Resolve(d)
			if err != nil {
				fail(err.Error())
				continue
			}
			if len(u.Findings) > 0 {
				for _, f := range u.Findings {
					if f.Condition == conditionImageMatch {
						return nil, &manifest.Error{Code: manifest.CodeCondition, Section: f.Section,
							Offset: f.Offset, What: f.Detail}
					}
				}
				fail(u.Findings[0].Detail)
				continue
			}
			for _, in := range u.Installs {
				same := func(o manifest.Install) bool {
					return o.Component == in.Component && o.Image == in.Image && o.URI == in.URI
				}
				if !slices.ContainsFunc(list, same) {
					list = append(list, in)
				}
			}
			break
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("cannot tell which images the manifest installs: no device seems to fit it: %s", why)
	}
	return list, nil
}

// Passing leaves those components out that payloads of others only pass through.
func Passing(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		of, ok := strings.CutSuffix(name, "/"+manifest.PayloadPart)
		return ok && slices.Contains(names, of)
	})
}

// candidates collects from an envelope everything that may be an identifier, and versions at and
// next to every version that a condition may ask for.
func candidates(envelope []byte) (ids []manifest.UUID, versions [][]int64) {
	mode, err := cbor.DecOptions{MaxNestedLevels: 32, IndefLength: cbor.IndefLengthForbidden}.DecMode()
	if err != nil {
		return nil, nil
	}
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		if depth > 32 {
			return
		}
		switch v := v.(type) {
		case cbor.Tag:
			walk(v.Content, depth+1)
		case map[any]any:
			for _, x := range v {
				walk(x, depth+1)
			}
		case []any:
			if n, ok := versionArray(v); ok {
				versions = append(versions, n)
			}
			for _, x := range v {
				walk(x, depth+1)
			}
		case []byte:
			if len(v) == len(manifest.UUID{}) && len(ids) < maxCandidates && !slices.Contains(ids, manifest.UUID(v)) {
				ids = append(ids, manifest.UUID(v))
			}
			var inner any
			if mode.Unmarshal(v, &inner) == nil {
				walk(inner, depth+1)
			}
		}
	}
	var v any
	if mode.Unmarshal(envelope, &v) == nil {
		walk(v, 0)
	}
	return ids, neighbours(versions)
}

// maxCandidates bounds what a strange manifest can cost.
const maxCandidates = 64

// versionArray reads an array of integers that is a version.
func versionArray(list []any) ([]int64, bool) {
	if len(list) > manifest.MaxVersion {
		return nil, false
	}
	var v []int64
	for _, x := range list {
		switch n := x.(type) {
		case uint64:
			if n > math.MaxInt64 {
				return nil, false
			}
			v = append(v, int64(n))
		case int64:
			v = append(v, n)
		default:
			return nil, false
		}
	}
	return v, manifest.CheckVersion(v) == nil
}

// neighbours adds the versions just above and below each, so that one of them meets "greater" and
// "lesser"; first comes the version that is unknown, for manifests that do not ask.
func neighbours(versions [][]int64) [][]int64 {
	list := [][]int64{nil}
	for _, v := range versions[:min(len(versions), maxCandidates)] {
		list = append(list, v)
		for _, step := range []int64{1, -1} {
			near := slices.Clone(v)
			if i := len(near) - 1; near[i]+step >= 0 && near[i] != math.MaxInt64 {
				near[i] += step
				list = append(list, near)
			}
		}
	}
	return list
}
