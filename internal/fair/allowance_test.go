package fair_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-io/sallyport/internal/fair"
)

// TestAllowance has one who always asks for more spend what it gets, for a minute:
// it gets its burst and its rate and not more than one piece of work beyond, and
// neither another namespace nor another source is kept from anything.
func TestAllowance(t *testing.T) {
	rates := fair.Rates{Namespace: 100, User: 400, Burst: 8}
	for _, tt := range []struct {
		name string
		who  func(i int) fair.Flow
		rate int64
	}{
		{"a namespace", func(i int) fair.Flow { return flow("evil", fmt.Sprint("m", i%7)) }, 100},
		{"a user", func(i int) fair.Flow { return flow(fmt.Sprint("evil-", i%50), "mallory") }, 400},
	} {
		for _, cost := range []int64{1, 90, 1000} {
			t.Run(fmt.Sprintf("%s, %d each", tt.name, cost), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := fair.NewAllowance(rates)
					spent := int64(0)
					const seconds = 60
					for began := time.Now(); time.Since(began) < seconds*time.Second; time.Sleep(5 * time.Millisecond) {
						for i := range 50 {
							if a.Due(tt.who(i)) == 0 {
								a.Charge(tt.who(i), cost)
								spent += cost
							}
						}
						other := tt.who(0)
						other.Source = "another"
						for _, f := range []fair.Flow{flow("good", "user"), other} {
							if due := a.Due(f); due != 0 {
								t.Fatalf("%v: %v", f, due)
							}
						}
					}
					// Of many users or namespaces each may overdraw once.
					least, most := tt.rate*seconds, tt.rate*(seconds+rates.Burst)+50*cost
					if spent < least || spent > most {
						t.Errorf("%d was spent, of at least %d and at most %d", spent, least, most)
					}
				})
			})
		}
	}
}

// TestAllowanceForgets charges names that are made up: once they are paid off
// nothing is left of them.
func TestAllowanceForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := fair.NewAllowance(fair.Rates{Namespace: 100, User: 100, Burst: 8})
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 10_000 {
			a.Charge(flow(fmt.Sprint(i), fmt.Sprint(-i)), r.Int64N(100))
		}
		time.Sleep(2 * time.Second)
		a.Charge(flow("one", "one"), 1)
		if n := a.Known(); n != 2 {
			t.Errorf("%d names are known, want a namespace and a user", n)
		}
	})
}
