package mesh

// scopeKey groups the Sidecars that say the same.
func scopeKey(s *Sidecar) string { return s.Namespace + sep + s.Name }

// Clients returns the namespaces whose path for the host can differ from that
// of [AnyClient]: those that some object which bears on the host singles out.
func (m *Mesh) Clients(host string) []string { return nil }
