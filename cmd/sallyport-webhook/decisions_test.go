package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport-io/sallyport/webhook"
)

// TestDecisionLogFlags checks what the flags of the decision log do, and that a file is appended to.
func TestDecisionLogFlags(t *testing.T) {
	m, err := webhook.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if decisions, end, err := openDecisions(&flags{}, m, logr.Discard()); decisions != nil || err != nil {
		t.Errorf("decision log %v without the flag, error %v", decisions, err)
	} else {
		end()
	}
	for _, tt := range []struct {
		flags flags
		want  string
	}{
		{flags{decisions: filepath.Join(t.TempDir(), "missing", "log")}, "--decision-log: "},
		{flags{decisionMask: []string{"spec["}}, "--decision-log-mask: "},
	} {
		if _, _, err := openDecisions(&tt.flags, m, logr.Discard()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}

	file := filepath.Join(t.TempDir(), "decisions.json")
	for range 2 {
		decisions, end, err := openDecisions(&flags{decisions: file}, m, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		h := webhook.NewValidator(webhook.Options{Metrics: m, Decisions: decisions, Log: logr.Discard(), Now: time.Now})
		h.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{UID: "1"}})
		end()
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(content), `"verdict":"error"`); n != 2 {
		t.Errorf("%d of 2 decisions in the file:\n%s", n, content)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is readable by others: %v, %v", info.Mode(), err)
	}
}
