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

func internAll(list []string) []string {
	if len(list) == 0 {
		return list // nil and empty may differ
	}
	list = fit(list)
	for i, s := range list {
		list[i] = intern(s)
	}
	return list
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

// fit returns the list without spare room. Decoding leaves room for four
// elements where there is one.
func fit[T any](list []T) []T {
	if len(list) == cap(list) {
		return list
	}
	return append(make([]T, 0, len(list)), list...)
}

func fitDestinations(routes []RouteDestination) []RouteDestination {
	routes = fit(routes)
	for i := range routes {
		d := &routes[i].Destination
		d.Host, d.Subset = intern(d.Host), intern(d.Subset)
	}
	return routes
}
