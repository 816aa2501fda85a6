package validation

import (
	"errors"
	"regexp"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

var (
	// headerName is a name by RFC 7230.
	headerName = regexp.MustCompile("^[!#$%&'*+\\-.^_`|~A-Za-z0-9]+$")
	// plainHeader is the name of a header that a gateway itself makes of a token.
	plainHeader = regexp.MustCompile(`^[-_A-Za-z0-9]+$`)
	probeHeader = regexp.MustCompile(`^[-A-Za-z0-9]+$`)
	headerValue = regexp.MustCompile("^[^\u0000-\u0008\u000A-\u001F\u007F]*$")
)

// headers checks what is added to requests and answers, and removed from them.
func (c *checker) headers(path string, h *networking.Headers) {
	for side, o := range inOrder(map[string]*networking.Headers_HeaderOperations{".request": h.GetRequest(), ".response": h.GetResponse()}) {
		for op, set := range inOrder(map[string]map[string]string{".add": o.GetAdd(), ".set": o.GetSet()}) {
			for _, name := range sorted(set) {
				at := key(path+side+op, name)
				c.setHeader(at, name, side == ".request")
				if err := formatted(set[name]); err != nil {
					c.refuse(at, "%v", err)
				}
			}
		}
		for i, name := range o.GetRemove() {
			c.setHeader(index(path+side+".remove", i), name, false)
		}
	}
}

// setHeader checks the name of a header that is changed; the authority of a request may be.
func (c *checker) setHeader(path, name string, authority bool) {
	switch {
	case name == "":
		c.refuse(path, "a header has a name")
	case authority && isAuthority(name):
	case strings.HasPrefix(name, ":") || strings.EqualFold(name, "host"):
		c.refuse(path, "%q is no header that can be changed here", name)
	}
}

func isAuthority(name string) bool {
	return strings.EqualFold(name, ":authority") || strings.EqualFold(name, "host")
}

// formatted checks the value of a header, in which Envoy replaces variables: %NAME%,
// %NAME(argument)% and %NAME(["argument", "argument"])%; %% is a %.
func formatted(s string) error {
	if !headerValue.MatchString(s) {
		return errors.New("has a character that no header may have")
	}
	unended := errors.New("has a variable that does not end; write %% for a %")
	for {
		_, rest, found := strings.Cut(s, "%")
		if !found {
			return nil
		}
		if rest == "" {
			return unended
		}
		if rest[0] == '%' {
			s = rest[1:]
			continue
		}
		end, err := variable(rest)
		if err != nil {
			return err
		}
		if end < 0 {
			return unended
		}
		s = rest[end:]
	}
}

// variable returns the length of a variable with the % behind it; less than zero where it
// does not end.
func variable(s string) (int, error) {
	const (
		name = iota
		arguments
		list
		argument
		next
		closed
		ended
	)
	state := name
	for i := 0; i < len(s); i++ {
		b := s[i]
		switch state {
		case name:
			if b == '%' {
				return i + 1, nil
			}
			if b == '(' {
				state = arguments
			}
		case arguments:
			if b == '[' {
				state = list
			} else if b != ' ' {
				state = argument
			}
		case list:
			if b == '"' {
				state = argument
			} else if b != ' ' {
				return 0, errors.New(`has a list of arguments without quotes`)
			}
		case argument:
			switch b {
			case '\\':
				if i++; i == len(s) {
					return 0, errors.New(`has a backslash with nothing behind it`)
				}
			case ')':
				state = ended
			case '"':
				state = next
			}
		case next:
			switch b {
			case ',':
				state = list
			case ']':
				state = closed
			case ' ':
			default:
				return 0, errors.New(`has a list of arguments without commas`)
			}
		case closed:
			if b == ')' {
				state = ended
			} else if b != ' ' {
				return 0, errors.New(`has something behind a list of arguments`)
			}
		case ended:
			if b == '%' {
				return i + 1, nil
			}
			if b != ' ' {
				return 0, errors.New("has a variable that does not end with a %")
			}
		}
	}
	return -1, nil
}
