package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
)

// BenchmarkTimeToPath measures the time from the creation of a ServiceEntry
// to its being open with its whole path in place, at 50 creations a second, and
// at 20 and 5: rates at which an API server that shares two cores is not the
// queue.
func BenchmarkTimeToPath(b *testing.B) {
	b.Run("50-a-second", func(b *testing.B) { benchmarkLoad(b, 500, 20*time.Millisecond) })
	b.Run("20-a-second", func(b *testing.B) { benchmarkLoad(b, 200, 50*time.Millisecond) })
	b.Run("5-a-second", func(b *testing.B) { benchmarkLoad(b, 100, 200*time.Millisecond) })
}

// BenchmarkBurst measures the same for 1000 hosts at once.
func BenchmarkBurst(b *testing.B) { benchmarkLoad(b, 1000, 0) }

// benchmarkLoad also reports the time from the first creation to the last
// path, and the CPU time that a host takes: the processes share a machine, and
// where that is busy the times say little.
func benchmarkLoad(b *testing.B, hosts int, pace time.Duration) {
	for b.Loop() {
		c := newClusterOn(b, benchmarkPlane(b), "warm-up", "load")
		c.patience = 5 * time.Minute
		c.config = serviceAccount(b, c)
		h := &history{}
		c.news = h.entries("load")
		c.run()
		c.create(held("warm-up", "first", "first.warm-up.com", tls))
		c.opens("warm-up", "first")
		before, start := idle(b), time.Now()
		latencies := load(b, c, h, "load", hosts, pace)
		b.ReportMetric(float64(time.Since(start))/float64(time.Millisecond), "all-ms")
		for name, after := range cpuTimes(b) {
			b.ReportMetric(float64((after-before[name]).Milliseconds())/float64(hosts), name+"-ms/host")
		}
		for _, p := range []int{50, 99, 100} {
			at := latencies[min(len(latencies)*p/100, len(latencies)-1)]
			b.ReportMetric(float64(at)/float64(time.Millisecond), fmt.Sprintf("p%d-ms", p))
		}
		c.stop()
	}
}

// benchmarkPlane starts a control plane for one measurement. It takes the place
// of the one of the tests, which come before the benchmarks: two share the
// cores badly. Nothing is collected in it as garbage, so it needs no controller
// manager, whose informers would have every write sent to them once more; and
// it serves the one version of Istio's kinds that is used.
func benchmarkPlane(b *testing.B) *controlplane.ControlPlane {
	b.Helper()
	if err := plane.Stop(); err != nil {
		b.Fatal(err)
	}
	own := controlplanetest.Start(b, controlplane.Options{CRDs: []controlplane.CRDs{controlplane.IstioCRDs.Only("v1")}})
	return own
}

// serviceAccount is what the reconciler has in a cluster: a token, whose check
// an API server remembers, as it does not that of a certificate.
func serviceAccount(b *testing.B, c *cluster) *rest.Config {
	b.Helper()
	clients, err := kubernetes.NewForConfig(c.plane.Config)
	if err != nil {
		b.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "sallyport"}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: account.Namespace, Name: account.Name}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}
	_, err = clients.CoreV1().ServiceAccounts(account.Namespace).Create(b.Context(), account, metav1.CreateOptions{})
	if err == nil {
		_, err = clients.RbacV1().ClusterRoleBindings().Create(b.Context(), binding, metav1.CreateOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
	config, err := c.plane.ServiceAccount(b.Context(), account.Namespace, account.Name)
	if err != nil {
		b.Fatal(err)
	}
	return config
}

// idle waits until the processes have nothing more to do, and returns the CPU
// times until then: for seconds after it has become ready, an API server
// computes what it publishes of each new kind.
func idle(b *testing.B) map[string]time.Duration {
	b.Helper()
	before := cpuTimes(b)
	for range 60 {
		time.Sleep(time.Second)
		now, busy := cpuTimes(b), time.Duration(0)
		for name, at := range now {
			busy += at - before[name]
		}
		if busy < 100*time.Millisecond {
			return now
		}
		before = now
	}
	b.Fatal("the control plane does not come to rest")
	return nil
}

// cpuTimes are the CPU times of this process, as "self", and of those that it
// has started, by name.
func cpuTimes(b *testing.B) map[string]time.Duration {
	b.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	out := make(map[string]time.Duration)
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// proc_pid_stat(5): pid (comm) state ppid ... utime stime, in hundredths of a second.
		head, rest, _ := strings.Cut(string(stat), ") ")
		pid, name, _ := strings.Cut(head, " (")
		fields := strings.Fields(rest)
		switch self := strconv.Itoa(os.Getpid()); {
		case pid == self:
			name = "self"
		case fields[1] != self:
			continue
		}
		user, err := strconv.Atoi(fields[11])
		if err != nil {
			b.Fatal(err)
		}
		system, err := strconv.Atoi(fields[12])
		if err != nil {
			b.Fatal(err)
		}
		out[name] += time.Duration(user+system) * 10 * time.Millisecond
	}
	return out
}
