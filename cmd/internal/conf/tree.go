package conf

import (
	"bytes"
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// node is a table, an array or a value of a document. go-toml parses the document and says what is no TOML; which keys
// may follow which is said here, and what they mean to a struct in fill. go-toml's own decoder does both too, and
// would be a fiftieth of the device's program.
type node struct {
	kind  kind
	key   int    // offset of the key, or of the header that adds a table to an array
	at    int    // offset of the value
	value string // what a value says, its quotes and escapes resolved
	keys  []string
	table map[string]*node
	list  []*node
}

// kind is how something in a document is written. What may be added to a table depends on it.
type kind string

const (
	boolean       kind = "boolean"
	integer       kind = "integer"
	float         kind = "float"
	text          kind = "string"
	dateTime      kind = "datetime"
	localDateTime kind = "local datetime"
	localDate     kind = "local date"
	localTime     kind = "local time"
	array         kind = "array"
	inline        kind = "inline table"

	dotted  kind = "table of dotted keys" // dotted keys may follow, and headers of tables in it
	between kind = "table"                // named on the way to another one: its own header may follow
	headed  kind = "table with a header"  // headers of tables in it may follow
	tables  kind = "array of tables"      // another header may follow
)

var kinds = map[unstable.Kind]kind{unstable.Bool: boolean, unstable.Integer: integer, unstable.Float: float,
	unstable.String: text, unstable.DateTime: dateTime, unstable.LocalDateTime: localDateTime,
	unstable.LocalDate: localDate, unstable.LocalTime: localTime, unstable.Array: array, unstable.InlineTable: inline}

// isTable tells whether there are keys below.
func (n *node) isTable() bool { return n.table != nil }

// isArray tells whether what stands below is counted.
func (n *node) isArray() bool { return n != nil && (n.kind == array || n.kind == tables) }

// names are the keys below; none where n is nil or no table.
func (n *node) names() map[string]*node {
	if n == nil {
		return nil
	}
	return n.table
}

func newTable(k kind, key, at int) *node {
	return &node{kind: k, key: key, at: at, table: map[string]*node{}}
}

// put adds what stands behind a key.
//
//go:noinline
func (n *node) put(name string, below *node) *node {
	n.keys, n.table[name] = append(n.keys, name), below
	return below
}

// newest is the table that the keys and headers below a name mean.
func (n *node) newest() *node {
	if n.kind == tables {
		return n.list[len(n.list)-1]
	}
	return n
}

// fault is what is wrong at a place.
type fault struct {
	at   int // offset
	key  []string
	what string
}

func (f *fault) Error() string { return f.what }

// parse reads a document. An error is a *fault.
func parse(b []byte) (*node, error) {
	p := unstable.Parser{}
	p.Reset(b)
	root := newTable(headed, 0, 0)
	var table *node
	var err error
	for table = root; err == nil && p.NextExpression(); {
		if e := p.Expression(); e.Kind == unstable.KeyValue {
			err = table.add(b, e)
		} else {
			table, err = root.header(e)
		}
	}
	var bad *unstable.ParserError
	if err == nil && errors.As(p.Error(), &bad) {
		err = &fault{at: int(p.Range(bad.Highlight).Offset), what: bad.Message}
	}
	return root, err
}

// add adds a key and its value.
func (n *node) add(b []byte, e *unstable.Node) error {
	var path []string
	for it := e.Key(); it.Next(); {
		name, at := string(it.Node().Data), int(it.Node().Raw.Offset)
		path = append(path, name)
		below := n.table[name]
		if it.IsLast() {
			if below != nil {
				return &fault{at, path, "key " + name + " is already defined"}
			}
			behind := b[at+int(it.Node().Raw.Length):]
			start := len(b) - len(bytes.TrimLeft(behind[bytes.IndexByte(behind, '=')+1:], " \t"))
			v, err := read(b, e.Value(), start)
			if err != nil {
				return err
			}
			v.key = at
			n.put(name, v)
			continue
		}
		if below == nil {
			below = n.put(name, newTable(dotted, at, at))
		}
		if below.kind != dotted {
			return &fault{at, path, "key " + name + " is already defined as a " + string(below.kind)}
		}
		n = below
	}
	return nil
}

// read reads a value that stands at an offset.
func read(b []byte, v *unstable.Node, at int) (*node, error) {
	n := &node{kind: kinds[v.Kind], key: at, at: at, value: string(v.Data)}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			item := it.Node()
			place := at // of an array in an array the parser gives none
			if item.Raw.Length > 0 {
				place = int(item.Raw.Offset)
			}
			below, err := read(b, item, place)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, below)
		}
	case unstable.InlineTable:
		n.table = map[string]*node{}
		for it := v.Children(); it.Next(); {
			if err := n.add(b, it.Node()); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}

// header finds or makes the table that [a.b] or [[a.b]] begins.
func (n *node) header(e *unstable.Node) (*node, error) {
	var path []string
	start := -1
	for it := e.Key(); it.Next(); {
		name, at := string(it.Node().Data), int(it.Node().Raw.Offset)
		path = append(path, name)
		if start < 0 {
			start = at
		}
		below := n.table[name]
		refuse := func(what string) error {
			return &fault{start, path, strings.Join(path, ".") + " is already defined as a " + what}
		}
		switch last := it.IsLast(); {
		case below == nil && last && e.Kind == unstable.ArrayTable:
			below = n.put(name, &node{kind: tables, key: at, at: at})
		case below == nil && last:
			return n.put(name, newTable(headed, at, at)), nil
		case below == nil:
			below = n.put(name, newTable(between, at, at))
		case !last && below.kind != dotted && below.kind != between && below.kind != headed && below.kind != tables,
			last && e.Kind == unstable.ArrayTable && below.kind != tables,
			last && e.Kind == unstable.Table && below.kind != between:
			return nil, refuse(string(below.kind))
		case last && e.Kind == unstable.Table:
			below.kind = headed
			below.key, below.at = at, at
		}
		if it.IsLast() && e.Kind == unstable.ArrayTable {
			below.list = append(below.list, newTable(headed, at, at))
		}
		n = below.newest()
	}
	return n, nil
}
