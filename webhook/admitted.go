package webhook

import (
	"context"
	"fmt"
	"net/http"
)

// provenKey is where the context of a request has whether it is known to be the
// API server's.
type provenKey struct{}

// admitted lets requests through to an entry that are known to be the API
// server's, marked as such, and others unmarked, or not where they must be known.
// Of what is refused nothing is read.
func admitted(next http.Handler, entry string, o Options) http.Handler {
	if o.Proven == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := o.Proven(r)
		if err == nil {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), provenKey{}, true)))
			return
		}
		o.Metrics.unproven.WithLabelValues(entry).Inc()
		if !o.Required {
			next.ServeHTTP(w, r)
			return
		}
		// The connection may be older than the authorities; the API server is to
		// make another one.
		w.Header().Set("Connection", "close")
		http.Error(w, fmt.Sprintf("sallyport answers the API server alone, and this may be somebody else: %v; "+
			"docs/server.md says how the API server gets a client certificate", err), http.StatusForbidden)
	})
}
