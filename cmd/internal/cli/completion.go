package cli

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// completion is a script that completes the program's verbs and flags in a shell; ok is false for a shell
// that is not known.
func (p Program) completion(shell string) (script string, ok bool) {
	switch shell {
	case "bash":
		return p.bash(), true
	case "zsh":
		return "#compdef " + p.Name + "\nautoload -U +X bashcompinit && bashcompinit\n" + p.bash(), true
	case "fish":
		return p.fish(), true
	}
	return "", false
}

// next maps what was said of a verb's name to the words that may follow; "" are the first words.
func (p Program) next() map[string][]string {
	next := map[string][]string{}
	for _, v := range p.all() {
		said := ""
		for _, word := range strings.Fields(v.Name) {
			if !slices.Contains(next[said], word) {
				next[said] = append(next[said], word)
			}
			said = strings.TrimSpace(said + " " + word)
		}
	}
	for _, said := range sorted(next) {
		next[strings.TrimSpace("help "+said)] = next[said]
	}
	next["help"] = append(slices.Clone(next[""]), "--man")
	next["completion"] = []string{"bash", "zsh", "fish"}
	return next
}

// bash completes flags after "-", and files elsewhere.
func (p Program) bash() string {
	var b strings.Builder
	name := "_" + strings.ReplaceAll(p.Name, "-", "_")
	fmt.Fprintf(&b, "# Completion of %s; made by `%s completion`.\n%s() {\n", p.Name, p.Name, name)
	b.WriteString("  local cur=\"${COMP_WORDS[COMP_CWORD]}\" said=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" words=\"\"\n" +
		"  case \"$said\" in\n")
	next := p.next()
	for _, said := range sorted(next) {
		fmt.Fprintf(&b, "  %q) words=%q ;;\n", said, strings.Join(next[said], " "))
	}
	b.WriteString("  \"help \"*|version*|\"completion \"*) COMPREPLY=(); return ;;\n  esac\n  case \"$said\" in\n")
	verbs := make([]*Verb, len(p.Verbs)) // sorting large values makes large code
	for i := range p.Verbs {
		verbs[i] = &p.Verbs[i]
	}
	slices.SortFunc(verbs, func(v, w *Verb) int { return strings.Compare(w.Name, v.Name) }) // "a b" before "a"
	for _, v := range verbs {
		var flags []string
		v.flags().VisitAll(func(f *flag.Flag) { flags = append(flags, dashed(f)) })
		fmt.Fprintf(&b, "  %q|%q*) [[ $cur == -* ]] && words=%q ;;\n", v.Name, v.Name+" ",
			strings.Join(append(flags, "-h"), " "))
	}
	b.WriteString("  esac\n  if [[ -n $words ]]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); else " +
		"COMPREPLY=($(compgen -f -- \"$cur\")); fi\n}\n")
	fmt.Fprintf(&b, "complete -o filenames -F %s %s\n", name, p.Name)
	return b.String()
}

func (p Program) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %s; made by `%s completion`.\n", p.Name, p.Name)
	quote := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", " ").Replace(s) + "'"
	}
	next := p.next()
	for _, said := range sorted(next) {
		if strings.HasPrefix(said, "help ") {
			continue // the condition for the group holds behind help too
		}
		when := "__fish_use_subcommand"
		if said != "" {
			when = "__fish_seen_subcommand_from " + said + "; and not __fish_seen_subcommand_from " +
				strings.Join(next[said], " ")
		}
		for _, word := range next[said] {
			about := ""
			for _, v := range p.all() {
				if v.Name == strings.TrimSpace(said+" "+word) {
					about = " -d " + quote(v.Short)
				}
			}
			fmt.Fprintf(&b, "complete -c %s -n %s -f -a %s%s\n", p.Name, quote(when), word, about)
		}
	}
	fmt.Fprintf(&b, "complete -c %s -n '__fish_seen_subcommand_from help version completion' -f\n", p.Name)
	for _, v := range p.Verbs {
		when := "__fish_seen_subcommand_from " +
			strings.Join(strings.Fields(v.Name), "; and __fish_seen_subcommand_from ")
		v.flags().VisitAll(func(f *flag.Flag) {
			value, text := flag.UnquoteUsage(f)
			kind, needs := "-l", ""
			if len(f.Name) == 1 {
				kind = "-s"
			}
			if value != "" {
				needs = " -r"
			}
			fmt.Fprintf(&b, "complete -c %s -n %s %s %s%s -d %s\n", p.Name, quote(when), kind, f.Name,
				needs, quote(text))
		})
	}
	return b.String()
}

func sorted(m map[string][]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
