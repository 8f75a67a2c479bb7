package release

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

// releaseFile is a release file as it is written.
type releaseFile struct {
	Version      string              `toml:"version"`
	Sequence     any                 `toml:"sequence"` // number or "auto"
	Vendor       string              `toml:"vendor"`
	Class        string              `toml:"class"`
	Classes      []string            `toml:"classes"`
	Device       string              `toml:"device"`
	Priority     *int64              `toml:"priority"`
	ReferenceURI string              `toml:"reference-uri"`
	BaseURL      string              `toml:"base-url"`
	Mirrors      []string            `toml:"mirrors"`
	SeverText    bool                `toml:"sever-text"`
	Components   []componentFile     `toml:"component"`
	Conditions   conditionsFile      `toml:"conditions"`
	Text         map[string]textFile `toml:"text"`
}

type conditionsFile struct {
	Version       []string `toml:"version"`
	UseBefore     any      `toml:"use-before"` // offset date-time, or a string of that form
	MinBatteryMWh int64    `toml:"min-battery-mwh"`
}

type componentFile struct {
	Name     string      `toml:"name"`
	File     string      `toml:"file"`
	URI      string      `toml:"uri"`
	Embed    bool        `toml:"embed"`
	Compress string      `toml:"compress"`
	Level    *int        `toml:"level"`
	BaseURL  string      `toml:"base-url"`
	Mirrors  []string    `toml:"mirrors"`
	Images   []imageFile `toml:"image"`
}

type imageFile struct {
	Slot *int   `toml:"slot"`
	File string `toml:"file"`
	URI  string `toml:"uri"`
}

type textFile struct {
	Description string                       `toml:"description"`
	Update      string                       `toml:"update"`
	Components  map[string]componentTextFile `toml:"component"`
}

type componentTextFile struct {
	VendorName   string `toml:"vendor-name"`
	ModelName    string `toml:"model-name"`
	VendorDomain string `toml:"vendor-domain"`
	ModelInfo    string `toml:"model-info"`
	Description  string `toml:"description"`
	Version      string `toml:"version"`
}

// defaultLevel of zstd: what a device saves in radio bytes it saves each time, the desk pays once.
const defaultLevel = 9

// Plan is a release file that makes sense. What is missing of the release are the images' digests
// and sizes.
type Plan struct {
	release   author.Release // Images are empty
	auto      bool           // the sequence is still to be chosen
	severText bool
	images    [][]imagePlan // by component
}

// imagePlan says where an image comes from and how it is offered.
type imagePlan struct {
	key      string // of the release file, for errors
	doc      conf.Document
	slot     int
	file     string // path
	compress bool
	level    int
	embed    bool
	uri      string   // "" = base + payload name
	base     string   // URL
	mirrors  []string // URLs
}

// Parse reads a release file. What it leaves out comes from the desk. name is its path: the
// images' paths are relative to it.
func Parse(name string, b []byte, d workspace.Folder) (Plan, error) {
	var f releaseFile
	doc, err := conf.Decode(name, b, &f)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{severText: f.SeverText}
	for _, step := range []func(conf.Document, releaseFile, workspace.Folder) error{p.identity, p.conditions,
		p.components, p.texts} {
		if err := step(doc, f, d); err != nil {
			return Plan{}, err
		}
	}
	return p, nil
}

// identity reads who the release is for and which one it is.
func (p *Plan) identity(doc conf.Document, f releaseFile, d workspace.Folder) (err error) {
	r := &p.release
	if f.Version == "" {
		return doc.Errorf("version", `is missing; write version = "1.2.3"`)
	}
	if r.Version, err = parseVersion(f.Version); err != nil {
		return doc.Errorf("version", "%v", err)
	}
	if err := p.sequence(doc, f); err != nil {
		return err
	}
	vendor := f.Vendor
	if vendor == "" {
		vendor = d.Vendor.Domain
	}
	if vendor == "" {
		return doc.Errorf("vendor", "is missing, here and in %s", workspace.FileName)
	}
	if r.Vendor, err = conf.VendorUUID(vendor); err != nil {
		return doc.Errorf("vendor", "%v", err)
	}
	classes, key := f.Classes, "classes"
	switch {
	case f.Class != "" && len(classes) > 0:
		return doc.Errorf("class", "class and classes cannot be used together")
	case f.Class != "":
		classes, key = []string{f.Class}, "class"
	case len(classes) == 0:
		classes = d.Vendor.Classes
	}
	if len(classes) == 0 {
		return doc.Errorf("class", "is missing, here and in %s", workspace.FileName)
	}
	for _, c := range classes {
		u, err := conf.ClassUUID(r.Vendor, c)
		if err != nil {
			return doc.Errorf(key, "%v", err)
		}
		r.Classes = append(r.Classes, u)
	}
	if f.Device != "" {
		u, err := manifest.ParseUUID(f.Device)
		if err != nil {
			return doc.Errorf("device", "%v", err)
		}
		r.DeviceID = &u
	}
	if f.ReferenceURI != "" {
		if err := conf.CheckURL(f.ReferenceURI); err != nil {
			return doc.Errorf("reference-uri", "%v", err)
		}
	}
	r.Priority, r.ReferenceURI = f.Priority, f.ReferenceURI
	return nil
}

func (p *Plan) sequence(doc conf.Document, f releaseFile) error {
	switch s := f.Sequence.(type) {
	case int64:
		if s < 1 {
			return doc.Errorf("sequence", "%d is not a sequence number: they start at 1", s)
		}
		p.release.Sequence = uint64(s)
	case string:
		if p.auto = s == "auto"; !p.auto {
			return doc.Errorf("sequence", `%q: want a number, or "auto"`, manifest.Printable(s))
		}
	case nil:
		return doc.Errorf("sequence", `is missing; write a number higher than that of every release before, or "auto"`)
	default:
		return doc.Errorf("sequence", `want a number, or "auto"`)
	}
	return nil
}

// conditions reads what must hold on the device.
func (p *Plan) conditions(doc conf.Document, f releaseFile, _ workspace.Folder) error {
	r := &p.release
	for _, s := range f.Conditions.Version {
		c, err := parseCondition(s)
		if err != nil {
			return doc.Errorf("conditions.version", "%v", err)
		}
		r.Versions = append(r.Versions, c)
	}
	switch t := f.Conditions.UseBefore.(type) {
	case nil:
	case time.Time:
		r.UseBefore = t
	case string:
		at, err := time.Parse(time.RFC3339, t)
		if err != nil {
			return doc.Errorf("conditions.use-before", "%q: want a time such as 2030-01-31T12:00:00Z",
				manifest.Printable(t))
		}
		r.UseBefore = at
	default:
		if conf.Zoneless(t) {
			return doc.Errorf("conditions.use-before", "%v has no time zone: want a time such as 2030-01-31T12:00:00Z",
				t)
		}
		return doc.Errorf("conditions.use-before", "want a time such as 2030-01-31T12:00:00Z")
	}
	if r.UseBefore.Nanosecond() != 0 || !r.UseBefore.IsZero() && r.UseBefore.Unix() <= 0 {
		return doc.Errorf("conditions.use-before", "want whole seconds after 1970")
	}
	if f.Conditions.MinBatteryMWh < 0 {
		return doc.Errorf("conditions.min-battery-mwh", "%d: want milliwatt-hours", f.Conditions.MinBatteryMWh)
	}
	r.MinBatteryMWh = f.Conditions.MinBatteryMWh
	return nil
}

// components reads the images.
func (p *Plan) components(doc conf.Document, f releaseFile, d workspace.Folder) error {
	if len(f.Components) == 0 {
		return doc.Errorf("component", "is missing; a release has at least one [[component]] with name and file")
	}
	for i, c := range f.Components {
		key := fmt.Sprintf("component.%d", i)
		if _, err := manifest.ParseComponentID(c.Name); err != nil {
			return doc.Errorf(key+".name", "%v", err)
		}
		list, err := componentImages(doc, key, c)
		if err != nil {
			return err
		}
		for j := range list {
			if err := list[j].locate(doc, filepath.Dir(doc.Name), f, c, d); err != nil {
				return err
			}
		}
		p.images = append(p.images, list)
		p.release.Components = append(p.release.Components, author.Component{Name: c.Name})
	}
	return nil
}

// componentImages reads a component's one image, or one for each slot.
func componentImages(doc conf.Document, key string, c componentFile) ([]imagePlan, error) {
	var list []imagePlan
	switch {
	case c.File == "" && len(c.Images) == 0:
		return nil, doc.Errorf(key+".file", "is missing; name the image, or one [[component.image]] for each slot")
	case len(c.Images) > 0 && (c.File != "" || c.URI != ""):
		return nil, doc.Errorf(key,
			"an image for every slot (file, uri) and images for single slots (component.image) cannot be used together")
	case c.File != "":
		list = []imagePlan{{key: key, slot: author.AnySlot, file: c.File, uri: c.URI}}
	}
	for j, i := range c.Images {
		key := fmt.Sprintf("%s.image.%d", key, j)
		switch {
		case i.Slot == nil || *i.Slot < 0 || *i.Slot > 255:
			return nil,
				doc.Errorf(key+".slot", "want the number of the slot that this image is made for, 0 for the first")
		case i.File == "":
			return nil, doc.Errorf(key+".file", "is missing")
		}
		for _, other := range list {
			if other.slot == *i.Slot {
				return nil, doc.Errorf(key+".slot", "slot %d has an image already", *i.Slot)
			}
		}
		list = append(list, imagePlan{key: key, slot: *i.Slot, file: i.File, uri: i.URI})
	}
	compress, level := c.Compress == "zstd", defaultLevel
	if !compress && c.Compress != "" && c.Compress != "none" {
		return nil, doc.Errorf(key+".compress", `%q: want "zstd" or "none"`, manifest.Printable(c.Compress))
	}
	if c.Level != nil {
		if level = *c.Level; !compress || level < 1 || level > 22 {
			return nil, doc.Errorf(key+".level", `%d: want 1 to 22, and compress = "zstd"`, level)
		}
	}
	for j := range list {
		list[j].compress, list[j].level, list[j].embed = compress, level, c.Embed
	}
	return list, nil
}

// locate settles where the payload will be found: the image's own URI, or a base URL of the
// component, the release or the desk.
func (i *imagePlan) locate(doc conf.Document, dir string, f releaseFile, c componentFile, d workspace.Folder) error {
	i.doc = doc
	if !filepath.IsAbs(i.file) {
		i.file = filepath.Join(dir, i.file)
	}
	first := func(list ...string) string {
		for _, s := range list {
			if s != "" {
				return s
			}
		}
		return ""
	}
	i.base, i.mirrors = first(c.BaseURL, f.BaseURL, d.Images.BaseURL), c.Mirrors
	if i.mirrors == nil {
		i.mirrors = f.Mirrors
	}
	if i.mirrors == nil {
		i.mirrors = d.Images.Mirrors
	}
	if i.embed {
		if i.uri != "" || c.BaseURL != "" || len(c.Mirrors) > 0 {
			return doc.Errorf(i.key,
				"an embedded payload is carried in the envelope: it has no uri, base-url or mirrors")
		}
		i.base, i.mirrors = "", nil
		return nil
	}
	if i.base == "" && i.uri == "" {
		return doc.Errorf(i.key, "no uri, and no base-url here or in %s: say where devices find the image",
			workspace.FileName)
	}
	for _, u := range append([]string{first(i.uri, i.base)}, i.mirrors...) {
		if err := conf.CheckURL(u); err != nil {
			return doc.Errorf(i.key, "%v", err)
		}
	}
	if len(i.mirrors) > manifest.MaxMirrors {
		return doc.Errorf(i.key, "%d mirrors, at most %d", len(i.mirrors), manifest.MaxMirrors)
	}
	return nil
}

// texts reads what people are told.
func (p *Plan) texts(doc conf.Document, f releaseFile, _ workspace.Folder) error {
	for tag, t := range f.Text {
		out := author.Text{Description: t.Description, Update: t.Update}
		for name, c := range t.Components {
			known := false
			for _, k := range f.Components {
				known = known || k.Name == name
			}
			if !known {
				return doc.Errorf("text."+tag+".component."+name, "the release has no such component")
			}
			if out.Components == nil {
				out.Components = map[string]author.ComponentText{}
			}
			out.Components[name] = author.ComponentText(c)
		}
		if p.release.Text == nil {
			p.release.Text = map[string]author.Text{}
		}
		p.release.Text[tag] = out
	}
	if p.severText && len(f.Text) == 0 {
		return doc.Errorf("sever-text", "there is no text")
	}
	return nil
}
