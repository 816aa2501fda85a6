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

// unkept are the kinds of workloads: they are judged when they are written, and
// no path depends on them, so that nobody keeps them.
var unkept = map[string]bool{
	"Pod": true, "ReplicationController": true, "Deployment": true, "StatefulSet": true, "DaemonSet": true,
	"ReplicaSet": true, "Job": true, "CronJob": true,
}

// Kept reports whether objects of the kind are kept for as long as they exist,
// and count among the bytes of their namespace.
func Kept(kind string) bool { return !unkept[kind] }
