package doctor

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ConfigurationOf finds the ConfigMap and the key in it from which a pod of the
// server takes its configuration: --config names a file in a mounted volume.
func ConfigurationOf(p *corev1.Pod) (configMap, key string, ok bool) {
	for _, c := range p.Spec.Containers {
		file := ""
		for i, arg := range c.Args {
			if v, found := strings.CutPrefix(arg, "--config="); found {
				file = v
			} else if arg == "--config" && i+1 < len(c.Args) {
				file = c.Args[i+1]
			}
		}
		for _, m := range c.VolumeMounts {
			if file == "" || path.Dir(file) != path.Clean(m.MountPath) {
				continue
			}
			i := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
			if i >= 0 && p.Spec.Volumes[i].ConfigMap != nil {
				return p.Spec.Volumes[i].ConfigMap.Name, path.Base(file), true
			}
		}
	}
	return "", "", false
}
