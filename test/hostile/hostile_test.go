// Package hostile attacks the running server on a real API server: a tenant
// sends the objects that are dearest to judge, as many at a time as it likes, and
// somebody who reaches the port forges reviews, while other tenants work.
//
// As a test it takes half a minute, in a small mesh; "make hostile" lets it last
// ten minutes in a large one, and writes what came of it into docs/security.md.
package hostile

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/hostiletest"
)

var (
	length     = flag.Duration("length", 12*time.Second, "how long the storm lasts")
	namespaces = flag.Int("namespaces", 300, "namespaces of the mesh")
	hosts      = flag.Int("hosts", 300, "hosts of the mesh")
	page       = flag.String("page", "", "write the table into this file, between its lines of comment")
)

const (
	// mostP99 is what other tenants may have to wait for while somebody attacks: for
	// the webhook, and for a write as a whole unless it takes more than half of its time
	// under a webhook that does nothing, too. The one API server that there is here spends
	// its time on the attacker's writes, on the same cores.
	mostP99 = 250 * time.Millisecond
	// mostIdle is the share of a core that the server may use a second after the
	// last request.
	mostIdle = 0.2
)

// scene is an attack of its own, played after the storm on the same cluster.
type scene struct {
	name string
	// play attacks, and says in rows of the table what came of it.
	play func(t *testing.T, c *cluster) [][2]string
}

// scenes are played in order. Each uses namespaces of its own.
var scenes = []scene{{"deletions", deletions}}

// TestHostile is the storm, and what is left afterwards.
func TestHostile(t *testing.T) {
	if *namespaces < 2*honest || *hosts < 1 {
		t.Fatalf("the mesh needs %d namespaces and a host", 2*honest)
	}
	c := start(t, *namespaces, *hosts)
	var tenants []*client
	for i := range honest {
		tenants = append(tenants, c.tenant(t, namespaceOf(i), fmt.Sprint("user-", i)))
	}
	attacker := c.tenant(t, hostiletest.Namespace, "mallory")
	arms := arm(t)
	c.settled(t)
	process := c.server.Process()
	pid := process.PID()

	calm := &storm{cluster: c, name: "calm", calm: true, process: process}
	calm.rage(t, tenants, attacker, arms, max(*length/20, 4*time.Second))
	fury := &storm{cluster: c, name: "fury", writes: true, port: c.server.URL, process: process}
	fury.rage(t, tenants, attacker, arms, *length)
	idle := c.idle(t, pid)
	var rows [][2]string
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) { rows = append(rows, s.play(t, c)...) })
	}
	c.survived(t, pid)
	// The same on the same cores, but for the judge.
	floor := &storm{cluster: c, name: "floor", writes: true, port: c.alwaysAllow(t)}
	floor.rage(t, tenants, attacker, arms, max(*length/10, 6*time.Second))

	table := c.table(t, calm, fury, floor, idle, rows)
	fmt.Println(table)
	if *page != "" {
		insert(t, *page, table)
	}
	for _, s := range []*storm{calm, fury} {
		for i, r := range s.refused {
			if i < 10 {
				t.Errorf("another tenant's write was refused: %s", r)
			}
		}
		// The API server shares the cores with the attack. That it loses a
		// connection is no refusal, but none of what an operator is to see.
		for i, l := range s.lost {
			if i < 10 && *length >= time.Minute {
				t.Errorf("another tenant's write got no answer from the API server: %s", l)
			}
		}
		if len(s.took) < honest {
			t.Errorf("the other tenants have written %d times: that shows nothing", len(s.took))
		}
	}
	for _, who := range []string{"attacker at the port", "forger"} {
		if n := fury.outcomes[who+": turned away: its fair share was in hand"]; n == 0 {
			t.Errorf("none of the %s's reviews was turned away: that was no storm", who)
		}
	}
	// In half a minute a hundred writes are made, and one of them is the 99th
	// percentile: on a busy machine that is chance.
	reviews, writes := percentile(fury.answered, 99), percentile(fury.took, 99)
	mostReviews, mostWrites := mostP99, max(mostP99, 2*percentile(floor.took, 99))
	if *length < time.Minute {
		mostReviews, mostWrites = max(4*mostP99, 2*percentile(floor.answered, 99)), max(mostP99, 5*percentile(floor.took, 99))
	}
	if reviews > mostReviews {
		t.Errorf("the 99th percentile of the other tenants' reviews is %v, of at most %v", reviews, mostReviews)
	}
	// One API server that is attacked itself: what it needs is not the webhook's.
	if writes > mostWrites {
		t.Errorf("the 99th percentile of the other tenants' writes is %v, of at most %v, twice that where everything is allowed", writes, mostWrites)
	}
	if idle > mostIdle {
		t.Errorf("a second after the last request the server uses %.2f cores", idle)
	}
}

// survived sees that the server is the process that it was, and works.
func (c *cluster) survived(t *testing.T, pid int) {
	t.Helper()
	select {
	case <-c.server.Process().Done():
		c.ended = fmt.Errorf("the server has ended: %w", c.server.Process().Err())
		t.Error(c.ended)
	default:
	}
	if got := c.server.Process().PID(); got != pid {
		t.Errorf("the server is process %d, was %d", got, pid)
	}
	if c.group != nil && c.group.kills(t) > 0 {
		t.Error("the kernel has ended the server for want of memory")
	}
	if ready := c.ready(t); ready != "" {
		t.Errorf("the server is not ready: %s", ready)
	}
}

// object is one of the attacker's objects, and where it is created.
type object struct {
	path string
	raw  []byte
}

// arm makes the attacker's objects, of every kind and shape that a tenant may
// create in its namespace, in an order that mixes them.
func arm(t *testing.T) []object {
	t.Helper()
	var arms []object
	for o := range hostiletest.Objects(hostiletest.StoredSize, false) {
		path, err := pathOf(o.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(path, "/namespaces/"+hostiletest.Namespace+"/") {
			arms = append(arms, object{path, o.JSON})
		}
	}
	if len(arms) < attackers {
		t.Fatalf("%d objects: too few", len(arms))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(arms), func(i, j int) { arms[i], arms[j] = arms[j], arms[i] })
	return arms
}

// idle is how many cores the server uses, from a second after the last request
// on, for a second.
func (c *cluster) idle(t *testing.T, pid int) float64 {
	t.Helper()
	time.Sleep(time.Second)
	before, began := cpuTime(t, pid), time.Now()
	time.Sleep(time.Second)
	return (cpuTime(t, pid) - before).Seconds() / time.Since(began).Seconds()
}

// cpuTime is how long a process has computed.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have spaces
	fields := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	const perSecond = 100 // USER_HZ, which Linux keeps the same everywhere
	return time.Duration(user+system) * time.Second / perSecond
}
