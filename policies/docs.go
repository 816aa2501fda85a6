package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Markdown is the reference of the set's policies: a table, and one section
// for each policy, with its sample where the sources have one (FILE.txtar
// beside FILE.rego).
func (s *Set) Markdown(sources ...Source) (string, error) {
	var b strings.Builder
	b.WriteString("| policy | what it asks | severity | kinds |\n|---|---|---|---|\n")
	for _, p := range s.Policies {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", p.Name, p.Name, p.Title, p.Severity, strings.Join(p.Kinds, ", "))
	}
	for _, p := range s.Policies {
		if err := p.section(&b, sources); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func (p *Policy) section(b *strings.Builder, sources []Source) error {
	fmt.Fprintf(b, "\n### %s\n\n%s\n", p.Name, strings.TrimSpace(p.Description))
	fmt.Fprintf(b, "\nSource: [%[1]s](%[1]s). Severity: %s. Kinds: %s. Operations: %s.\n",
		p.File, p.Severity, strings.Join(p.Kinds, ", "), strings.Join(p.Operations, ", "))
	if len(p.Parameters) > 0 {
		b.WriteString("\n| parameter | type | meaning | default |\n|---|---|---|---|\n")
		for _, parameter := range p.Parameters {
			def, err := parameter.defaultText(p)
			if err != nil {
				return fmt.Errorf("policy %s: parameter %s: %w", p.Name, parameter.Name, err)
			}
			fmt.Fprintf(b, "| `%s` | %v | %s | %s |\n", parameter.Name, parameter.Schema["type"], cell(parameter.Description), def)
		}
	}
	sample, err := sampleOf(p, sources)
	if err != nil || sample == nil {
		return err
	}
	for _, f := range sample.Files {
		switch f.Name {
		case "config.yaml":
			fmt.Fprintf(b, "\nWith this configuration:\n\n```yaml\n%s```\n", f.Data)
		case "bad.yaml":
			fmt.Fprintf(b, "\nthis is found:\n\n```yaml\n%s```\n", f.Data)
		case "want":
			fmt.Fprintf(b, "\n```text\n%s```\n", f.Data)
		}
	}
	return nil
}

func (p Parameter) defaultText(policy *Policy) (string, error) {
	switch value, ok := policy.values[p.Name]; {
	case p.Required && ok:
		return "in the data file", nil
	case p.Required:
		return "required", nil
	default:
		text, err := json.Marshal(value)
		return "`" + cell(string(text)) + "`", err
	}
}

func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "\\|")
}

// sampleOf returns the archive beside the policy's module, or nil.
func sampleOf(p *Policy, sources []Source) (*txtar.Archive, error) {
	for _, src := range sources {
		file, ok := strings.CutPrefix(strings.TrimSuffix(p.File, ".rego")+".txtar", src.Name+"/")
		if !ok {
			continue
		}
		content, err := fs.ReadFile(src.FS, file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("sample of policy %s: %w", p.Name, err)
		}
		return txtar.Parse(content), nil
	}
	return nil, nil
}
