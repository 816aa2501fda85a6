package decisionlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/rules"
)

// masked stands where something was taken out.
const masked = "***"

// DefaultMask are the JSON paths whose values never reach the decision log, as
// [NewMask] reads them. Beside these, the value of every field or key whose
// name says that it is a credential is masked, and in all text what looks
// like one.
var DefaultMask = []string{
	`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`,
	`metadata.managedFields`,
	`spec.containers[*].env[*].value`,
	`spec.initContainers[*].env[*].value`,
	`spec.template.spec.containers[*].env[*].value`,
	`spec.template.spec.initContainers[*].env[*].value`,
	`spec.jobTemplate.spec.template.spec.containers[*].env[*].value`,
	`spec.jobTemplate.spec.template.spec.initContainers[*].env[*].value`,
}

// credentialKey matches names of fields, annotations and headers whose value
// is a credential; reference matches those whose value only names one.
var (
	credentialKey = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|secret|token|api[-_]?key|private[-_]?key|credential|authorization|cookie)s?$`)
	reference     = regexp.MustCompile(`(?i)(name|ref|refs|path|type|url|uri)s?$`)
)

// credentials are what looks like a credential in any text, each with what it
// is replaced by, and with characters of which one is in every text that has
// such a credential: few texts have, and the others are to cost little.
var credentials = []struct {
	pattern *regexp.Regexp
	by      string
	hint    string
}{
	{regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)`), masked, "-"},
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s"'@]+@`), "${1}" + masked + "@", "@"},                                // user and password of a URL
	{regexp.MustCompile(`([?&][^=&#\s"']+=)[^&#\s"']+`), "${1}" + masked, "?&"},                                                // the query of a URL
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9+/._~=-]{8,}`), "${1} " + masked, "Bb"},                                 // a header's value
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`), masked, "J"},                                // a JSON web token
	{regexp.MustCompile(`(?i)\b(password|passwd|secret|token|api[-_]?key)(\s*[=:]\s*)[^\s"',;&]+`), "${1}${2}" + masked, "=:"}, // NAME=VALUE
}

// scrub masks what looks like a credential in a text.
func scrub(s string) string {
	for _, c := range credentials {
		if strings.ContainsAny(s, c.hint) {
			s = c.pattern.ReplaceAllString(s, c.by)
		}
	}
	return s
}

// Mask says what the decision log must not have.
type Mask struct{ paths [][]string }

// NewMask makes a mask of JSON paths as findings have them:
// spec.hosts[0], metadata.annotations["a.example/b"]; [*] stands for every
// element or key.
func NewMask(paths []string) (*Mask, error) {
	m := &Mask{}
	for _, p := range paths {
		steps, err := parsePath(p)
		if err != nil {
			return nil, err
		}
		m.paths = append(m.paths, steps)
	}
	return m, nil
}

var step = regexp.MustCompile(`^(?:\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\*|[0-9]+|"(?:[^"\\]|\\.)*")\])`)

// parsePath splits a JSON path into names, indices and "*".
func parsePath(path string) ([]string, error) {
	var steps []string
	for rest := path; rest != ""; {
		found := step.FindStringSubmatch(rest)
		if found == nil || len(steps) == 0 && rest[0] == '.' || len(steps) > 0 && found[1] != "" && rest[0] != '.' {
			return nil, fmt.Errorf("%q is no JSON path at %q; write spec.hosts[0], spec.ports[*].name or metadata.annotations[\"example.com/key\"]", path, rest)
		}
		name := found[1] + found[2]
		if unquoted, err := strconv.Unquote(found[2]); err == nil {
			name = unquoted
		}
		steps = append(steps, name)
		rest = rest[len(found[0]):]
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("a JSON path is empty")
	}
	return steps, nil
}

// covers reports whether the value at the path, or one around it, is masked.
func (m *Mask) covers(path []string) bool {
	return slices.ContainsFunc(m.paths, func(p []string) bool {
		if len(p) > len(path) {
			return false
		}
		for i, name := range p {
			if name != "*" && name != path[i] {
				return false
			}
		}
		return true
	})
}

// namesCredential reports whether the last name of the path says that a text
// or number there, or in a list there, is a credential.
func namesCredential(path []string) bool {
	i := len(path) - 1
	for i > 0 && isIndex(path[i]) {
		i--
	}
	if i < 0 {
		return false
	}
	key := path[i]
	return credentialKey.MatchString(key) && !reference.MatchString(key)
}

func isIndex(step string) bool {
	_, err := strconv.ParseUint(step, 10, 0)
	return err == nil
}

// object returns the masked object.
func (m *Mask) object(raw []byte) json.RawMessage {
	object, ok := decodeAny(raw)
	if !ok {
		return nil
	}
	out, err := json.Marshal(m.walk(object, nil, func(any) {}, scrub))
	if err != nil {
		return nil
	}
	return out
}

// secrets returns the texts that are masked in the object.
func (m *Mask) secrets(raw []byte) []string {
	object, ok := decodeAny(raw)
	if !ok {
		return nil // nothing was judged either
	}
	var secrets []string
	m.walk(object, nil, func(value any) { collect(value, &secrets) }, func(s string) string { return s })
	return secrets
}

func decodeAny(raw []byte) (value any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err := d.Decode(&value)
	return value, err == nil
}

// walk masks the value, hands over what it takes out, and treats the text that
// it leaves.
func (m *Mask) walk(value any, path []string, taken func(any), treat func(string) string) any {
	if m.covers(path) {
		taken(value)
		return masked
	}
	path = slices.Clip(path)
	switch v := value.(type) {
	case map[string]any:
		for key, sub := range v {
			v[key] = m.walk(sub, append(path, key), taken, treat)
		}
	case []any:
		for i, sub := range v {
			v[i] = m.walk(sub, append(path, strconv.Itoa(i)), taken, treat)
		}
	case string:
		if namesCredential(path) {
			taken(v)
			return masked
		}
		return treat(v)
	case json.Number:
		if namesCredential(path) {
			taken(v.String())
			return masked
		}
	}
	return value
}

// collect adds every text in a masked value that is long enough to be told
// from ordinary words.
func collect(value any, secrets *[]string) {
	const shortest = 4
	switch v := value.(type) {
	case map[string]any:
		for _, sub := range v {
			collect(sub, secrets)
		}
	case []any:
		for _, sub := range v {
			collect(sub, secrets)
		}
	case string:
		if len(v) >= shortest {
			*secrets = append(*secrets, v)
		}
	}
}

// message is the finding's message without secrets: none at all where it is
// about a masked value, or where there are too many secrets to look for.
func (m *Mask) message(f rules.Finding, secrets []string) string {
	const (
		longest = 8 * maxText
		most    = 500
	)
	if len(f.Message) > longest || len(secrets) > most {
		return fmt.Sprintf("(%d bytes)", len(f.Message))
	}
	if path, err := parsePath(f.Path); err == nil && (m.covers(path) || namesCredential(path)) {
		return masked
	}
	text := f.Message
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, masked)
		quoted := strconv.Quote(s)
		quoted = quoted[1 : len(quoted)-1]
		text = withoutHalf(withoutHalf(strings.ReplaceAll(text, quoted, masked), s), quoted)
	}
	return scrub(text)
}

// withoutHalf masks the beginning of a secret at the end of a text that was cut.
func withoutHalf(text, secret string) string {
	const shortest = 4
	cut, ok := strings.CutSuffix(text, "...")
	if !ok {
		return text
	}
	for n := min(len(secret), len(cut)); n >= shortest; n-- {
		if strings.HasSuffix(cut, secret[:n]) {
			return cut[:len(cut)-n] + masked + "..."
		}
	}
	return text
}
