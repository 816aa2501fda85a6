package mesh

import "slices"

// Kinds returns the names of the kinds that the model holds, sorted.
func Kinds() []string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
