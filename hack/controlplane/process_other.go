//go:build unix && !linux

package controlplane

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// sysProcAttr leaves the child in our process group: without Linux's
// parent-death signal, that is what lets Ctrl-C in a terminal end it too.
func sysProcAttr(detached bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: detached}
}

func killGroup(p *os.Process) error { return p.Kill() }

// commandLine is empty for a process that does not exist.
func commandLine(pid int) string {
	out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(out)
}
