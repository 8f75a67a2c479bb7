package main

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// summary counts one target's cuts.
type summary struct{ Looked, Wrong, Booted, Bad, Second, Entries, Flushes int }

func (r *rig) summary() summary {
	var s summary
	if r.log != nil {
		s.Entries = len(r.log.writes)
		for _, w := range r.log.writes {
			if w.flush() {
				s.Flushes++
			}
		}
	}
	for _, c := range r.cuts {
		s.Looked++
		if c.Wrong != "" {
			s.Wrong++
		}
		if c.Booted {
			s.Booted++
		}
		if c.Bad {
			s.Bad++
		}
		if c.Second {
			s.Second++
		}
	}
	return s
}

// writeReport prints the table of what was covered and writes report.txt and report.html.
func writeReport(o *rigFlags, out io.Writer, runs []*rig, took time.Duration) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tWRITES AND FLUSHES\tFLUSHES\tCUTS LOOKED AT\tWRONG\tBOOTED\tCUT TWICE\tNOT UPDATED")
	for _, r := range runs {
		s := r.summary()
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", r.target.name, s.Entries, s.Flushes, s.Looked, s.Wrong, s.Booted, s.Second, s.Bad)
	}
	_ = w.Flush()
	w = tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nTARGET\tSCENARIO\t\tOBSERVED")
	for _, r := range runs {
		for _, row := range r.rows {
			mark := "ok"
			if row.expected != row.observed {
				mark = "DIFFERS"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.target.name, row.what, mark, row.observed)
		}
	}
	fmt.Fprintln(w, "\nTARGET\tTIME\t\t")
	for _, r := range runs {
		for _, t := range r.times {
			fmt.Fprintf(w, "%s\t%s\t\t%.1f s\n", r.target.name, t.what, t.took.Seconds())
		}
	}
	_ = w.Flush()
	for _, r := range runs {
		for _, c := range r.cuts {
			if c.failed() {
				fmt.Fprintf(&text, "\n%s, cut %d %s: %s %s\n  again: %s\n", r.target.name, c.Point, c.Variant, c.Wrong, c.Ended, r.command(c.cut))
			}
		}
	}
	fmt.Fprintf(&text, "\nseed %d, %.0f s in all\n", o.seed, took.Seconds())
	page, err := reportPage(o, runs, took)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\nThe report is in %s\n", text.Bytes(), filepath.Join(o.dir, "report.html"))
	return errors.Join(os.WriteFile(filepath.Join(o.dir, "report.txt"), text.Bytes(), 0o644), os.WriteFile(filepath.Join(o.dir, "report.html"), page, 0o644))
}

// reportTarget is what the page shows of one target.
type reportTarget struct {
	Name, What string
	Rows       []reportRow
	Times      []string
	Sum        summary
	Strips     []reportStrip
}

type reportRow struct {
	What, Expected, Observed string
	Good                     bool
}

// reportStrip is all cuts of one variant, in their order.
type reportStrip struct {
	Variant variant
	Cuts    []reportCut
}

type reportCut struct {
	cutResult
	Class, Again string
	Text         string
}

func reportPage(o *rigFlags, runs []*rig, took time.Duration) ([]byte, error) {
	var all []reportTarget
	for _, r := range runs {
		t := reportTarget{Name: r.target.name, What: r.target.what, Sum: r.summary()}
		for _, row := range r.rows {
			t.Rows = append(t.Rows, reportRow{row.what, row.expected, row.observed, row.expected == row.observed})
		}
		for _, s := range r.times {
			t.Times = append(t.Times, fmt.Sprintf("%s %.1f s", s.what, s.took.Seconds()))
		}
		for _, v := range []variant{whole, lost, torn} {
			strip := reportStrip{Variant: v}
			for _, c := range r.cuts {
				if c.Variant != v {
					continue
				}
				p := reportCut{cutResult: c, Class: "looked", Again: r.command(c.cut), Text: strings.Join(c.Story, "\n")}
				switch {
				case c.failed():
					p.Class = "bad"
				case c.Booted:
					p.Class = "booted"
				}
				strip.Cuts = append(strip.Cuts, p)
			}
			t.Strips = append(t.Strips, strip)
		}
		all = append(all, t)
	}
	var b bytes.Buffer
	page, err := template.New("report").Parse(reportTemplate)
	if err != nil {
		return nil, err
	}
	err = page.Execute(&b, map[string]any{"Targets": all, "Seed": o.seed, "Took": took.Round(time.Second), "When": time.Now().UTC().Format(time.RFC1123)})
	return b.Bytes(), err
}

// reportTemplate stands alone: no script, no file besides it. A cut is a link to its story, which is
// shown when it is the page's target.
const reportTemplate = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Ratchet rig</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h2{margin-top:2.5rem}table{border-collapse:collapse;margin:1rem 0}td,th{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid #d5dae0;vertical-align:top}
.strip{display:flex;flex-wrap:wrap;gap:2px;margin:.4rem 0 1rem}
.strip a{width:11px;height:20px;border-radius:2px;display:block}
.looked{background:#a9d8b8}.booted{background:#1a7f45}.bad{background:#c62828}
.key a,.key span{display:inline-block;width:11px;height:14px;border-radius:2px;margin:0 .3rem 0 1rem;vertical-align:-2px}
.story{display:none}.story:target{display:block;border-left:4px solid #1a7f45;padding:.1rem 1rem;margin:1rem 0;background:#f4f6f8}
pre{white-space:pre-wrap;font-size:13px}code{font-size:13px;word-break:break-all}.differs{color:#c62828;font-weight:600}
</style>
<h1>Ratchet on real bootloaders, its power cut</h1>
<p>{{.When}}; {{.Took}}; seed {{.Seed}}. Firmware, bootloader, kernel and agent are the real ones, in QEMU. Each bar is one moment of a whole update at which the power went; the disk was rebuilt from a log of its writes.</p>
<p class="key"><span class="looked"></span>looked at in user space <span class="booted"></span>booted, too, and ended updated <span class="bad"></span>failed. A bar leads to its story.</p>
{{range $t := .Targets}}<h2>{{.Name}}</h2><p>{{.What}}</p>
<table><tr><th>Scenario<th>Expected<th>Observed</tr>{{range .Rows}}<tr><td>{{.What}}<td>{{.Expected}}<td{{if not .Good}} class="differs"{{end}}>{{.Observed}}</tr>{{end}}</table>
<p>{{.Sum.Entries}} writes and flushes, {{.Sum.Flushes}} of them flushes. {{.Sum.Looked}} cuts looked at, {{.Sum.Wrong}} wrong; {{.Sum.Booted}} booted, {{.Sum.Second}} of them cut again while recovering, {{.Sum.Bad}} not updated. {{range .Times}}{{.}}; {{end}}</p>
{{range .Strips}}{{if .Cuts}}<h3>Unflushed writes {{.Variant}}</h3><div class="strip">{{range .Cuts}}<a class="{{.Class}}" href="#{{$t.Name}}-{{.Point}}-{{.Variant}}" title="{{.Point}}, {{.Where}}"></a>{{end}}</div>
{{range .Cuts}}<div class="story" id="{{$t.Name}}-{{.Point}}-{{.Variant}}"><p>After {{.Point}} of {{$t.Sum.Entries}} ({{.Where}}), unflushed writes {{.Variant}}. {{if .Wrong}}<b>{{.Wrong}}</b>{{else}}Metadata valid, file system and journal whole.{{end}} {{.Ended}}</p>{{if .Text}}<pre>{{.Text}}</pre>{{end}}<p><code>{{.Again}}</code></p></div>{{end}}{{end}}{{end}}{{end}}
</html>
`
