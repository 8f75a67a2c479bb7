# Makes a manual page's Markdown (for go-md2man) of a page of docs/formats:
#
#   awk -v name=ratchet.toml -f scripts/man5.awk docs/formats/configuration.md
#
# Tables become lists, since most are wider than a terminal: the first column is the term; "type" and "default"
# stand beside it. Headings become sections. A link becomes its text and the place of the page on an installed
# system: docs/ is /usr/share/doc/ratchet/ there, with scripts/ in it.

function place(target) {
	sub(/#.*/, "", target)
	if (target == "") return ""
	if (target == "configuration.md") return " (ratchet.toml(5))"
	if (target == "workspace.md") return " (ratchet-release.toml(5))"
	if (!sub(/^(\.\.\/)+/, "", target)) target = "formats/" target
	return " (/usr/share/doc/ratchet/" target ")"
}

function plain(s,    link, bar) {
	while (match(s, /\[[^][]*\]\([^)]*\)/)) {
		link = substr(s, RSTART, RLENGTH)
		bar = index(link, "](")
		s = substr(s, 1, RSTART - 1) substr(link, 2, bar - 2) place(substr(link, bar + 2, length(link) - bar - 2)) \
			substr(s, RSTART + RLENGTH)
	}
	return s
}

function trim(s) { gsub(/^ +| +$/, "", s); return s }

# cells splits a row; "\|" is a bar inside of a cell.
function cells(row, out,    n, i) {
	gsub(/\\\|/, "\001", row)
	n = split(row, out, "|") - 2
	for (i = 1; i <= n; i++) {
		out[i] = trim(out[i + 1])
		gsub(/\001/, "|", out[i])
	}
	return n
}

/^<!--/ { next }
/^# / && !titled {
	titled = 1
	title = substr($0, 3)
	print "% " toupper(name) " 5\n\n# NAME\n\n" name " - " tolower(substr(title, 1, 1)) substr(title, 2) "\n\n# DESCRIPTION"
	next
}
/^## / { print "# " toupper(substr($0, 4)); next }
/^### / { print "## " substr($0, 5); next }
/^\|/ {
	$0 = plain($0)
	if (!rows++) {
		columns = cells($0, head)
		next
	}
	if ($0 ~ /^[|: -]+$/) next
	cells($0, cell)
	beside = text = ""
	for (i = 2; i <= columns; i++) {
		if (cell[i] == "") continue
		if (head[i] == "type") beside = cell[i]
		else if (head[i] == "default") beside = beside (beside == "" ? "" : ", ") "default " cell[i]
		else text = text (text == "" ? "" : "; ") cell[i]
	}
	print "\n" cell[1] (beside == "" ? "" : " (" beside ")") "\n: " text
	next
}
{ rows = 0; print plain($0) }
END {
	print "\n# SEE ALSO\n"
	print name == "ratchet.toml" ? "ratchet(8), ratchet-release.toml(5)" : "ratchet-release(1), ratchet.toml(5)"
}
