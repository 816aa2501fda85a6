package controlplane

import (
	"fmt"
	"os"
	"syscall"
)

// sysProcAttr gives the child a process group of its own, so that Ctrl-C in a
// terminal reaches only us and we stop things in order. The kernel kills the
// child when we die without a chance to do so.
func sysProcAttr(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

// commandLine is empty for a process that does not exist. It reads /proc,
// because a small image has no ps.
func commandLine(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return string(data)
}
