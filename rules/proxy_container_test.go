package rules_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/sallyport-io/sallyport/rules"
)

// TestOwnProxyContainers writes each field of a container into one that has a
// name of Istio's, in each list, of pods and templates of every kind: only what
// sizes istio-proxy is let through.
func TestOwnProxyContainers(t *testing.T) {
	world := meshOfShop(t)
	fields := map[string]any{
		"image": "evil", "command": []string{"sh"}, "args": []string{"proxy", "router"}, "workingDir": "/x",
		"ports": []any{map[string]any{"containerPort": 1}}, "envFrom": []any{map[string]any{"configMapRef": map[string]any{"name": "x"}}},
		"env":          []any{map[string]any{"name": "DISABLE_ENVOY", "value": "true"}},
		"volumeMounts": []any{map[string]any{"name": "v", "mountPath": "/x"}}, "volumeDevices": []any{map[string]any{"name": "v", "devicePath": "/x"}},
		"livenessProbe": map[string]any{"exec": map[string]any{"command": []string{"x"}}}, "readinessProbe": map[string]any{}, "startupProbe": map[string]any{},
		"lifecycle": map[string]any{"preStop": map[string]any{"exec": map[string]any{"command": []string{"x"}}}}, "restartPolicy": "Never",
		"terminationMessagePath": "/usr/local/bin/pilot-agent", "terminationMessagePolicy": "x", "imagePullPolicy": "Never",
		"securityContext": map[string]any{"runAsUser": 0}, "stdin": true, "stdinOnce": true, "tty": true, "of-tomorrow": 1,
	}
	harmless := map[string]any{
		"image": "auto", "resources": map[string]any{"limits": map[string]any{"cpu": "1"}}, "imagePullPolicy": "Always", "restartPolicy": "Always",
		"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "resizePolicy": []any{},
	}
	denied := func(list, name string, extra map[string]any) map[string]bool {
		container := maps.Clone(extra)
		if container == nil {
			container = map[string]any{}
		}
		container["name"] = name
		spec := map[string]any{"containers": []any{map[string]any{"name": "c", "image": "x"}}}
		spec[list] = append([]any{container}, asList(spec[list])...)
		got := map[string]bool{}
		for kind, object := range podKinds(nil, spec) {
			got[kind] = slices.ContainsFunc(judge(t, world, object), func(f rules.Finding) bool {
				return f.Severity == rules.Deny && f.Rule == "proxy-container" && f.Fix != ""
			})
		}
		return got
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		for field, value := range fields {
			for kind, ok := range denied(list, "istio-proxy", map[string]any{field: value}) {
				if !ok {
					t.Errorf("%s of a %s may bring an istio-proxy with %s: %v", list, kind, field, value)
				}
			}
		}
		for _, name := range []string{"istio-init", "istio-validation", "enable-core-dump"} {
			for kind, ok := range denied(list, name, harmless) {
				if !ok {
					t.Errorf("%s of a %s may bring a container %s", list, kind, name)
				}
			}
		}
		for kind, ok := range denied(list, "istio-proxy", harmless) {
			if ok != (list == "ephemeralContainers") {
				t.Errorf("%s of a %s: an istio-proxy that is only sized: denied %t", list, kind, ok)
			}
		}
		for kind, ok := range denied(list, "istio-proxy-of-ours", map[string]any{"image": "x"}) {
			if ok {
				t.Errorf("%s of a %s: a container of another name is denied", list, kind)
			}
		}
	}
}

func asList(v any) []any {
	l, _ := v.([]any)
	return l
}
