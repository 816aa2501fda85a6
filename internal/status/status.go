// Package status shows what a server is doing at this moment: a page for
// people, JSON for programs. It tells numbers and the platform's own policies,
// no secret and nothing that tenants have written.
package status

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-io/sallyport/internal/build"
	"github.com/sallyport-io/sallyport/internal/policysource"
)

// Status is everything that the page shows. Its JSON is what programs get.
type Status struct {
	Build build.Info `json:"build"`
	// Time is when the status was taken, Started when the server began.
	Time    time.Time `json:"time"`
	Started time.Time `json:"started"`
	// Leader is whether this replica writes. Every replica answers reviews.
	Leader bool `json:"leader"`
	// Waiting says what the server waits for before it judges, at its start or
	// once it can no longer follow the cluster; empty while it judges.
	Waiting  string              `json:"waiting,omitempty"`
	Mesh     Mesh                `json:"mesh"`
	Policies policysource.Status `json:"policies"`
}

// Mesh is the size of what writes are judged in.
type Mesh struct {
	Synced bool `json:"synced"`
	// Objects is the number of objects by kind.
	Objects map[string]int `json:"objects"`
	// Hosts is the number of different hosts that ServiceEntries register.
	Hosts int `json:"hosts"`
	// Undecodable counts how often an object was left out because it could not
	// be decoded.
	Undecodable int `json:"undecodable"`
}

//go:embed page.html
var source string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"when": func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.DateTime) + " UTC"
	},
}).Parse(source))

// Handler serves the status: HTML, or JSON where the client asks for it by
// ?format=json or by its header Accept.
func Handler(now func() Status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the status can only be read", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept")
		h.Set("X-Content-Type-Options", "nosniff")
		// Nothing on the page is to be executed or fetched, whatever a policy's
		// title says.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		var body bytes.Buffer
		var err error
		if wantsJSON(r) {
			h.Set("Content-Type", "application/json")
			e := json.NewEncoder(&body)
			e.SetIndent("", "  ")
			err = e.Encode(now())
		} else {
			h.Set("Content-Type", "text/html; charset=utf-8")
			err = page.Execute(&body, now())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = body.WriteTo(w) // a client that went away does not need it
	})
}

func wantsJSON(r *http.Request) bool {
	if format := r.URL.Query().Get("format"); format != "" {
		return format == "json"
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}
