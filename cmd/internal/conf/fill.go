package conf

import (
	"encoding"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// filler fills a struct or a map with what a document says.
type filler struct {
	path    []string // the keys on the way to where it is
	unknown []*fault // keys that a struct does not have
}

//go:noinline
func (f *filler) fault(n *node, what string) error { return &fault{n.at, slices.Clone(f.path), what} }

// fill stores what n says in v, which can be set. An error is a *fault.
func (f *filler) fill(v reflect.Value, n *node) error {
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return f.fill(v.Elem(), n)
	case v.Kind() == reflect.Interface:
		x, err := f.free(n)
		if err == nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case n.isTable() && v.Kind() == reflect.Struct:
		return f.fields(v, n)
	case n.isTable() && v.Kind() == reflect.Map:
		return f.entries(v, n)
	case n.isTable() && n.kind != inline && v.Kind() == reflect.Slice:
		return f.items(v, []*node{n}) // [a] where [[a]] is meant: the only one
	case n.isArray() && v.Kind() == reflect.Slice:
		return f.items(v, n.list)
	}
	return f.scalar(v, n)
}

// below fills what stands behind a key.
func (f *filler) below(name string, v reflect.Value, n *node) error {
	f.path = append(f.path, name)
	err := f.fill(v, n)
	f.path = f.path[:len(f.path)-1]
	return err
}

// fields fills a struct by its tags. A key may be spelt in other letter cases.
func (f *filler) fields(v reflect.Value, n *node) error {
	for _, name := range n.keys {
		field := -1
		for i := range v.NumField() {
			tag := v.Type().Field(i).Tag.Get("toml")
			if tag != "" && (tag == name || field < 0 && strings.EqualFold(tag, name)) {
				field = i
			}
		}
		if field < 0 {
			key := append(slices.Clone(f.path), name)
			f.unknown = append(f.unknown, &fault{n.table[name].key, key, "unknown"})
			continue
		}
		if err := f.below(name, v.Field(field), n.table[name]); err != nil {
			return err
		}
	}
	return nil
}

// entries fills a map.
func (f *filler) entries(v reflect.Value, n *node) error {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, name := range n.keys {
		entry := reflect.New(v.Type().Elem()).Elem()
		if err := f.below(name, entry, n.table[name]); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), entry)
	}
	return nil
}

// items fills a slice.
func (f *filler) items(v reflect.Value, list []*node) error {
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, below := range list {
		if err := f.fill(v.Index(i), below); err != nil {
			return err
		}
	}
	return nil
}

// scalar stores a value.
func (f *filler) scalar(v reflect.Value, n *node) error {
	as := n.kind
	if as == integer && v.CanFloat() {
		as = float
	}
	x, err := f.value(n, as)
	if err != nil {
		return err
	}
	number, _ := x.(int64)
	switch {
	case as == integer && (v.CanInt() && v.OverflowInt(number) ||
		v.CanUint() && (number < 0 || v.OverflowUint(uint64(number)))):
		return f.fault(n, n.value+" is out of range")
	case as == text && v.Kind() == reflect.String:
		v.SetString(n.value)
	case as == integer && v.CanInt():
		v.SetInt(number)
	case as == integer && v.CanUint():
		v.SetUint(uint64(number))
	case as == float && v.CanFloat():
		v.SetFloat(x.(float64))
	case as == boolean && v.Kind() == reflect.Bool:
		v.SetBool(x.(bool))
	case v.Type() == reflect.TypeFor[time.Time]() && (as == dateTime || as == localDateTime || as == localDate):
		if local, ok := x.(interface {
			AsTime(zone *time.Location) time.Time
		}); ok {
			x = local.AsTime(time.Local)
		}
		v.Set(reflect.ValueOf(x))
	default:
		into, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
		if !ok || as != text {
			return f.fault(n, mismatch(v.Type(), n))
		}
		if err := into.UnmarshalText([]byte(n.value)); err != nil {
			return f.fault(n, err.Error())
		}
	}
	return nil
}

// free is what n says, where any type will do.
func (f *filler) free(n *node) (any, error) {
	switch {
	case n.isTable():
		all := map[string]any{}
		return all, f.entries(reflect.ValueOf(&all).Elem(), n)
	case n.isArray():
		var list []any
		err := f.items(reflect.ValueOf(&list).Elem(), n.list)
		return list, err
	}
	return f.value(n, n.kind)
}

// value is what a value says; nil where n is a table or an array.
func (f *filler) value(n *node, as kind) (x any, err error) {
	number := strings.ReplaceAll(n.value, "_", "")
	switch as {
	case boolean:
		return n.value == "true", nil
	case text:
		return n.value, nil
	case integer:
		x, err = strconv.ParseInt(number, 0, 64)
	case float:
		if strings.HasSuffix(number, "nan") { // has a sign in TOML, and none for strconv
			number = "nan"
		}
		x, err = strconv.ParseFloat(number, 64)
	case dateTime, localDateTime, localDate, localTime:
		if x, err = moment(n); err != nil {
			return nil, f.fault(n, n.value+" is no date or time: "+err.Error())
		}
	}
	if err != nil {
		return nil, f.fault(n, n.value+" is out of range")
	}
	return x, nil
}

// moment is a time.Time, or one of go-toml's types of what names no time zone.
func moment(n *node) (any, error) {
	switch n.kind {
	case localDateTime:
		var at toml.LocalDateTime
		err := at.UnmarshalText([]byte(n.value))
		return at, err
	case localDate:
		var at toml.LocalDate
		err := at.UnmarshalText([]byte(n.value))
		return at, err
	case localTime:
		var at toml.LocalTime
		err := at.UnmarshalText([]byte(n.value))
		return at, err
	}
	zone := time.UTC
	local, utc := strings.CutSuffix(strings.ToUpper(n.value), "Z")
	if !utc {
		i := len(n.value) - len("+00:00")
		var ahead toml.LocalTime
		if err := ahead.UnmarshalText([]byte(n.value[i+1:])); err != nil || !strings.ContainsAny(n.value[i:i+1], "+-") {
			return nil, errors.New("a time zone is Z or such as +01:00")
		}
		seconds := (ahead.Hour*60 + ahead.Minute) * 60
		if n.value[i] == '-' {
			seconds = -seconds
		}
		local = n.value[:i]
		if seconds != 0 {
			zone = time.FixedZone("", seconds)
		}
	}
	var at toml.LocalDateTime
	err := at.UnmarshalText([]byte(local))
	return at.AsTime(zone), err
}

// mismatch says that a value is of the wrong kind in the words of somebody who edits the file.
func mismatch(t reflect.Type, n *node) string {
	want := "a table"
	switch {
	case t.Name() == "Duration":
		want = `a duration such as "90s"`
	case t.Name() == "Time":
		want = "a time such as 2030-01-31T12:00:00Z"
	case t.Kind() == reflect.String:
		want = "text in quotes"
	case t.Kind() == reflect.Bool:
		want = "true or false"
	case t.Kind() == reflect.Slice:
		want = "an array"
	case reflect.Zero(t).CanFloat():
		want = "a number"
	case reflect.Zero(t).CanInt() || reflect.Zero(t).CanUint():
		want = "a whole number"
	}
	found := string(n.kind)
	if n.isTable() && n.kind != inline {
		found = string(between)
	}
	article := "a"
	if strings.HasPrefix(found, "a") || strings.HasPrefix(found, "i") {
		article = "an"
	}
	return "want " + want + ", found " + article + " " + found
}
