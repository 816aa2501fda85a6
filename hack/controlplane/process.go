package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Command says what to run and how to tell that it is ready.
type Command struct {
	Path string
	Args []string
	Env  []string // nil: the caller's environment
	Dir  string   // empty: the caller's folder
	Log  string   // the file that takes standard output and error, appended to

	// Ready is polled until it returns nil. Nil: ready when started.
	Ready func(context.Context) error

	// Detached leaves the process running when this one ends. Otherwise the
	// kernel kills it with its parent (on Linux), whatever ends the parent.
	Detached bool
	// PIDFile takes a detached process's number, for StopDetached.
	PIDFile string
}

// Process is a running command.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; to be read after done
}

// readyTimeout is generous: a cold start on two busy cores takes a minute.
const readyTimeout = 3 * time.Minute

// StartProcess starts a command and waits until it is ready. When it ends or
// ctx is done before that, the error holds the last lines of its log.
func StartProcess(ctx context.Context, c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{
		name: filepath.Base(c.Path),
		log:  c.Log,
		cmd:  exec.Command(c.Path, c.Args...),
		done: make(chan struct{}),
	}
	p.cmd.Env, p.cmd.Dir = c.Env, c.Dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = sysProcAttr(c.Detached)

	started := make(chan error)
	go func() {
		// Linux sends the parent-death signal when the thread that forked
		// ends, not the process: keep that thread for as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	if c.PIDFile != "" {
		if err := os.WriteFile(c.PIDFile, []byte(strconv.Itoa(p.PID())), 0o644); err != nil {
			return nil, errors.Join(err, p.Stop(0))
		}
	}
	if err := p.waitReady(ctx, c.Ready); err != nil {
		_ = p.Stop(0)
		return nil, err
	}
	return p, nil
}

func (p *Process) waitReady(ctx context.Context, ready func(context.Context) error) error {
	if ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %s", readyTimeout))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return &ExitError{Name: p.name, Err: p.err, Log: p.LogTail(20)}
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (last check: %w)\n%s", p.name, context.Cause(ctx), err, p.LogTail(20))
		case <-tick.C:
		}
	}
}

// ExitError says that a process ended before it was ready.
type ExitError struct {
	Name string
	Err  error  // how it ended; nil for status 0
	Log  string // the last lines of its log
}

func (e *ExitError) Error() string {
	how := "exit status 0"
	if e.Err != nil {
		how = e.Err.Error()
	}
	return fmt.Sprintf("%s ended before it was ready: %s; the end of its log:\n%s", e.Name, how, e.Log)
}

func (e *ExitError) Unwrap() error { return e.Err }

// Stop asks the process to end, kills what is left of its process group after
// the grace period, and returns when it has ended. It is safe to call twice.
// An exit status is not an error here: we asked for the end.
func (p *Process) Stop(grace time.Duration) error {
	if grace > 0 {
		_ = p.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(grace):
		}
	}
	select {
	case <-p.done:
		return nil // its number may be another's by now
	default:
	}
	_ = killGroup(p.cmd.Process)
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s (process %d) survives SIGKILL", p.name, p.PID())
	}
}

// Signal sends a signal to the process.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended. It blocks until it has.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// LogTail returns the last n lines of the log.
func (p *Process) LogTail(n int) string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return lastLines(string(data), n)
}
