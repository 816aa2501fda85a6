package main

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// heldFor is how long a connection waits for others to end: as long as a client of
// Go's waits for the handshake.
const heldFor = 10 * time.Second

// bounded is a listener with a bound on the connections that are served, in all and
// from one address. What is beyond waits, unread, until others end. An API server
// opens a connection for each review for which it has none at the moment, and sends
// the review over whichever is the first to be there: to close the others would deny
// the writes that these were opened for.
type bounded struct {
	net.Listener
	most, each         int // that are served
	mostHeld, eachHeld int // that wait
	start              sync.Once

	mu     sync.Mutex
	some   sync.Cond  // that something is ready
	ready  []accepted // to be served
	open   int
	by     map[string]int // how many are open, by address
	held   []*heldConn    // the first came first
	heldBy map[string]int
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// heldConn is a connection that waits.
type heldConn struct {
	net.Conn
	host  string
	timer *time.Timer
}

func newBounded(l net.Listener) *bounded {
	b := &bounded{
		Listener: l, most: connections, each: connectionsEach, mostHeld: heldConnections, eachHeld: heldConnectionsEach,
		by: make(map[string]int), heldBy: make(map[string]int),
	}
	b.some.L = &b.mu
	return b
}

// Accept implements [net.Listener].
func (b *bounded) Accept() (net.Conn, error) {
	b.start.Do(func() { go b.accept() })
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.ready) == 0 {
		b.some.Wait()
	}
	a := b.ready[0]
	b.ready = slices.Delete(b.ready, 0, 1)
	return a.conn, a.err
}

// accept goes on until the listener is closed.
func (b *bounded) accept() {
	for {
		conn, err := b.Listener.Accept()
		if err == nil {
			host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
			if err != nil {
				host = conn.RemoteAddr().String()
			}
			b.enter(conn, host)
			continue
		}
		b.fail(err)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		time.Sleep(10 * time.Millisecond) // it may be out of descriptors
	}
}

// fail has Accept return an error. While one is still to be returned others like it add
// nothing: who serves pauses after each.
func (b *bounded) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.ready); n == 0 || b.ready[n-1].err == nil || errors.Is(err, net.ErrClosed) {
		b.ready = append(b.ready, accepted{err: err})
	}
	b.some.Signal()
	if errors.Is(err, net.ErrClosed) {
		for _, h := range slices.Clone(b.held) {
			b.drop(h)
		}
	}
}

// enter has a connection served, or wait. Where too many wait it is closed.
func (b *bounded) enter(conn net.Conn, host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.fits(host):
		b.serve(conn, host)
	case len(b.held) < b.mostHeld && b.heldBy[host] < b.eachHeld:
		h := &heldConn{Conn: conn, host: host}
		b.held = append(b.held, h)
		b.heldBy[host]++
		h.timer = time.AfterFunc(heldFor, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.drop(h)
		})
	default:
		_ = conn.Close()
	}
}

func (b *bounded) fits(host string) bool { return b.open < b.most && b.by[host] < b.each }

func (b *bounded) serve(conn net.Conn, host string) {
	b.open++
	b.by[host]++
	b.ready = append(b.ready, accepted{conn: &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { b.leave(host) })}})
	b.some.Signal()
}

// drop closes a connection that waits, if it still does.
func (b *bounded) drop(h *heldConn) {
	if b.unhold(h) {
		_ = h.Close()
	}
}

// unhold takes a connection from those that wait, and reports whether it was there.
func (b *bounded) unhold(h *heldConn) bool {
	i := slices.Index(b.held, h)
	if i < 0 {
		return false
	}
	h.timer.Stop()
	b.held = slices.Delete(b.held, i, i+1)
	if b.heldBy[h.host]--; b.heldBy[h.host] == 0 {
		delete(b.heldBy, h.host)
	}
	return true
}

func (b *bounded) leave(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.by[host]--; b.by[host] == 0 {
		delete(b.by, host)
	}
	for _, h := range b.held {
		if b.fits(h.host) {
			b.unhold(h)
			b.serve(h.Conn, h.host)
			return
		}
	}
}

// boundedConn is counted until it is closed.
type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements [net.Conn].
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
