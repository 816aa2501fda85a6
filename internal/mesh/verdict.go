package mesh

import "strconv"

// outcome is what becomes of one share of a client's traffic.
type outcome struct {
	verdict Verdict
	gateway string // name of the approved gateway that it reaches
	because []Reason
	hops    []Hop
	// Where direct traffic goes.
	host string
	port int
}

// rank orders verdicts: one direct share makes the whole direct. A share
// that is blocked says nothing about the rest.
func (v Verdict) rank() int {
	switch v {
	case Via:
		return 1
	case Broken:
		return 2
	case Undetermined:
		return 3
	case Direct:
		return 4
	default: // Blocked
		return 0
	}
}

// worst returns the outcome that decides: the first of the highest rank.
func worst(outcomes []outcome) (outcome, bool) {
	if len(outcomes) == 0 {
		return outcome{}, false
	}
	w := 0
	for i := range outcomes {
		if outcomes[i].verdict.rank() > outcomes[w].verdict.rank() {
			w = i
		}
	}
	return outcomes[w], true
}

// alongside is append for outcomes of which nobody else has hold.
func alongside(outcomes, more []outcome) []outcome {
	if len(outcomes) == 0 {
		return more
	}
	return append(outcomes, more...)
}

// indexed is the JSON path of an element.
func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
