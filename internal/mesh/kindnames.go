package mesh

import (
	"iter"
	"reflect"
	"slices"
)

// Kinds returns the names of the kinds that the model holds, sorted.
func Kinds() []string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// APIKinds yields the kinds that the model holds as the API names them: the group and
// the kind.
func APIKinds() iter.Seq2[string, string] {
	return func(yield func(group, kind string) bool) {
		for k := range kinds {
			if !yield(k.group, k.kind) {
				return
			}
		}
	}
}

// NameOf returns the model's name of an API kind, which is the kind's own unless
// two groups have kinds of that name.
func NameOf(group, name string) string {
	if k, ok := kinds[groupKind{group, name}]; ok {
		return k.name
	}
	return name
}

// Read returns the type whose fields, by their JSON names, are those that the
// model reads of the spec of an API kind; nil where it reads none one by one.
func Read(group, name string) reflect.Type { return kinds[groupKind{group, name}].wire }

// unkept are the kinds of workloads, and of network plugins: they are judged when
// they are written, and no path depends on them, so that nobody keeps them.
var unkept = map[string]bool{
	"CiliumNetworkPolicy": true, "CiliumClusterwideNetworkPolicy": true, "CiliumLocalRedirectPolicy": true, "CiliumEnvoyConfig": true,
	"CiliumClusterwideEnvoyConfig": true, "CalicoNetworkPolicy": true, "GlobalNetworkPolicy": true, "NetworkSet": true,
	"Pod": true, "ReplicationController": true, "Deployment": true, "StatefulSet": true, "DaemonSet": true,
	"ReplicaSet": true, "Job": true, "CronJob": true,
}

// Kept reports whether objects of the kind are kept for as long as they exist,
// and count among the bytes of their namespace.
func Kept(kind string) bool { return !unkept[kind] }
