package rules

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestWholeObjectsAreBounded: findings come with whole objects while those are few and
// short, and each byte that is printed is paid.
func TestWholeObjectsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		bytes   int // of each object
		printed int // of twenty findings
	}{
		{"short", 1 << 10, mostChanged},
		{"middling", 20 << 10, 3},
		{"long", 70 << 10, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := fmt.Appendf(nil, `{"kind":"HTTPRoute","metadata":{"name":"a"},"spec":{"x":%q}}`, strings.Repeat("x", tt.bytes))
			steps := budget.New(context.Background(), 1<<40)
			m := mesh.New(mesh.Settings{})
			p := &Pass{After: m.Bounded(steps), Written: func(mesh.Ref) []byte { return raw }}
			printed, size := 0, 0
			for range 20 {
				fix := p.changed(mesh.Ref{Kind: "HTTPRoute", Name: "a"}, "Do it.\n", func(map[string]any) bool { return true })
				if strings.Contains(fix.String(), "kind: HTTPRoute") {
					printed, size = printed+1, size+len(fix.String())
				}
			}
			if printed != tt.printed {
				t.Errorf("%d objects were printed, want %d", printed, tt.printed)
			}
			if steps.Spent() < 5*int64(size) {
				t.Errorf("%d bytes cost %d steps", size, steps.Spent())
			}
		})
	}
}
