// Package told keeps apart what is said and whom it is said to. A message of
// Sallyport's is a [Text]: a sentence in which every name of something in the
// mesh is marked as one. Whoever owns the mesh is told the sentence as it is
// ([Text.String]); somebody else is told it with a word in the place of each name
// that is none of his business ([Text.To]).
//
// The guarantee lies in what a Text can be made of. Constants of the program are
// Texts. Whatever else goes into one goes through [F], which marks it: as the
// host, namespace or object that it is said to be, and what is not said to be
// anything as something that only those are told who have written it themselves.
// A place that nobody has thought of hides too much, and gives nothing away.
package told

import (
	"fmt"
	"strconv"
	"strings"
)

// Text is a message with its names marked. Texts are compared, sorted, put
// together and kept as strings are; a constant is one as it stands. No string
// that is not a constant is to be converted into one.
type Text string

// Kind is what a name is the name of.
type Kind byte

// The kinds of names.
const (
	Hosts      Kind = 'h'
	Namespaces Kind = 'n'
	Objects    Kind = 'o'
	// Words are whatever somebody has written into an object.
	Words Kind = 'w'

	detail Kind = 'd' // of the name whose kind comes next
)

// phrases stand for what a reader does not see: one of a kind, or several.
var phrases = map[Kind][2]string{
	Hosts:      {"a host of another namespace", "hosts of other namespaces"},
	Namespaces: {"another namespace", "other namespaces"},
	Objects:    {"an object of another namespace", "objects of other namespaces"},
	Words:      {"something of another namespace", "things of other namespaces"},
	detail:     {"something else", "other things"},
}

// Name is a name that some may be told, and others not.
type Name struct {
	Kind Kind
	// Value is the host, the namespace or the word; of an object it is
	// "Kind/namespace/name", or "Kind/name" where it is in no namespace.
	Value string
}

// Object returns the kind, the namespace and the name of an object.
func (n Name) Object() (kind, namespace, name string) {
	kind, name, _ = strings.Cut(n.Value, "/")
	if ns, rest, ok := strings.Cut(name, "/"); ok {
		return kind, ns, rest
	}
	return kind, "", name
}

// The marks. No name has such characters; from what comes from outside they
// are taken away.
const (
	open  = "\x0e" // then form, kind, value
	show  = "\x1f" // then what is shown of it
	shut  = "\x0f"
	item  = "\x1e" // between the items of a list
	marks = open + show + shut + item

	formName   = 'm' // shown, or a phrase in its place
	formClause = 'c' // shown, or nothing
	formList   = 'l'
)

var unmark = strings.NewReplacer(open, "\uFFFD", show, "\uFFFD", shut, "\uFFFD", item, "\uFFFD")

func clean(s string) string {
	if !strings.ContainsAny(s, marks) {
		return s
	}
	return unmark.Replace(s)
}

// Arg is an argument of [F]: what is shown to those who may know the name.
type Arg struct {
	name  Name
	shown Text
}

// Host is an argument that names a host.
func Host(host string) Arg { return named(Hosts, host) }

// Namespace is an argument that names a namespace.
func Namespace(name string) Arg { return named(Namespaces, name) }

// InNamespace is "namespace NAME", or "another namespace".
func InNamespace(name string) Arg {
	a := Namespace(name)
	return Arg{a.name, "namespace " + a.shown}
}

// Object is an argument that names an object; see [Name] for the form.
func Object(name string) Arg { return named(Objects, name) }

func named(kind Kind, s string) Arg {
	s = clean(s)
	return Arg{Name{kind, s}, Text(s)}
}

// As is an argument that is shown like this to those who may know the name of the
// first one.
func (a Arg) As(shown string) Arg { return Arg{a.name, Plain(shown)} }

// Telling is As for a Text, in which other names are marked.
func (a Arg) Telling(shown Text) Arg { return Arg{a.name, shown} }

// Detail is As for what is not the name, but something about it.
func (a Arg) Detail(shown string) Arg {
	return Arg{Name{detail, string(rune(a.name.Kind)) + a.name.Value}, Plain(shown)}
}

// None reports whether there is no name.
func (a Arg) None() bool { return a == Arg{} }

// Text is the argument by itself.
func (a Arg) Text() Text { return Text(a.mark(make([]byte, 0, 64), formName, 's')) }

func (a Arg) mark(b []byte, form, verb byte) []byte {
	b = append(b, open...)
	b = append(b, form, byte(a.name.Kind))
	b = append(b, a.name.Value...)
	b = append(b, show...)
	if verb == 'q' {
		b = strconv.AppendQuote(b, a.shown.String())
	} else {
		b = append(b, a.shown...)
	}
	return append(b, shut...)
}

// teller is a value that knows what it is the name of.
type teller interface{ Tell() Arg }

// F formats a Text as [fmt.Sprintf] does a string, with the verbs %s, %q, %d and
// %v alone. Numbers are told to everybody, an [Arg] to those who may know what it
// names, a Text as it says itself; whatever else there is, strings first of all, is
// told to those alone who have written it.
func F(format Text, args ...any) Text { return Text(appendf(make([]byte, 0, 256), format, args)) }

func appendf(b []byte, format Text, args []any) []byte {
	for {
		i := strings.IndexByte(string(format), '%')
		if i < 0 || i+1 == len(format) {
			return append(b, format...)
		}
		b = append(b, format[:i]...)
		verb := format[i+1]
		format = format[i+2:]
		switch {
		case verb == '%':
			b = append(b, '%')
			continue
		case len(args) == 0:
			b = append(b, "%!(MISSING)"...)
			continue
		}
		switch a := args[0].(type) {
		case Text:
			switch {
			case verb != 'q':
				b = append(b, a...)
			case strings.Contains(string(a), open):
				b = append(append(append(b, '"'), a...), '"') // its names are clean
			default:
				b = strconv.AppendQuote(b, string(a))
			}
		case Arg:
			b = a.mark(b, formName, verb)
		case int:
			b = strconv.AppendInt(b, int64(a), 10)
		case int32:
			b = strconv.AppendInt(b, int64(a), 10)
		case bool:
			b = strconv.AppendBool(b, a)
		case string:
			b = named(Words, a).mark(b, formName, verb)
		case teller:
			b = a.Tell().mark(b, formName, verb)
		default:
			b = named(Words, fmt.Sprint(a)).mark(b, formName, verb)
		}
		args = args[1:]
	}
}

// Plain is the Text of a string that says nothing about the mesh: one that comes
// from the configuration, is computed from the writer's own object alone, or is
// one of a few that stand in the program.
func Plain(s string) Text { return Text(clean(s)) }

// If is a part of a message that only those are told who may know the name; for
// others it is not there.
func If(a Arg, t Text) Text {
	return Text(a.Telling(t).mark(make([]byte, 0, 64+len(t)), formClause, 's'))
}

// List lists names, with commas between them. Of those that a reader does not see
// there is one word for all; how many they are is not said.
func List(kind Kind, items ...Text) Text {
	var b strings.Builder
	b.WriteString(open + string(rune(formList)) + string(rune(kind)) + show)
	for i, t := range items {
		if i > 0 {
			b.WriteString(item)
		}
		b.WriteString(string(t))
	}
	b.WriteString(shut)
	return Text(b.String())
}

// WithoutStop is the Text without the full stop at its end.
func (t Text) WithoutStop() Text { return Text(strings.TrimSuffix(string(t), ".")) }

// Without is the Text without that end, where it has it.
func (t Text) Without(end string) Text { return Text(strings.TrimSuffix(string(t), end)) }

// String is the whole message.
func (t Text) String() string {
	if !strings.ContainsAny(string(t), open) {
		return string(t)
	}
	var b strings.Builder
	b.Grow(len(t))
	for rest := string(t); ; {
		i := strings.IndexAny(rest, marks)
		if i < 0 {
			b.WriteString(rest)
			return b.String()
		}
		b.WriteString(rest[:i])
		switch mark := rest[i : i+1]; mark {
		case open:
			_, rest, _ = strings.Cut(rest, show)
		case item:
			b.WriteString(", ")
			rest = rest[i+1:]
		default:
			rest = rest[i+1:]
		}
	}
}

// To is the message as somebody is told it who sees some names and others not.
// Whole is false where anything is left out.
func (t Text) To(sees func(Name) bool) (s string, whole bool) {
	if !strings.ContainsAny(string(t), open) {
		return string(t), true
	}
	r := reader{rest: string(t), sees: sees, whole: true}
	var b strings.Builder
	r.read(&b)
	return b.String(), r.whole
}

type reader struct {
	rest  string
	sees  func(Name) bool
	whole bool
	// hidden is how many names of a list were left out so far.
	hidden int
	inList bool
}

// read takes what comes before the end of a mark, or of the message.
func (r *reader) read(b *strings.Builder) {
	for r.rest != "" {
		i := strings.IndexAny(r.rest, open+shut+item)
		if i < 0 {
			b.WriteString(r.rest)
			r.rest = ""
			return
		}
		b.WriteString(r.rest[:i])
		switch r.rest[i] {
		case shut[0], item[0]:
			r.rest = r.rest[i:]
			return
		default:
			r.rest = r.rest[i+1:]
			r.mark(b)
		}
	}
}

// mark takes one mark, the beginning of which was read.
func (r *reader) mark(b *strings.Builder) {
	head, rest, ok := strings.Cut(r.rest, show)
	if !ok || len(head) < 2 {
		r.rest = "" // no Text of ours: the safe way to read it is not to
		r.whole = false
		return
	}
	form, name := head[0], Name{Kind(head[1]), head[2:]}
	r.rest = rest
	if form == formList {
		r.list(b, name.Kind)
		return
	}
	var shown strings.Builder
	of := name
	if name.Kind == detail && name.Value != "" {
		of = Name{Kind(name.Value[0]), name.Value[1:]}
	}
	sees := r.sees(of)
	whole := r.whole
	r.read(&shown)
	r.rest = strings.TrimPrefix(r.rest, shut)
	switch {
	case sees:
		b.WriteString(shown.String())
	case form == formClause:
		r.whole = false
	case r.inList:
		r.whole = false
		r.hidden++
	default:
		r.whole = false
		b.WriteString(phrases[name.Kind][0])
	}
	if sees {
		r.whole = r.whole && whole
	}
}

func (r *reader) list(b *strings.Builder, kind Kind) {
	inList, before := r.inList, r.hidden
	r.inList, r.hidden = true, 0
	var shown []string
	for {
		var one strings.Builder
		hidden := r.hidden
		r.read(&one)
		if r.hidden == hidden && one.Len() > 0 {
			shown = append(shown, one.String())
		}
		if !strings.HasPrefix(r.rest, item) {
			break
		}
		r.rest = r.rest[len(item):]
	}
	r.rest = strings.TrimPrefix(r.rest, shut)
	if r.hidden > 0 {
		shown = append(shown, phrases[kind][min(r.hidden-1, 1)])
	}
	r.inList, r.hidden = inList, before
	b.WriteString(strings.Join(shown, ", "))
}

// Builder builds a long Text, one line after the other.
type Builder struct{ b []byte }

// Printf adds what [F] makes of its arguments.
func (b *Builder) Printf(format Text, args ...any) { b.b = appendf(b.b, format, args) }

// Write adds a Text.
func (b *Builder) Write(t Text) { b.b = append(b.b, t...) }

// Text is what was built.
func (b *Builder) Text() Text { return Text(b.b) }
