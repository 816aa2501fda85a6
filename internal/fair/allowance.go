package fair

import (
	"errors"
	"math"
	"sync"
	"time"
)

// ErrSpent is why nothing is given to who has lately spent more than it may.
var ErrSpent = errors.New("it has spent all that it may for now")

// Rates are what an [Allowance] lets one namespace and one user spend, in units
// that the caller counts.
type Rates struct {
	// Namespace and User are how much one of each may spend a second in the long
	// run.
	Namespace, User int64
	// Burst is for how many seconds of that it may spend at once, after it has
	// spent nothing.
	Burst int64
}

// Allowance bounds what is spent in the course of time, where a [Limiter] bounds
// what is held at once: who always has one place in use leaves the others theirs,
// and still has the processor for itself for as long as it goes on.
//
// What something costs is known only afterwards. So it is charged then, and who
// is overdrawn by it waits until the time that goes by has paid for it
// ([Allowance.Due]). It is safe for concurrent use.
type Allowance struct {
	rates Rates

	mu         sync.Mutex
	namespaces map[key]*account
	users      map[key]*account
	swept      time.Time
}

// account is what was spent and is not paid for yet.
type account struct {
	owes float64
	at   time.Time // until when it was paid off
}

// NewAllowance returns an allowance of which nothing is spent.
func NewAllowance(r Rates) *Allowance {
	return &Allowance{rates: r, namespaces: make(map[key]*account), users: make(map[key]*account)}
}

// Due is how long it takes until what the flow's namespace and user have spent is
// no more than they may: 0 where they may spend. A nil Allowance bounds nothing.
func (a *Allowance) Due(f Flow) time.Duration {
	if a == nil {
		return 0
	}
	return max(0, a.Owed(f)-time.Duration(a.rates.Burst)*time.Second)
}

// Owed is how long it takes until all that the flow's namespace and user have spent
// is paid off.
func (a *Allowance) Owed(f Flow) time.Duration {
	if a == nil {
		return 0
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.namespaces[key{f.Source, f.Namespace}].owed(a.rates.Namespace, now), a.users[key{f.Source, f.User}].owed(a.rates.User, now))
}

// Charge says what the flow has spent. It may be called more than once for the
// same work, and is never refused.
func (a *Allowance) Charge(f Flow, units int64) {
	if a == nil || units <= 0 {
		return
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	charge(a.namespaces, key{f.Source, f.Namespace}, units, a.rates.Namespace, now)
	charge(a.users, key{f.Source, f.User}, units, a.rates.User, now)
	// Names that were made up take no memory once they are paid off.
	if now.Sub(a.swept) > time.Second {
		a.swept = now
		sweep(a.namespaces, a.rates.Namespace, now)
		sweep(a.users, a.rates.User, now)
	}
}

// owed is how long it takes to pay off an account, which may be none.
func (c *account) owed(rate int64, now time.Time) time.Duration {
	if c == nil {
		return 0
	}
	// Up, so that nothing is owed once that has gone by.
	return time.Duration(math.Ceil(c.rest(rate, now) / float64(rate) * float64(time.Second)))
}

func charge(accounts map[key]*account, k key, units, rate int64, now time.Time) {
	c := accounts[k]
	if c == nil {
		c = new(account)
		accounts[k] = c
	}
	c.owes, c.at = c.rest(rate, now)+float64(units), now
}

func sweep(accounts map[key]*account, rate int64, now time.Time) {
	for k, c := range accounts {
		if c.rest(rate, now) == 0 {
			delete(accounts, k)
		}
	}
}

// rest is what is still owed at a time.
func (c *account) rest(rate int64, now time.Time) float64 {
	return max(0, c.owes-now.Sub(c.at).Seconds()*float64(rate))
}
