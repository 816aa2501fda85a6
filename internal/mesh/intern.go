package mesh

import "unique"

// intern returns the one copy of a string that many objects repeat:
// namespaces, protocols, the gateway's host. A decoded mesh would otherwise
// hold it once per occurrence.
func intern(s string) string {
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}

func internAll(list []string) {
	for i, s := range list {
		list[i] = intern(s)
	}
}

func internMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[intern(k)] = intern(v)
	}
	return out
}

func internDestinations(routes []RouteDestination) {
	for i := range routes {
		d := &routes[i].Destination
		d.Host, d.Subset = intern(d.Host), intern(d.Subset)
	}
}
