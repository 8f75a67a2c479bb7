package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Where the source is, and where it is described how a release is made.
const (
	repository = "git+https://github.com/ratchet-ota/ratchet"
	howItIs    = "https://github.com/ratchet-ota/ratchet/blob/main/CONTRIBUTING.md#make-a-release"
)

// resource is an in-toto ResourceDescriptor (in-toto attestation v1).
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// provenance is an in-toto Statement v1 with the predicate SLSA provenance v1.
type provenance struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     struct {
		BuildDefinition struct {
			BuildType            string         `json:"buildType"`
			ExternalParameters   map[string]any `json:"externalParameters"`
			InternalParameters   map[string]any `json:"internalParameters"`
			ResolvedDependencies []resource     `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

// statement says where programs come from: the commit, the Go, the flags, and every module with its hash.
func statement(programs []program, flags string) ([]byte, error) {
	var s provenance
	s.Type, s.PredicateType = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
	modules := map[string]resource{}
	settings := map[string]map[string]string{}
	for _, p := range programs {
		b, err := os.ReadFile(p.path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		digest := map[string]string{"sha256": hex.EncodeToString(sum[:])}
		s.Subject = append(s.Subject, resource{Name: p.name, Digest: digest})
		for _, m := range p.modules() {
			sum, err := m.digest()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.path, err)
			}
			uri := "pkg:golang/" + m.path + "@" + m.version
			modules[uri] = resource{URI: uri, Digest: map[string]string{"dirHash": sum}}
		}
		own := map[string]string{}
		for key, value := range p.set {
			if !strings.HasPrefix(key, "vcs") {
				own[key] = value
			}
		}
		settings[p.processor()] = own
	}
	first := programs[0]
	source := resource{URI: repository, Digest: map[string]string{"gitCommit": first.set["vcs.revision"]}}
	d := &s.Predicate.BuildDefinition
	d.BuildType = howItIs
	d.ExternalParameters = map[string]any{"source": source, "target": "make release"}
	d.InternalParameters = map[string]any{"flags": flags, "go": first.info.GoVersion, "settings": settings}
	d.ResolvedDependencies = []resource{source, {URI: "pkg:golang/std@" + first.info.GoVersion}}
	for _, uri := range slices.Sorted(maps.Keys(modules)) {
		d.ResolvedDependencies = append(d.ResolvedDependencies, modules[uri])
	}
	s.Predicate.RunDetails.Builder.ID = howItIs
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}
