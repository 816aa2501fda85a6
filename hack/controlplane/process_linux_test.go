package controlplane_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/hack/controlplane"
)

// parentDir makes the test binary play a parent that gets killed.
const parentDir = "SALLYPORT_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(parentDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := controlplane.StartProcess(context.Background(), endless(dir)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("started")
	time.Sleep(time.Minute)
}

// TestKilledParentLeavesNothing: not even SIGKILL, which nobody can handle,
// leaves a control plane behind.
func TestKilledParentLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentDir+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("the parent says %q (%v)", line, err)
	}
	if len(processesNaming(t, dir)) == 0 {
		t.Fatal("the parent started nothing")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	deadline := time.Now().Add(10 * time.Second)
	for len(processesNaming(t, dir)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("processes left: %q", processesNaming(t, dir))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
