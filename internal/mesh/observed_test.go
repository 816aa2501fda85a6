package mesh_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var update = flag.Bool("update", false, "write golden files")

// observed is what Istio's control plane made of a set of manifests.
type observed struct {
	Direct map[string][]string `json:"direct"`
	Via    map[string][]string `json:"via"`
}

// differs lists where we say more than Istio's routes show, and why.
var differs = map[string]string{
	// The routes name the gateway, but the client's own ServiceEntry has
	// taken its name: behind it is an address outside.
	"11-SE-hijacks-egw-host": "direct",
}

// TestObserved compares verdicts with what Istio's control plane was seen to
// program for the same manifests: a path is direct exactly where Istio's is.
func TestObserved(t *testing.T) {
	dirs, err := filepath.Glob("testdata/observed/*/all.yaml")
	if err != nil || len(dirs) < 92 {
		t.Fatalf("observed cases: %d, %v; want 92", len(dirs), err)
	}
	var golden bytes.Buffer
	for _, file := range dirs {
		dir := filepath.Dir(file)
		name := filepath.Base(dir)
		fmt.Fprintf(&golden, "%s\n", name)
		t.Run(name, func(t *testing.T) {
			m := mesh.New(mesh.DefaultSettings(), readYAML(t, file)...)
			var seen observed
			raw, err := os.ReadFile(filepath.Join(dir, "istio.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &seen); err != nil {
				t.Fatal(err)
			}
			clients := map[string]bool{"default": true}
			for c := range seen.Direct {
				clients[c] = true
			}
			for c := range seen.Via {
				clients[c] = true
			}
			for p := range m.AllPoints() {
				for _, c := range append(slices.Sorted(maps.Keys(clients)), mesh.AnyClient) {
					path := m.Paths(c, p.Host, p.Port)
					fmt.Fprintf(&golden, "  %s:%d %s from %s: %s\n", p.Host, p.Port, path.Protocol, c, path.Verdict)
					for _, b := range path.Because {
						fmt.Fprintf(&golden, "    %s %s: %s\n", b.Ref, b.Path, b.Message)
					}
					if c == mesh.AnyClient {
						continue
					}
					direct := reaches(seen.Direct[c], p)
					if want := differs[name]; want == "direct" && c == "default" {
						direct = true
					}
					if got := path.Verdict == mesh.Direct; got != direct {
						t.Errorf("%s:%d from %s: verdict %s, Istio's direct paths: %q\n%+v", p.Host, p.Port, c, path.Verdict, seen.Direct[c], path.Because)
					}
					if (path.Verdict == mesh.Via || path.Verdict == mesh.Broken) && direct {
						t.Errorf("%s:%d from %s: verdict %s, but Istio sends it out directly", p.Host, p.Port, c, path.Verdict)
					}
					if path.Verdict == mesh.Via && !reaches(seen.Via[c], p) {
						t.Errorf("%s:%d from %s: verdict via, Istio's paths to the gateway: %q", p.Host, p.Port, c, seen.Via[c])
					}
					if path.Verdict == mesh.Via && missing(seen.Via[c], p) {
						t.Errorf("%s:%d from %s: verdict via, but Istio's route has no cluster: %q", p.Host, p.Port, c, seen.Via[c])
					}
				}
			}
		})
	}
	const file = "testdata/observed.golden"
	if *update {
		if err := os.WriteFile(file, golden.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(golden.String(), "\n")); diff != "" {
		t.Errorf("verdicts changed; run with -update if that is right (-want +got):\n%s", diff)
	}
}

// line is one path of an observation: "0.0.0.0_443 sni=host tcp -> outbound|443|subset|host".
var line = regexp.MustCompile(`^(\S+) (?:sni=(\S+) )?(?:http (\S+?):(\d+)|tcp)?.*-> outbound\|(\d+)\|[^|]*\|(\S+)`)

// reaches reports whether a path of the list is the point's: its traffic goes
// there, or the path leads to the host itself.
func reaches(list []string, p mesh.Point) bool {
	port := fmt.Sprint(p.Port)
	for _, s := range list {
		m := line.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		listener := strings.HasSuffix(m[1], "_"+port)
		switch {
		case mesh.CanonicalHost(m[6]) == p.Host && m[5] == port,
			mesh.CanonicalHost(m[3]) == p.Host && m[4] == port,
			listener && slices.Contains(strings.Split(m[2], ","), p.Host),
			listener && p.Protocol == "TCP" && m[2] == "" && m[3] == "":
			return true
		}
	}
	return false
}

func missing(list []string, p mesh.Point) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		return strings.HasSuffix(s, " MISSING") && reaches([]string{s}, p)
	})
}

func readYAML(t testing.TB, file string) []mesh.Object {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return decodeYAML(t, file, raw)
}
