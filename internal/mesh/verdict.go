package mesh

import "strconv"

// outcome is what becomes of one share of a client's traffic.
type outcome struct {
	verdict Verdict
	gateway string // name of the approved gateway that it reaches
	because []Reason
	hops    []Hop
	// passed is set where direct traffic leaves for what the client does, and not
	// for what is registered.
	passed bool
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

// graver reports whether a share of the traffic is worse than another. What the
// client opens by itself does not cover what somebody else opens.
func graver(a Verdict, passed bool, b Verdict, otherPassed bool) bool {
	if a == Direct && b == Direct {
		return otherPassed && !passed
	}
	return a.rank() > b.rank()
}

// worst returns the outcome that decides: the first of the highest rank.
func worst(outcomes []outcome) (outcome, bool) {
	if len(outcomes) == 0 {
		return outcome{}, false
	}
	w := 0
	for i := range outcomes {
		if graver(outcomes[i].verdict, outcomes[i].passed, outcomes[w].verdict, outcomes[w].passed) {
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
