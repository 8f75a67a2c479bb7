package cli

import (
	"flag"
	"fmt"
	"strings"
)

// man is the program's page of the manual, in the language of man(7).
func (p Program) man() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s %d \"\" \"%s %s\" Ratchet\n", roff(strings.ToUpper(p.Name)), p.Section, roff(p.Name),
		roff(firstWord(p.Version)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(p.Name), roff(p.About))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.I VERB\n[flags] [arguments]\n", roff(p.Name))
	b.WriteString(".SH VERBS\n")
	for _, v := range p.all() {
		fmt.Fprintf(&b, ".SS %s\n", roff(strings.TrimSpace(v.Name+" "+v.Args)))
		prose(&b, v.Long)
		v.flags().VisitAll(func(f *flag.Flag) {
			name, text := flag.UnquoteUsage(f)
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR \\fI%s\\fR\n%s%s\n", roff(dashed(f)), roff(name), roff(text),
				roff(byDefault(f)))
		})
		if len(v.Examples) > 0 {
			b.WriteString(".PP\nExamples:\n.PP\n.nf\n")
			for _, e := range v.Examples {
				fmt.Fprintf(&b, "    %s\n", roff(e))
			}
			b.WriteString(".fi\n")
		}
		if v.Exits != "" {
			fmt.Fprintf(&b, ".PP\nExit codes besides 0, 1 and 2: %s.\n", roff(strings.ReplaceAll(v.Exits, "\n", " ")))
		}
	}
	fmt.Fprintf(&b, ".SH EXIT STATUS\n%s\n", roff(strings.ReplaceAll(strings.TrimSpace(p.Exits), "\n", " ")))
	items(&b, "ENVIRONMENT", p.Environment)
	items(&b, "FILES", p.Files)
	if p.SeeAlso != "" {
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", roff(p.SeeAlso))
	}
	return b.String()
}

func items(b *strings.Builder, heading string, list []Item) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", heading)
	for _, i := range list {
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR\n%s\n", roff(i.Name), roff(i.Says))
	}
}

// prose writes paragraphs; lines that are indented stay as they are.
func prose(b *strings.Builder, text string) {
	asIs := false
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		switch {
		case line == "":
			line = ".PP"
		default:
			line = roff(line)
		}
		if indented != asIs {
			if asIs = indented; asIs {
				b.WriteString(".nf\n")
			} else {
				b.WriteString(".fi\n")
			}
		}
		b.WriteString(line + "\n")
	}
	if asIs {
		b.WriteString(".fi\n")
	}
}

// roff writes text so that nothing of it is a command.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func firstWord(s string) string { w, _, _ := strings.Cut(s, " "); return w }
