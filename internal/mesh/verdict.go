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

// rank orders the verdicts: one direct share makes the whole direct. A share
// that is blocked says nothing about the rest.
var rank = map[Verdict]int{Blocked: 0, Via: 1, Broken: 2, Undetermined: 3, Direct: 4}

// worst returns the outcome that decides: the first of the highest rank.
func worst(outcomes []outcome) (outcome, bool) {
	if len(outcomes) == 0 {
		return outcome{}, false
	}
	w := outcomes[0]
	for _, o := range outcomes[1:] {
		if rank[o.verdict] > rank[w.verdict] {
			w = o
		}
	}
	return w, true
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
