package fair

// Known is how many names the limiter remembers.
func (l *Limiter) Known() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.flows) + len(l.sources) + len(l.namespaces) + len(l.users)
}

// Known is how many names the allowance remembers.
func (a *Allowance) Known() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.namespaces) + len(a.users)
}
