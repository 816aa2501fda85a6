package review

import (
	"cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

func comparePoints(a, b mesh.Point) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
}

// ComparePaths orders paths by host, port and client.
func ComparePaths(a, b mesh.Path) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Client, b.Client))
}
