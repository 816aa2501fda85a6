package hostile

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// deletions takes a route away from an entry that is open to its namespace, in
// every way that needs no controller; test/e2e has those of the garbage collector
// and of the namespace controller. Each is tried by a tenant who may do everything
// in its namespace, in the large mesh that the storm has left behind.
func deletions(t *testing.T, c *cluster) [][2]string {
	const namespace = "deletions"
	c.create(t, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{"sallyport.io/injection":"disabled"}}}`, namespace))
	c.create(t, []byte(`{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"namespace":"istio-system","name":"deletions"},
"spec":{"selector":{"istio":"egressgateway"},"servers":[{"port":{"number":443,"name":"tls-deletions","protocol":"TLS"},"hosts":["`+namespace+`/*.deletions.example"],"tls":{"mode":"PASSTHROUGH"}}]}}`))
	trudy := c.tenant(t, namespace, "trudy")
	at := func(plural string) string {
		return "/apis/networking.istio.io/v1/namespaces/" + namespace + "/" + plural
	}
	const keep = `{"metadata":{"finalizers":["tenant.example/keep"]}}`
	const nobody = `{"metadata":{"ownerReferences":[{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","name":"nobody","uid":"6b1fbd6c-8ae6-4f0a-9b4f-3a3f6b1fbd6c"}]}}`
	ways := []struct {
		name string
		// before is what is admitted first; then is what would open the path.
		before, then func(entry, route string) (method, path, body string)
	}{
		{name: "a deletion", then: func(_, route string) (string, string, string) { return http.MethodDelete, route, "" }},
		{name: "a deletion that orphans", then: func(_, route string) (string, string, string) {
			return http.MethodDelete, route, `{"propagationPolicy":"Orphan"}`
		}},
		{name: "a deletion in the foreground", then: func(_, route string) (string, string, string) {
			return http.MethodDelete, route, `{"propagationPolicy":"Foreground"}`
		}},
		{
			name:   "a deletion that waits for a finalizer",
			before: func(_, route string) (string, string, string) { return http.MethodPatch, route, keep },
			then:   func(_, route string) (string, string, string) { return http.MethodDelete, route, "" },
		},
		{name: "an owner that does not exist", then: func(_, route string) (string, string, string) { return http.MethodPatch, route, nobody }},
		{name: "another host", then: func(_, route string) (string, string, string) {
			return http.MethodPatch, route, `{"spec":{"hosts":["other.deletions.example"]}}`
		}},
		{name: "another gateway", then: func(_, route string) (string, string, string) {
			return http.MethodPatch, route, `{"spec":{"gateways":["istio-system/deletions"]}}`
		}},
		{name: "a collection", then: func(_, _ string) (string, string, string) {
			return http.MethodDelete, at("virtualservices"), ""
		}},
		{
			// Istio serves the entry for as long as its finalizer holds it.
			name:   "the entry's own deletion first",
			before: func(entry, _ string) (string, string, string) { return http.MethodPatch, entry, keep },
			then: func(entry, route string) (string, string, string) {
				trudy.do(t.Context(), http.MethodDelete, entry, nil)
				time.Sleep(time.Second) // the server sees it
				return http.MethodDelete, route, ""
			},
		},
	}
	refused := 0
	for i, way := range ways {
		name := fmt.Sprintf("way%d", i)
		host := name + ".deletions.example"
		entry, route := at("serviceentries")+"/"+name, at("virtualservices")+"/"+name
		c.post(t, trudy, at("virtualservices"), `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":%[1]q},"spec":{"hosts":[%[2]q],"exportTo":[".","istio-system"],
"gateways":["mesh","istio-system/deletions"],"tls":[
{"match":[{"gateways":["mesh"],"port":443,"sniHosts":[%[2]q]}],"route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":443}}}]},
{"match":[{"gateways":["istio-system/deletions"],"port":443,"sniHosts":[%[2]q]}],"route":[{"destination":{"host":%[2]q,"port":{"number":443}}}]}]}}`, name, host)
		c.post(t, trudy, at("serviceentries"), `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":%q},"spec":{"hosts":[%q],"exportTo":[".","istio-system"],
"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}`, name, host)
		time.Sleep(time.Second) // the server judges by what it has seen
		if way.before != nil {
			method, path, body := way.before(entry, route)
			if a := trudy.do(t.Context(), method, path, []byte(body)); a.status != http.StatusOK {
				t.Fatalf("%s: what comes before: %s", way.name, a)
			}
		}
		method, path, body := way.then(entry, route)
		a := trudy.do(t.Context(), method, path, []byte(body))
		if a.status != http.StatusForbidden || !strings.Contains(a.message, "leaves directly") {
			t.Errorf("%s: %s, want a denial because traffic leaves directly", way.name, a)
			continue
		}
		refused++
	}
	return [][2]string{{"ways to take a route away, tried after that in the same mesh", fmt.Sprintf("%d, of which %d were refused", len(ways), refused)}}
}

// post creates an object as soon as the server has seen what it rests on.
func (c *cluster) post(t *testing.T, by *client, path, format string, args ...any) {
	t.Helper()
	var a answer
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		if a = by.do(t.Context(), http.MethodPost, path, fmt.Appendf(nil, format, args...)); a.status == http.StatusCreated {
			return
		}
	}
	t.Fatalf("creating at %s: %s", path, a)
}
