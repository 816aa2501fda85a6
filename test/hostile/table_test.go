package hostile

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// alwaysAllow registers a webhook in place of ours that allows everything: what
// the rest of the world costs on the same cores.
func (c *cluster) alwaysAllow(t *testing.T) {
	t.Helper()
	pair, err := c.cp.CA.ServerCert("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Request struct{ UID string } `json:"request"`
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":true}}`, in.Request.UID)
	}))
	s.TLS = &tls.Config{NextProtos: []string{"h2"}, Certificates: []tls.Certificate{cert}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
		patch := fmt.Sprintf(`[{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":%q,"caBundle":%q}}]`,
			s.URL+"/", base64.StdEncoding.EncodeToString(c.cp.CA.PEM))
		if out, err := c.cp.Kubectl(t.Context(), "patch", kind, "sallyport", "--type=json", "-p", patch).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	time.Sleep(2 * time.Second) // until the API server has seen it
}

// ready is "" where the server is, and what it lacks otherwise.
func (c *cluster) ready(t *testing.T) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(c.server.URL, "https://"), 5*time.Second)
	if err != nil {
		return err.Error()
	}
	_ = conn.Close()
	if err := c.server.Ready(t.Context()); err != nil {
		return err.Error()
	}
	return ""
}

// table is Markdown.
func (c *cluster) table(t *testing.T, calm, fury, floor *storm, idle float64, rows [][2]string) string {
	t.Helper()
	var b strings.Builder
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", what, fmt.Sprintf(format, args...))
	}
	b.WriteString("| | |\n|---|---|\n")
	row("the mesh", "%d namespaces, %d hosts, each with its companions", *namespaces, *hosts)
	row("the attack", "%v of reviews of one tenant's objects, of every kind and shape at up to 1.5 MB: %d at a time at the port with the API server's certificate, "+
		"%d writes and dry runs at a time at the API server, and %d forged reviews at a time without the certificate", *length, attackers, writers, forgers)
	row("writes of the other tenants", "%d, of which %d were refused, and %d got no answer from the API server", len(fury.took), len(fury.refused), len(fury.lost))
	row("how long they took (median, 99th percentile)", "%s, %s", ms(fury.percentile(50)), ms(fury.percentile(99)))
	row("the same under a webhook that allows everything, while the tenant attacks the API server alone", "%s, %s", ms(floor.percentile(50)), ms(floor.percentile(99)))
	row("the same without an attack", "%s, %s", ms(calm.percentile(50)), ms(calm.percentile(99)))
	for _, outcome := range fury.sorted() {
		row(outcome, "%d", fury.outcomes[outcome])
	}
	memory := "not bounded by a cgroup in this run"
	if c.group != nil {
		memory = fmt.Sprintf("%d MiB of %d MiB, beyond which the kernel ends the process", c.group.peak(t)>>20, c.limit>>20)
	}
	row("the most memory at once", "%s", memory)
	ended := "no"
	select {
	case <-c.server.Process().Done():
		ended = fmt.Sprintf("yes: %v", c.server.Process().Err())
	default:
	}
	row("the server's process has ended", "%s", ended)
	row("processor time a second after the last request", "%.1f%% of a core", 100*idle)
	for _, r := range rows {
		row(r[0], "%s", r[1])
	}
	return b.String()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }

// insert puts the table into a page, between the lines that begin and end it.
func insert(t *testing.T, file, table string) {
	t.Helper()
	const begin, end = "<!-- begin hostile -->\n", "<!-- end hostile -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the lines %q and %q", file, begin, end)
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
