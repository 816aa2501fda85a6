package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/rules"
)

// The parts of SARIF 2.1.0 that are written
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string       `json:"id"`
		HelpURI          string       `json:"helpUri,omitempty"`
		ShortDescription sarifText    `json:"shortDescription"`
		FullDescription  *sarifText   `json:"fullDescription,omitempty"`
		Help             sarifText    `json:"help"`
		Default          sarifDefault `json:"defaultConfiguration"`
	}
	sarifDefault struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
		Related   []sarifLocation `json:"relatedLocations,omitempty"`

		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
		Message  *sarifText     `json:"message,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

func (wr Writer) writeSARIF(w io.Writer, r *Review) error {
	driver := sarifDriver{Name: "sallyport", Version: wr.Version, Rules: []sarifRule{}}
	index := map[string]int{}
	for _, rule := range wr.Rules {
		index[rule.Name] = len(driver.Rules)
		driver.Rules = append(driver.Rules, describe(rule))
	}
	results := []sarifResult{}
	seen := map[string]int{}
	for _, o := range r.Objects {
		for _, f := range o.own() {
			i, ok := index[f.Rule]
			if !ok {
				i = len(driver.Rules)
				index[f.Rule] = i
				driver.Rules = append(driver.Rules, describe(&rules.Rule{Name: f.Rule, Doc: f.Rule, Severity: f.Severity}))
			}
			mark := fingerprint(o, f)
			seen[mark]++
			results = append(results, sarifResult{
				RuleID:    f.Rule,
				RuleIndex: i,
				Level:     level(f.Severity),
				Message:   sarifText{f.text()},
				Locations: []sarifLocation{{
					Physical: physical(o.File, cmp.Or(f.Line, o.Line)),
					Logical:  []sarifLogical{{Name: join("/", o.Kind, o.Namespace, o.Name) + "#" + f.Path, Kind: "member"}},
				}},
				Related:      related(f.Also),
				Fingerprints: map[string]string{fingerprintName: mark + ":" + strconv.Itoa(seen[mark])},
			})
		}
	}
	return writeJSON(w, sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{{Tool: sarifTool{driver}, Results: results}},
	})
}

// related are the other places of one cause: a result says what is wrong, and once.
func related(places []Place) []sarifLocation {
	var out []sarifLocation
	for _, p := range places {
		out = append(out, sarifLocation{
			Physical: physical(p.File, p.Line),
			Logical:  []sarifLogical{{Name: strings.Replace(p.Object, " ", "/", 1) + "#" + p.Path, Kind: "member"}},
			Message:  &sarifText{"The same goes for " + p.Object + "."},
		})
	}
	return out
}

func physical(file string, line int) sarifPhysical {
	return sarifPhysical{Artifact: sarifArtifact{uri(file)}, Region: sarifRegion{cmp.Or(line, 1)}}
}

// fingerprintName has the version of what it is made of: another way to make it gets
// another one, or whoever compares would take everything for new.
const fingerprintName = "sallyport/v1"

// fingerprint is the same for the same finding in two versions of a repository. It is
// made of the rule, the object and the field, without the places in lists, which move;
// and not of file, line and message, which say where the object has moved and who else
// is concerned. Those that are alike are numbered by who uses it.
func fingerprint(o Object, f Finding) string {
	h := sha256.New()
	for _, part := range []string{f.Rule, o.APIVersion[:max(strings.LastIndex(o.APIVersion, "/"), 0)], o.Kind, o.Namespace, o.Name, indices.ReplaceAllString(f.Path, "[]")} {
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var indices = regexp.MustCompile(`\[[0-9]+\]`)

func describe(rule *rules.Rule) sarifRule {
	title, rest, _ := strings.Cut(rule.Doc, "\n\n")
	s := sarifRule{
		ID:               rule.Name,
		ShortDescription: sarifText{title},
		Help:             sarifText{help(rule)},
		HelpURI:          helpURI(rule),
		Default:          sarifDefault{level(rule.Severity)},
	}
	if rest != "" {
		s.FullDescription = &sarifText{rest}
	}
	return s
}

// help is what viewers of SARIF show beside a result, which some of them take
// for required. Where more is to be read it says.
func help(rule *rules.Rule) string {
	switch {
	case slices.Contains(rules.All, rule):
		return rule.Doc + "\n\nSallyport's rules/README.md has an example, under " + rule.Name + "."
	case slices.Contains(Builtin, rule):
		return rule.Doc + "\n\nSallyport's docs/cli.md lists the findings that come from reading."
	default:
		return rule.Doc
	}
}

// pages is where the documentation of the repository is read.
const pages = "https://github.com/sallyport-io/sallyport/blob/main/"

// helpURI is where a rule is documented; empty for one that is not Sallyport's own.
func helpURI(rule *rules.Rule) string {
	switch {
	case slices.Contains(rules.All, rule):
		return pages + "rules/README.md#" + rule.Name
	case slices.Contains(Builtin, rule):
		return pages + "docs/cli.md"
	default:
		return ""
	}
}

func level(s rules.Severity) string {
	switch s {
	case rules.Deny:
		return "error"
	case rules.Warn:
		return "warning"
	default:
		return "note"
	}
}

// text is the message with what else there is to a finding, for formats without a
// place for it.
func (f Finding) text() string {
	text := f.Message
	if len(f.Also) > 0 {
		text += "\nThe same goes for:\n" + strings.TrimRight(listed(f.Also), "\n")
	}
	switch {
	case f.SameAs != "":
		text += "\nIt has one cause with what is found in " + f.SameAs + ", and one fix."
	case f.Fix != "":
		text += "\nFix:\n" + strings.TrimRight(f.Fix, "\n")
	}
	return text
}

// uri makes a file name a relative or file URI.
func uri(name string) string {
	if name == "-" {
		return "stdin"
	}
	slashed := filepath.ToSlash(name)
	if filepath.IsAbs(name) {
		return (&url.URL{Scheme: "file", Path: slashed}).String()
	}
	parts := strings.Split(slashed, "/")
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for _, p := range parts {
			if !yield(url.PathEscape(p)) {
				return
			}
		}
	}), "/")
}
