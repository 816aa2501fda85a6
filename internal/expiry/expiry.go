// Package expiry reads the ends of exceptions as people write them.
package expiry

import (
	"fmt"
	"time"
)

// Pattern is a day, whose end in UTC is meant, or an instant.
const Pattern = `^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2}))?$`

// Parse returns the instant at which what lasts until then is over.
func Parse(until string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, until); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	end, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a day (2026-12-31) nor an instant (2026-12-31T18:00:00Z)", until)
	}
	return end, nil
}
