package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkTimeToPath measures the time from the creation of a ServiceEntry
// to its being open with its whole path in place, at 50 creations a second, and
// at 5: a rate at which an API server that shares two cores is not the queue.
func BenchmarkTimeToPath(b *testing.B) {
	b.Run("50-a-second", func(b *testing.B) { benchmarkLoad(b, "paced", 500, 20*time.Millisecond) })
	b.Run("5-a-second", func(b *testing.B) { benchmarkLoad(b, "slow", 100, 200*time.Millisecond) })
}

// BenchmarkBurst measures the same for 1000 hosts at once.
func BenchmarkBurst(b *testing.B) { benchmarkLoad(b, "burst", 1000, 0) }

// benchmarkLoad also reports the CPU time that a host takes: the processes
// share a machine, and where that is busy the times say little.
func benchmarkLoad(b *testing.B, namespace string, hosts int, pace time.Duration) {
	for b.Loop() {
		c := newCluster(b, namespace)
		c.patience = 5 * time.Minute
		h := record(b, c.watcher, "ServiceEntry")
		c.run()
		before := cpuTimes(b)
		latencies := load(b, c, h, namespace, hosts, pace)
		for name, after := range cpuTimes(b) {
			b.ReportMetric(float64((after-before[name]).Milliseconds())/float64(hosts), name+"-ms/host")
		}
		for _, p := range []int{50, 99, 100} {
			at := latencies[min(len(latencies)*p/100, len(latencies)-1)]
			b.ReportMetric(float64(at)/float64(time.Millisecond), fmt.Sprintf("p%d-ms", p))
		}
		c.clear(namespace)
	}
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
