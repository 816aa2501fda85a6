package printable

import (
	"bytes"
	"io"
	"strings"
)

// Writer writes lines to another writer, and lets nothing through that does not
// show but ends of lines and tabulators. A line that a workflow on GitHub would
// take for a command ("::error::", "##[error]") is made one that it does not.
//
// It holds the last line back until it is complete: who is done calls Flush.
type Writer struct {
	out  io.Writer
	line []byte
	// color lets colours through, which who writes text in colour keeps out
	// of the values of others; commands does so for those of workflows.
	color    bool
	commands bool
}

// NewWriter returns a Writer to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Unwrap is the writer underneath.
func (w *Writer) Unwrap() io.Writer { return w.out }

// Colored lets colours through from now on. Whoever asks for it keeps them out
// of the values of others, by [Line] or [Text].
func (w *Writer) Colored() { w.color = true }

// Commands lets the commands of workflows through from now on, of whoever has
// kept others from writing any: see [Line] and [Command].
func (w *Writer) Commands() { w.commands = true }

// together is how many bytes of complete lines are gathered before they are written.
const together = 64 << 10

// Write implements io.Writer. It writes the complete lines of p together, as far as they
// are not too long for that: a system call for each takes more time than all else.
func (w *Writer) Write(p []byte) (int, error) {
	var shown []byte
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			w.line = append(w.line, rest...)
			break
		}
		w.line = append(w.line, rest[:i+1]...)
		rest = rest[i+1:]
		shown = append(shown, w.shown(string(w.line))...)
		w.line = w.line[:0]
		if len(shown) < together {
			continue
		}
		if _, err := w.out.Write(shown); err != nil {
			return len(p) - len(rest), err
		}
		shown = shown[:0]
	}
	if len(shown) > 0 {
		if _, err := w.out.Write(shown); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Flush writes what there is of the last line.
func (w *Writer) Flush() error {
	if len(w.line) == 0 {
		return nil
	}
	line := string(w.line)
	w.line = w.line[:0]
	_, err := io.WriteString(w.out, w.shown(line))
	return err
}

// shown is a line as it is fit to be shown.
func (w *Writer) shown(line string) string {
	if w.color {
		line = outsideColors(line, Text)
	} else {
		line = Text(line)
	}
	if w.commands {
		return line
	}
	return harmless(line)
}

// harmless makes of a line that GitHub's runner takes for a command one that it
// does not: it looks for "::" behind any space at the beginning, and for "##["
// anywhere (actions/runner, ActionCommand.cs).
func harmless(line string) string {
	line = Command(line)
	if text := strings.TrimLeft(line, " \t"); strings.HasPrefix(text, "::") {
		return line[:len(line)-len(text)] + `\u003a` + text[1:]
	}
	return line
}

// Command is a text without the form of a command that GitHub's runner finds
// in the middle of lines.
func Command(text string) string { return strings.ReplaceAll(text, "##[", `\u0023#[`) }

// outsideColors applies f to what is between the sequences that choose a colour:
// ESC [ digits m.
func outsideColors(s string, f func(string) string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			b.WriteString(f(s))
			return b.String()
		}
		end := i + 2
		for end < len(s) && '0' <= s[end] && s[end] <= '9' {
			end++
		}
		if end < len(s) && s[end] == 'm' && end-i <= 5 {
			b.WriteString(f(s[:i]))
			b.WriteString(s[i : end+1])
			s = s[end+1:]
			continue
		}
		b.WriteString(f(s[:i+1]))
		s = s[i+1:]
	}
}
