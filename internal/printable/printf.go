package printable

import (
	"fmt"
	"io"
	"reflect"
)

// Raw is text that [Fprintf] writes as it is: of the program's own, or made fit
// already.
type Raw string

// Fprintf is fmt.Fprintf for text that people read, a line for a line: what
// arguments say, strings, errors and what has a String method, goes through
// [Line].
func Fprintf(w io.Writer, format string, args ...any) {
	shown := make([]any, len(args))
	for i, a := range args {
		shown[i] = a
		switch a := a.(type) {
		case nil:
		case Raw:
			shown[i] = string(a)
		case error:
			shown[i] = Line(a.Error())
		case fmt.Stringer:
			shown[i] = Line(a.String())
		default:
			switch v := reflect.ValueOf(a); v.Kind() {
			case reflect.String:
				shown[i] = Line(v.String())
			case reflect.Slice, reflect.Map, reflect.Struct, reflect.Pointer, reflect.Array:
				shown[i] = Line(fmt.Sprint(a))
			}
		}
	}
	fmt.Fprintf(w, format, shown...)
}
