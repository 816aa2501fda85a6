package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/internal/told"
)

var proxyContainer = &Rule{
	Name: "proxy-container",
	Doc: `containers of Istio's are for Istio to fill

Istio merges a container that a pod or a template calls istio-proxy, istio-init,
istio-validation or enable-core-dump over the one that it injects, and does not
capture what runs as the proxy: another image, a command, a variable or a mount
is code outside the mesh. Where the network plugin redirects the traffic, an
istio-init, or DISABLE_ENVOY, leaves the pod alone altogether. Tenants may size
istio-proxy (resources, with image: auto), and no more. In a Pod that Istio has
injected already, where its containers stand beside what was merged into them,
what Istio never writes is denied: a command, envFrom, a probe or a hook that runs
another program, variables of the loader and the bootstrap, mounts over programs;
and while it runs, another image.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Leave the container out, or give it name, image: auto and resources alone.",
	Rows:     []string{"K-2", "K-3"},
	Kinds:    workloadKinds,
	Check: On(onWorkload(func(p *Pass, w *mesh.Workload, base string) {
		if w.NamesProxy {
			judgeProxyContainers(p, w, base)
		}
	})),
}

// judgeProxyContainers looks at every container of the pod that has a name of
// Istio's.
func judgeProxyContainers(p *Pass, w *mesh.Workload, base string) {
	spec := podSpec(p.Raw, base)
	images := map[string]string{} // of a running Pod, in which only they can be changed
	if _, ok := p.Old.(*mesh.Workload); ok && w.Kind == "Pod" {
		eachContainer(podSpec(p.OldRaw, base), func(_, name string, c map[string]json.RawMessage, _ []byte) { images[name] = text(c["image"]) })
	}
	injected, found := w.Injected(), false
	eachContainer(spec, func(list, name string, c map[string]json.RawMessage, raw []byte) {
		found = true
		at := base + "spec." + list
		if was, ok := images[name]; ok && was != text(c["image"]) {
			p.Report(Finding{Path: at + ".image", About: text(c["image"]), Told: told.F("the image of %s in the running pod becomes %q: other code that Istio does not capture", name, text(c["image"]))})
		}
		switch {
		case strings.HasPrefix(list, "ephemeralContainers"):
			p.Report(Finding{Path: at, Told: told.F("an ephemeral container %s is none of Istio's, and passes for one", name), About: string(raw)})
		case injected:
			judgeInjected(p, at, name, c)
		default:
			judgeOwn(p, at, name, raw, c)
		}
	})
	if !found { // the JSON is not as an API server writes it
		p.Report(Finding{Path: base + "spec", Told: "a container has a name of Istio's, and cannot be read", About: string(spec)})
	}
}

// podSpec is the JSON of the pod in an object, of the base that [podPath] gives.
func podSpec(raw []byte, base string) []byte {
	for name := range strings.SplitSeq(base+"spec", ".") {
		raw = rawjson.Member(raw, name)
	}
	return raw
}

// eachContainer calls f with each container of a pod that has a name of Istio's,
// and where it is: "initContainers[0]".
func eachContainer(spec []byte, f func(at, name string, c map[string]json.RawMessage, raw []byte)) {
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		i := -1
		// An error ends the list: who decoded the object has read all of it.
		_ = rawjson.Elements(rawjson.Member(spec, list), func(raw []byte) error {
			i++
			var c map[string]json.RawMessage
			if json.Unmarshal(raw, &c) == nil && mesh.ProxyContainer(text(c["name"])) {
				f(fmt.Sprintf("%s[%d]", list, i), text(c["name"]), c, raw)
			}
			return nil
		})
	}
}

// judgeOwn judges a container that the user wrote: only what cannot change
// whose code runs, and as whom, is let through.
func judgeOwn(p *Pass, at, name string, raw []byte, c map[string]json.RawMessage) {
	if name != "istio-proxy" {
		p.Report(Finding{Path: at, Told: told.F("the pod brings a container %s of its own, which Istio merges over the one it injects", name), About: string(raw)})
		return
	}
	for _, field := range slices.Sorted(maps.Keys(c)) {
		if !harmless(field, c[field]) {
			p.Report(Finding{
				Path: at + "." + field, About: string(c[field]),
				Told: told.F("the pod brings an istio-proxy of its own: Istio merges its %s over what it injects, and does not capture what the container does", field),
			})
		}
	}
}

// harmless reports whether a field of a user's istio-proxy changes neither what
// it runs nor as whom. Those with a default are as the API server sets them.
func harmless(field string, value json.RawMessage) bool {
	switch field {
	case "name", "resources", "resizePolicy":
		return true
	case "image":
		return text(value) == "auto"
	case "imagePullPolicy":
		return slices.Contains([]string{"Always", "IfNotPresent"}, text(value))
	case "restartPolicy":
		return text(value) == "Always"
	case "terminationMessagePath":
		return text(value) == "/dev/termination-log"
	case "terminationMessagePolicy":
		return slices.Contains([]string{"File", "FallbackToLogsOnError"}, text(value))
	}
	return false
}

// judgeInjected judges a container of a Pod that Istio's injector has been at.
// The annotation that says so can be forged, and then the injector keeps what
// it finds: so nothing passes here that its templates never write.
func judgeInjected(p *Pass, at, name string, c map[string]json.RawMessage) {
	report := func(field, what string, value json.RawMessage) {
		p.Report(Finding{Path: at + "." + field, About: string(value), Told: told.F("%s %s: Istio writes no such thing, and does not capture what the container does", name, told.Plain(what))})
	}
	for _, field := range []string{"command", "envFrom"} {
		if !empty(c[field]) && (name != "enable-core-dump" || field != "command") {
			report(field, "has "+field, c[field])
		}
	}
	for _, field := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if exec := rawjson.Member(c[field], "exec"); !empty(exec) && !runsAgent(exec) {
			report(field, "has a probe that runs a program", c[field])
		}
	}
	// A preStop hook may be the platform's (global.proxy.lifecycle).
	if exec := rawjson.Member(rawjson.Member(c["lifecycle"], "postStart"), "exec"); !empty(exec) && !runsAgent(exec) {
		report("lifecycle", "has a hook that runs a program", c["lifecycle"])
	}
	var env []struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(c["env"], &env)
	for i, e := range env {
		if steers(e.Name) {
			report(fmt.Sprintf("env[%d]", i), "has the variable "+e.Name, c["env"])
		}
	}
	var mounts []struct {
		MountPath string `json:"mountPath"`
	}
	_ = json.Unmarshal(c["volumeMounts"], &mounts)
	for i, m := range mounts {
		if overPrograms(m.MountPath) {
			report(fmt.Sprintf("volumeMounts[%d]", i), "has a mount over "+m.MountPath, c["volumeMounts"])
		}
	}
}

// runsAgent reports whether a handler runs Istio's own agent, as its templates
// have it do.
func runsAgent(exec json.RawMessage) bool {
	var e struct {
		Command []string `json:"command"`
	}
	return json.Unmarshal(exec, &e) == nil && len(e.Command) > 0 && slices.Contains([]string{"pilot-agent", "/usr/local/bin/pilot-agent"}, e.Command[0])
}

// steers reports whether a variable makes the proxy's container run something
// else, or the network plugin pass the pod over.
func steers(name string) bool {
	return strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "ISTIO_BOOTSTRAP") || name == "DISABLE_ENVOY" || name == "PATH"
}

// programs are where the proxy's image has what it runs and starts from.
var programs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/istio/custom-bootstrap", "/var/lib/istio/envoy"}

// overPrograms reports whether a mount hides, or lies within, what the proxy's
// container runs.
func overPrograms(mount string) bool {
	mount = path.Clean("/" + mount)
	if mount == "/usr/local/share/ca-certificates" || strings.HasPrefix(mount, "/usr/share/ca-certificates") {
		return false // authorities, which platforms add
	}
	return mount == "/" || mount == "/etc" || slices.ContainsFunc(programs, func(p string) bool {
		return mount == p || strings.HasPrefix(mount, p+"/") || strings.HasPrefix(p, mount+"/")
	})
}

// text is a JSON string, and empty for anything else.
func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// empty reports whether a field is as good as absent.
func empty(raw json.RawMessage) bool {
	return slices.Contains([]string{"", "null", "[]", "{}"}, string(raw))
}

// resized reports whether what proxy.istio.io/overrides says, which the injector
// writes of a user's containers, only sizes the proxy.
func resized(overrides string) bool {
	var o struct {
		Containers     []map[string]json.RawMessage `json:"containers"`
		InitContainers []map[string]json.RawMessage `json:"initContainers"`
	}
	if json.Unmarshal([]byte(overrides), &o) != nil {
		return false
	}
	return !slices.ContainsFunc(append(o.Containers, o.InitContainers...), func(c map[string]json.RawMessage) bool {
		if text(c["name"]) != "istio-proxy" {
			return true
		}
		for field, value := range c {
			if !harmless(field, value) && (field != "image" || text(value) != "") {
				return true
			}
		}
		return false
	})
}
