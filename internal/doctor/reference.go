package doctor

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Step is a step of the section Troubleshooting of Istio's task page
// (https://istio.io/latest/docs/tasks/traffic-management/egress/egress-gateway/#troubleshooting).
type Step struct {
	Number int
	What   string
	// Instead says how a check takes the step without a shell in a pod, and
	// what remains to be done by hand.
	Instead string
}

// Troubleshooting are all its steps.
var Troubleshooting = []Step{
	{
		1, "Check if you have mutual TLS enabled in Istio; if so, create the configuration items accordingly.",
		"DestinationRules, PeerAuthentications, Gateways and the mesh configuration are compared as Istio resolves them.",
	},
	{
		2, "Verify the certificate of the egress gateway: its Subject Alternative Name is the SPIFFE identity of its service account.",
		"The name is derived from the gateway's pods and the trust domain, and compared with what DestinationRules trust. The certificate itself is shown by `istioctl proxy-config secret deployment/istio-egressgateway -n istio-system -o json`.",
	},
	{
		3, "For HTTPS, test the traffic flow with openssl and -servername, and look for the connection in the statistics of the gateway.",
		"The path of every host and port from every namespace is computed as Istio would route it, so that no request need be sent. `sallyport explain` shows one of them hop by hop.",
	},
}

// Reference is the page that describes every check.
func Reference(checks []*Check) []byte {
	var b bytes.Buffer
	b.WriteString(`<!-- Generated from internal/doctor by "go test ./internal/doctor -update". Do not edit. -->
# The doctor

` + "`sallyport doctor`" + ` checks that a cluster is what Sallyport relies on. Each check says **pass**, **fail** or **cannot tell**, names the
object and the field, and what to do. Cannot tell is never taken for a pass: a fact that may not be read, a version that
nobody has tried.

` + "```sh" + `
sallyport doctor                                  # the cluster of the kubeconfig
sallyport doctor --check webhook-answers -o json  # one question, for a script
sallyport doctor cluster.yaml                     # what somebody sent
` + "```" + `

It reads, and changes nothing. Two writes, by which Sallyport's server shows that it answers, are dry runs; ` + "`--no-probe`" + ` leaves
them out. Exit status: 0 every check passes; 1 some check fails; 2 the cluster could not be read; 3 none fails, but some cannot
tell. [cli.md](cli.md#sallyport-doctor) has every flag.

| check | what is so when it passes | source |
|---|---|---|
`)
	for _, c := range checks {
		var sources []string
		for _, s := range c.Sources {
			sources = append(sources, link(s))
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", c.Name, c.Name, c.Title(), strings.Join(sources, ", "))
	}
	b.WriteString(`
## Istio's own troubleshooting

The task page [Egress Gateways](` + taskPage + `#troubleshooting) ends with
these steps, by hand. The doctor takes them.

| step | the page | check | how |
|---|---|---|---|
`)
	for _, s := range Troubleshooting {
		var by []string
		for _, c := range checks {
			if slices.Contains(c.Steps, s.Number) {
				by = append(by, fmt.Sprintf("[%s](#%s)", c.Name, c.Name))
			}
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", s.Number, s.What, strings.Join(by, ", "), s.Instead)
	}
	b.WriteString("\n## The checks\n")
	group := ""
	for _, c := range checks {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "\n### %s\n", strings.ToUpper(group[:1])+group[1:])
		}
		_, why, _ := strings.Cut(c.Doc, "\n\n")
		fmt.Fprintf(&b, "\n#### %s\n\n*%s*\n\n%s\n", c.Name, c.Title(), why)
	}
	b.WriteString(`
## JSON

` + "`-o json`" + ` has all that was found, the good too. Fields are added, never taken away.

` + "```json" + `
{
  "apiVersion": "sallyport.io/v1alpha1", "kind": "Diagnosis",
  "checks": [
    {
      "name": "namespace-modes", "group": "server", "title": "every namespace is enforced",
      "status": "fail",
      "results": [
        {
          "status": "fail", "object": {"kind": "Namespace", "namespace": "", "name": "shop"},
          "path": "metadata.labels[\"sallyport.io/mode\"]", "message": "nothing is judged here",
          "remedy": "kubectl label namespace shop sallyport.io/mode-"
        }
      ]
    }
  ],
  "summary": {"passed": 0, "failed": 1, "unknown": 0}
}
` + "```" + `

A status is pass, fail or unknown, that of a check the worst of its results.

## Who may ask

What a user may not read, a check cannot tell. This is all that the checks read. The Secret of the serving certificate is
optional: where cert-manager keeps the certificate, its Certificate says enough.

` + "```yaml\n")
	b.Write(clusterRole())
	b.WriteString("```\n")
	return b.Bytes()
}

// link is a source as a link with a short text.
func link(source string) string {
	rest, ok := strings.CutPrefix(source, "https://")
	if !ok {
		page := strings.TrimPrefix(source, "docs/")
		return fmt.Sprintf("[%s](%s)", page, page)
	}
	path, anchor, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "#")
	path = strings.TrimSuffix(path, "/")
	text := path[strings.LastIndexByte(path, '/')+1:]
	if anchor != "" {
		text += "#" + anchor
	}
	return fmt.Sprintf("[%s](%s)", text, source)
}

// clusterRole permits all that the checks read, and the dry runs.
func clusterRole() []byte {
	var b bytes.Buffer
	b.WriteString(`apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: sallyport-doctor
rules:
`)
	groups := Permissions()
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(&b, "- apiGroups: [%q]\n  resources: [%s]\n  verbs: [get, list]\n", group, strings.Join(groups[group], ", "))
	}
	var names []string
	for _, q := range definitions() {
		names = append(names, q.Name)
	}
	fmt.Fprintf(&b, "- apiGroups: [apiextensions.k8s.io]\n  resources: [customresourcedefinitions]\n  resourceNames:\n  - %s\n  verbs: [get]\n", strings.Join(names, "\n  - "))
	b.WriteString(roles)
	return b.Bytes()
}

// roles permit what is read in single namespaces, and the dry runs.
const roles = `---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: sallyport-doctor
  namespace: istio-system # istioNamespace
rules:
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: sallyport-doctor
  namespace: kube-system
rules:
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [cilium-config, istio-cni-config]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: sallyport-doctor
  namespace: sallyport-system
rules:
- apiGroups: [""]
  resources: [configmaps] # the server's configuration
  verbs: [get]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [sallyport-webhook-certificate]
  verbs: [get]
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [list]
---
# The dry runs. RBAC cannot permit them alone: leave this out, and
# webhook-answers cannot tell.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: sallyport-doctor
  namespace: default
rules:
- apiGroups: [networking.istio.io]
  resources: [serviceentries]
  verbs: [create]
`
