package reconcile

import (
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestFlight: what is seen of an object while a write of ours is on its way is
// no news where that write made it, and news where anything else did, where the
// write fails, and where somebody waits for it.
func TestFlight(t *testing.T) {
	ref := mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "api"}
	at := func(version string) change {
		return change{new: &mesh.ServiceEntry{Meta: mesh.Meta{Ref: ref, ResourceVersion: version}}}
	}
	for name, test := range map[string]struct {
		answers []string // of the writes; empty for one that fails
		awaited bool
		news    int // of the versions 2 and 3, which are seen meanwhile
	}{
		"another's":    {answers: []string{"2"}, news: 1},
		"two of ours":  {answers: []string{"2", "3"}, news: 0},
		"one fails":    {answers: []string{"2", ""}, news: 2},
		"it is waited": {answers: []string{"2", "3"}, awaited: true, news: 2},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKnown()
			for range test.answers {
				k.depart(ref)
			}
			k.flights[ref].aside = append(k.flights[ref].aside, at("2"), at("3"))
			if test.awaited && !k.await(ref, time.Now()) {
				t.Error("a write on its way is not known")
			}
			var news []change
			for i, version := range test.answers {
				news = k.arrive(ref, version)
				if last := i == len(test.answers)-1; !last && len(news) > 0 {
					t.Error("news before the last answer")
				}
			}
			if len(news) != test.news {
				t.Errorf("%d changes are news, want %d", len(news), test.news)
			}
			if len(k.flights) > 0 {
				t.Error("the flight is not over")
			}
		})
	}

	k := newKnown()
	if k.await(ref, time.Now()) {
		t.Error("a write is awaited that was not made")
	}
	k.echoes[ref] = echo{version: "2", before: "1"}
	if !k.await(ref, time.Now()) || k.echoed(ref, "2") {
		t.Error("a version that somebody waits for is no news")
	}
}
