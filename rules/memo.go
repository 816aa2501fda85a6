package rules

import "sync"

// Memo keeps what several rules derive from one Pass, so that it is computed
// once for all of them. Copies of a Pass share it. A nil Memo keeps nothing.
type Memo struct {
	mu     sync.Mutex
	values map[any]any
}

// Do returns the value under key, computing it where there is none yet. An
// error is returned and not kept.
func (m *Memo) Do(key any, compute func() (any, error)) (any, error) {
	if m == nil {
		return compute()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok {
		return v, nil
	}
	v, err := compute()
	if err != nil {
		return nil, err
	}
	if m.values == nil {
		m.values = map[any]any{}
	}
	m.values[key] = v
	return v, nil
}
