package hostile

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asAllowAll in the environment makes this program a webhook that allows
// everything, with the certificate in the folder that it names.
const asAllowAll = "SALLYPORT_ALLOW_ALL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asAllowAll); dir != "" {
		fmt.Fprintln(os.Stderr, allowAll(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// allowAll serves until it is ended, and says where in a line of its output.
func allowAll(dir string) error {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		}),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}},
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: time.Minute,
	}
	fmt.Println("https://" + listener.Addr().String())
	return s.ServeTLS(listener, "", "")
}

// alwaysAllow stops our server and registers a webhook in its place that allows
// everything, in a container of the same weight: what the rest of the world costs
// on the same cores. It returns where that one serves.
func (c *cluster) alwaysAllow(t *testing.T) string {
	t.Helper()
	if err := c.server.Stop(); err != nil {
		t.Error(err)
	}
	pair, err := c.cp.CA.ServerCert("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := []string{os.Args[0]}
	if c.others != nil {
		line = append(newCgroup(t, "allow-all", c.request, 0).prefix(), line...)
	}
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(os.Environ(), asAllowAll+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)
	for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
		patch := fmt.Sprintf(`[{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":%q,"caBundle":%q}}]`,
			url+"/", base64.StdEncoding.EncodeToString(c.cp.CA.PEM))
		if out, err := c.cp.Kubectl(t.Context(), "patch", kind, "sallyport", "--type=json", "-p", patch).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	time.Sleep(2 * time.Second) // until the API server has seen it
	return url
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
	row("how long they took (median, 99th percentile)", "%s, %s", ms(percentile(fury.took, 50)), ms(percentile(fury.took, 99)))
	row("the same under the same attack on a webhook that allows everything", "%s, %s; of %d writes %d were refused, and %d got no answer",
		ms(percentile(floor.took, 50)), ms(percentile(floor.took, 99)), len(floor.took), len(floor.refused), len(floor.lost))
	row("reviews of the other tenants, as an API server sends them that nobody attacks (median, 99th percentile)", "%s, %s; %d of them",
		ms(percentile(fury.answered, 50)), ms(percentile(fury.answered, 99)), len(fury.answered))
	row("the same from a webhook that allows everything", "%s, %s", ms(percentile(floor.answered, 50)), ms(percentile(floor.answered, 99)))
	row("the writes without an attack", "%s, %s", ms(percentile(calm.took, 50)), ms(percentile(calm.took, 99)))
	for _, outcome := range fury.sorted() {
		row(outcome, "%d", fury.outcomes[outcome])
	}
	memory := "not bounded by a cgroup in this run"
	if c.group != nil {
		memory = fmt.Sprintf("%d MiB of %d MiB, beyond which the kernel ends the process", c.group.peak(t)>>20, c.limit>>20)
	}
	row("the most memory at once", "%s", memory)
	ended := "no"
	if c.ended != nil {
		ended = fmt.Sprintf("yes: %v", c.ended)
	}
	row("the server's process has ended", "%s", ended)
	row("processor time meanwhile", "%.1f%% of a core", 100*fury.used)
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
