package policies

import (
	"fmt"
	"time"

	"github.com/sallyport-io/sallyport/internal/expiry"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// exception is an entry of the parameter "exceptions" that every policy has:
// until its end, what the policy finds in the named objects is for the record
// only. It ends by itself; nobody has to remember it.
type exception struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"` // empty: every object of the namespace
	Until     string `json:"until"`
	Ticket    string `json:"ticket"`
}

var exceptionsSchema = map[string]any{
	"type":        "array",
	"description": "objects in which the policy's findings are for the record only, until a date",
	"items": map[string]any{
		"type":                 "object",
		"additionalProperties": false,
		"required":             []any{"namespace", "until", "ticket"},
		"properties": map[string]any{
			"namespace": map[string]any{"type": "string", "minLength": 1},
			"name":      map[string]any{"type": "string"},
			"until":     map[string]any{"type": "string", "pattern": expiry.Pattern},
			"ticket":    map[string]any{"type": "string", "minLength": 1},
		},
	},
}

// covers reports whether the exception holds for the object at that time.
func (e exception) covers(ref mesh.Ref, now string) (bool, error) {
	if e.Namespace != ref.Namespace || (e.Name != "" && e.Name != ref.Name) {
		return false, nil
	}
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		return false, fmt.Errorf("time of the request: %w", err)
	}
	end, err := e.end()
	return at.Before(end), err
}

func (e exception) end() (time.Time, error) {
	end, err := expiry.Parse(e.Until)
	if err != nil {
		return end, fmt.Errorf("exception for namespace %s: until: %w", e.Namespace, err)
	}
	return end, nil
}
