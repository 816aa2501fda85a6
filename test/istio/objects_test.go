package istio_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/gen"
	"github.com/sallyport-io/sallyport/internal/schema"
)

// objects makes objects of Istio's kinds: written ones, with a few mistakes, and such as
// have random values in random fields.
type objects struct {
	*rand.Rand
	written []gen.Object
}

func newObjects(t *testing.T, seed uint64) *objects {
	t.Helper()
	g := &objects{Rand: rand.New(rand.NewPCG(seed, 0x0b1ec7))}
	read := func(data []byte) {
		for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
			var o gen.Object
			if yaml.Unmarshal(doc, &o) != nil {
				continue
			}
			if _, ok := specOf(o); ok {
				g.written = append(g.written, o)
			}
		}
	}
	own, err := os.ReadFile(filepath.Join("testdata", "objects.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for range 12 { // they have more to get wrong than all others together
		read(own)
	}
	archives, err := filepath.Glob(filepath.Join("..", "..", "rules", "testdata", "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives of rules: %v", err)
	}
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			read(f.Data)
		}
	}
	return g
}

// specOf returns the message of an object's spec, if it is one of Istio's kinds.
func specOf(o gen.Object) (protoreflect.MessageDescriptor, bool) {
	apiVersion, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	group, _, _ := strings.Cut(apiVersion, "/")
	m, ok := schema.Istio(group, kind)
	if _, named := o["metadata"].(gen.Object); !ok || !named {
		return nil, false
	}
	return m.ProtoReflect().Descriptor(), true
}

// next returns another object.
func (g *objects) next() gen.Object {
	var o gen.Object
	switch n := g.IntN(100); {
	case n < 10:
		o = gen.Object{}
		for o["apiVersion"] == nil {
			mesh := gen.New(g.Uint64())
			if i := g.IntN(len(mesh)); istioKind(mesh[i]) {
				o = mesh[i]
			}
		}
	case n < 75:
		o = clone(g.written[g.IntN(len(g.written))]).(gen.Object)
	default:
		o = g.random()
		if g.IntN(2) == 0 {
			return o
		}
	}
	for range 1 + g.IntN(2)*g.IntN(3) {
		g.mutate(o)
	}
	return o
}

func istioKind(o gen.Object) bool { _, ok := specOf(o); return ok }

func clone(v any) any {
	switch v := v.(type) {
	case gen.Object:
		out := gen.Object{}
		for k, child := range v {
			out[k] = clone(child)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = clone(v[i])
		}
		return out
	}
	return v
}

// random returns an object with random fields.
func (g *objects) random() gen.Object {
	groups := slices.Sorted(schema.IstioGroups())
	var all [][2]string
	for _, group := range groups {
		for _, kind := range slices.Sorted(schema.IstioKinds(group)) {
			all = append(all, [2]string{group, kind})
		}
	}
	k := all[g.IntN(len(all))]
	m, _ := schema.Istio(k[0], k[1])
	return gen.Object{
		"apiVersion": k[0] + "/" + g.pick(schema.IstioVersions(k[0], k[1])...), "kind": k[1],
		"metadata": gen.Object{"name": "a", "namespace": "shop"},
		"spec":     g.message(m.ProtoReflect().Descriptor(), 0),
	}
}

// message returns a random value of a message: a few of its fields.
func (g *objects) message(md protoreflect.MessageDescriptor, depth int) any {
	if md.FullName().Parent() == "google.protobuf" {
		return g.wellKnown(md)
	}
	o := gen.Object{}
	fields := md.Fields()
	most := max(1, 4-depth)
	for range 1 + g.IntN(most+1) {
		fd := fields.Get(g.IntN(fields.Len()))
		if depth > 5 && fd.Message() != nil {
			continue
		}
		if of := fd.ContainingOneof(); of != nil && g.IntN(8) > 0 {
			for i := range of.Fields().Len() {
				delete(o, of.Fields().Get(i).JSONName())
			}
		}
		o[fd.JSONName()] = g.field(fd, depth)
	}
	return o
}

func (g *objects) field(fd protoreflect.FieldDescriptor, depth int) any {
	switch {
	case fd.IsMap():
		o := gen.Object{}
		for range g.IntN(3) {
			k := g.text("key")
			if fd.MapKey().Kind() != protoreflect.StringKind {
				k = fmt.Sprint(g.number())
			}
			o[k] = g.single(fd.MapValue(), string(fd.Name()), depth)
		}
		return o
	case fd.IsList():
		list := []any{}
		for range []int{1, 1, 1, 2, 2, 0, 3}[g.IntN(7)] {
			list = append(list, g.single(fd, string(fd.Name()), depth))
		}
		return list
	}
	return g.single(fd, string(fd.Name()), depth)
}

func (g *objects) single(fd protoreflect.FieldDescriptor, name string, depth int) any {
	if g.IntN(150) == 0 {
		return []any{nil, "", 1, true, gen.Object{}, []any{}}[g.IntN(6)]
	}
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return g.message(fd.Message(), depth+1)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		if n := g.IntN(60); n == 0 {
			return []any{"", "UNKNOWN", 0, 1, 99}[g.IntN(5)]
		}
		return string(values.Get(g.IntN(values.Len())).Name())
	case protoreflect.BoolKind:
		return g.IntN(2) == 0
	case protoreflect.StringKind, protoreflect.BytesKind:
		return g.text(name)
	}
	return g.number()
}

func (g *objects) wellKnown(md protoreflect.MessageDescriptor) any {
	switch md.Name() {
	case "Duration":
		return g.pick("1s", "5m", "1h30m", "1ms", "0.5ms", "1.5ms", "1ns", "0s", "-1s", "1", "", "1d", "24h", "1500ms", "1.5s", "86400s", "0.001s")
	case "Struct":
		return gen.Object{"a": "b", "n": 1}
	case "BoolValue":
		return g.IntN(2) == 0
	case "StringValue":
		return g.text("")
	}
	return g.number()
}

func (g *objects) pick(options ...string) string { return options[g.IntN(len(options))] }

func (g *objects) number() any {
	return []any{0, 1, 2, 3, 10, 80, 100, 101, 200, 302, 443, 503, 600, 8080, 65535, 65536, -1, 1.5, 0.00001, 4294967295, 4294967296, 5000011, 65537}[g.IntN(23)]
}

// The strings that fields are given: by what their names say, and odd ones.
var texts = map[string][]string{
	"host": {
		"a.example", "*.example", "*", "*.", "a..b", "A.Example", "a.example.", "a_b.example", "*a.example", "*-a.example", "a.*.example", "123", "a.123", "1.2.3.4",
		"::1", "short", "", ".", "-a.example", "http://a.example", "a.example:80", "./a.example", "*/a.example", "*/*", "./*", "~/*", "shop/*", "sho_p/a.example", "a/b/c",
		strings.Repeat("a", 63) + ".example", strings.Repeat("a", 64) + ".example", "*" + strings.Repeat("a", 63), strings.Repeat("a.", 127) + "a", strings.Repeat("a.", 130), "outbound_.80_._.a.example", "outbound_.x_._.1",
	},
	"export":    {".", "*", "~", "shop", "other", "Not_A_NS", "", "..", "UPPER", strings.Repeat("n", 64)},
	"address":   {"203.0.113.9", "203.0.113.0/24", "203.0.113.0/33", "::1", "2001:db8::/32", "a.example", "*.example", "", "unix:///a", "unix://", "unix://@a", "unix://a", "unix:///a/", "1.2.3", "fe80::1%eth0"},
	"protocol":  {"HTTP", "http", "HTTP2", "GRPC", "gRPC-Web", "HTTPS", "TLS", "TCP", "UDP", "MONGO", "Mysql", "Redis", "HTTP_PROXY", "QUIC", "HBONE", "", "CONNECT", "POST"},
	"name":      {"a", "A-b", "a_b", "a.b", "-a", "a-", "", "*", strings.Repeat("n", 62), strings.Repeat("n", 63), strings.Repeat("n", 64), strings.Repeat("n", 254), "ns/name", "/", "a/b/c"},
	"gateway":   {"mesh", "egress", "istio-system/egress", "istio_system/egress", "/a", "a/", "a.b.c", "*", "", "a/b/c", "a/b.c"},
	"key":       {"a", "a.b/c", "a_b", "A", "", "*", "a*", "-a", "app", ":authority", "Host", ":path", "x-a", "x a", "@request.auth.claims.sub", "@request.auth.claims[a]", "@request.auth.claims", "http", "80", strings.Repeat("k", 64), "a/b/c"},
	"uri":       {"/a", "https://a.example/k", "http://a", "oci://a/b:c", "file:///a", "ftp://a", "a.example/b", "", "%zz", "http://a:99999/", "://", "HTTPS://A", "a b", "http:a"},
	"path":      {"/a", "/a/{*}", "/{**}/a", "/{**}/{*}", "/{*}x", "/{", "/a/*", "", "/a b/{*}", "a", "/{*}/{**}"},
	"port":      {"80", "0", "65535", "65536", "-1", "http", "", " 80", "080"},
	"condition": {"request.headers[a]", "request.headers", "request.headers[]", "source.ip", "remote.ip", "source.namespace", "source.serviceAccount", "source.principal", "source.trustDomain", "request.auth.principal", "request.auth.audiences", "request.auth.presenter", "request.auth.claims[a]", "request.auth.claims[a][b]", "destination.ip", "destination.port", "destination.name", "destination.user", "destination.labels[a]", "destination.namespace", "connection.sni", "experimental.envoy.filters.a[b]", "experimental.envoy.filters.a", "nothing", ""},
	"account":   {"a", "ns/a", "ns/", "/a", "a/b/c", "*", "", strings.Repeat("a", 321), strings.Repeat("a", 320)},
	"domain":    {"td", "*", "td*", "*td", "t*d", "**", "a/b", ""},
	"regex":     {".*", "(", "", "a|b", "[a-", "*", strings.Repeat("a", 1025), `\1`},
	"header":    {"x-a", "X_A", "a b", ":path", ":authority", "host", "Host", "", "*", "a:b", "x-ä"},
	"value":     {"a", "%HOSTNAME%", "100%%", "%", "a%b", "%A(", `%REQ(["a","b"])%`, `%REQ(["a" "b"])%`, `%A(x)%`, `%A(x)`, `%A([])%`, `%A(x) %`, "a\nb", "", "\x7f"},
	"locality":  {"eu", "eu/a", "eu/a/1", "eu/*", "*", "eu/a/*", "eu//1", "*/a", "us", "", "e*u"},
	"label":     {"a", "A_b.c", "-a", "a-", "", "*", "a*", strings.Repeat("v", 63), strings.Repeat("v", 64), "ä"},
	"methods":   {"GET", "get", "*", "POST", ""},
	"retry":     {"5xx", "503", "gateway-error,connect-failure", "nothing", "999", ",", "5xx, reset", ""},
	"status":    {"NOT_FOUND", "OK", "5", "", "not_found"},
	"ca":        {"/c", "", "c"},
	"secret":    {"c", "configmap://shop/a", "configmap://other/a", "configmap://a", "configmap:///a", "kubernetes://a", ""},
	"priority":  {"app", "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone", ""},
	"targets":   {"Service", "ServiceEntry", "Gateway", "GatewayClass", "Pod", "", "service", "networking.istio.io", "gateway.networking.k8s.io", "core", "Core.x", "-"},
	"endpoint":  {"127.0.0.1:80", "0.0.0.0:80", "[::1]:80", ":80", "10.0.0.1:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", "unix:///a", "unix://", "[::]:99999"},
	"jwks":      {`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"YQ"}]}`, "nothing", "", "{"},
	"sha":       {strings.Repeat("a", 64), strings.Repeat("A", 64), "a", "", strings.Repeat("0", 63)},
	"scheme":    {"http", "https", "HTTP", "HTTPS", "ftp", ""},
	"filter":    {"envoy.filters.network.http_connection_manager", "envoy.http_connection_manager", "other", ""},
	"":          {"a", "", "*", "A", "a b", "0", "-1", "ä", strings.Repeat("x", 257), strings.Repeat("x", 2049)},
}

// sorts has the strings of texts for the names of fields.
var sorts = map[string]string{
	"hosts": "host", "host": "host", "not_hosts": "host", "sni_hosts": "host", "authority": "host", "target_host": "host", "sni": "host", "export_to": "export",
	"addresses": "address", "address": "address", "bind": "address", "destination_subnets": "address", "ip_blocks": "address", "not_ip_blocks": "address",
	"remote_ip_blocks": "address", "not_remote_ip_blocks": "address", "protocol": "protocol", "gateways": "gateway", "key": "key", "uri": "uri", "url": "uri", "jwks_uri": "uri",
	"paths": "path", "not_paths": "path", "ports": "port", "not_ports": "port", "service_accounts": "account", "not_service_accounts": "account",
	"trust_domains": "domain", "not_trust_domains": "domain", "regex": "regex", "match": "regex", "proxy_version": "regex", "remove": "header", "allow_headers": "header", "expose_headers": "header",
	"header": "header", "set": "value", "add": "value", "from": "locality", "to": "locality", "locality": "locality", "labels": "label", "match_labels": "label", "source_labels": "label",
	"allow_methods": "methods", "methods": "methods", "retry_on": "retry", "grpc_status": "status", "ca_certificates": "ca", "server_certificate": "ca", "private_key": "ca", "client_certificate": "ca", "ca_crl": "ca",
	"credential_name": "secret", "failover_priority": "priority", "kind": "targets", "group": "targets", "default_endpoint": "endpoint", "jwks": "jwks", "sha256": "sha", "scheme": "scheme",
	"name": "name", "subset": "name", "source_namespace": "name", "namespace": "name", "namespaces": "name", "values": "address", "not_values": "account",
}

// text returns a string for a field, mostly of the sort that its name asks for.
func (g *objects) text(name string) string {
	list := texts[sorts[name]]
	if name == "key" {
		list = texts[g.pick("key", "condition")]
	}
	if list == nil || g.IntN(12) == 0 {
		list = texts[g.pick(slices.Sorted(maps.Keys(texts))...)]
	}
	return list[g.IntN(len(list))]
}

// annotated are the annotations and labels that Istio's validation looks at.
var annotated = []string{"istio.io/dry-run", "internal.istio.io/parents", "internal.istio.io/parent-namespace", "internal.istio.io/webhook-always-reject", "internal.istio.io/gateway-semantics", "internal.istio.io/route-semantics"}

// mutate makes one mistake, or what may be one.
func (g *objects) mutate(o gen.Object) {
	switch meta := o["metadata"].(gen.Object); g.IntN(60) {
	case 0:
		meta["annotations"] = gen.Object{annotated[g.IntN(len(annotated))]: g.pick("true", "gateway", "no", "")}
		return
	case 1:
		meta["labels"] = gen.Object{"istio.io/use-waypoint": g.pick("none", "waypoint", "")}
		return
	case 2:
		meta["name"] = g.pick("a.b", "A", strings.Repeat("n", 64), "a")
		return
	case 3:
		delete(o, "spec")
		return
	}
	md, _ := specOf(o)
	spec, ok := o["spec"].(gen.Object)
	if !ok {
		o["spec"] = g.message(md, 0)
		return
	}
	g.change(spec, md)
}

// change changes something in a message: here, or in one below.
func (g *objects) change(o gen.Object, md protoreflect.MessageDescriptor) {
	keys := slices.Sorted(maps.Keys(o))
	if len(keys) == 0 || g.IntN(7) == 0 { // another field
		fd := md.Fields().Get(g.IntN(md.Fields().Len()))
		o[fd.JSONName()] = g.field(fd, 2)
		return
	}
	k := keys[g.IntN(len(keys))]
	fd := md.Fields().ByJSONName(k)
	if fd == nil {
		delete(o, k)
		return
	}
	switch n := g.IntN(40); {
	case n == 0:
		delete(o, k)
	case n == 1:
		o[k] = []any{nil, gen.Object{}, []any{}, "", 0, true}[g.IntN(6)]
	case n == 2:
		o[k] = g.field(fd, 2)
	default:
		o[k] = g.below(o[k], fd)
	}
}

// below changes the value of a field.
func (g *objects) below(v any, fd protoreflect.FieldDescriptor) any {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 || !fd.IsList() {
			return g.field(fd, 2)
		}
		i := g.IntN(len(v))
		switch g.IntN(12) {
		case 0:
			return slices.Delete(v, i, i+1)
		case 1:
			return append(v, clone(v[i]))
		case 2:
			return append(v, g.single(fd, string(fd.Name()), 2))
		}
		v[i] = g.inside(v[i], fd, string(fd.Name()))
		return v
	case gen.Object:
		if !fd.IsMap() {
			return g.inside(v, fd, string(fd.Name()))
		}
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) == 0 || g.IntN(4) == 0 {
			return g.field(fd, 2)
		}
		k := keys[g.IntN(len(keys))]
		if g.IntN(3) == 0 {
			v[g.text("key")] = v[k]
			delete(v, k)
			return v
		}
		v[k] = g.inside(v[k], fd.MapValue(), string(fd.Name()))
		return v
	}
	return g.field(fd, 2)
}

// inside changes one value: a message within, or puts another in its place.
func (g *objects) inside(v any, fd protoreflect.FieldDescriptor, name string) any {
	o, ok := v.(gen.Object)
	if md := fd.Message(); ok && md != nil && md.FullName().Parent() != "google.protobuf" {
		g.change(o, md)
		return o
	}
	return g.single(fd, name, 2)
}
