package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/go-logr/logr"

	"github.com/sallyport-io/sallyport/internal/decisionlog"
	"github.com/sallyport-io/sallyport/webhook"
)

// openDecisions starts the decision log that the flags ask for; close ends it.
// There may be none.
func openDecisions(f *flags, m *webhook.Metrics, log logr.Logger) (decisions *decisionlog.Log, end func(), err error) {
	mask, err := decisionlog.NewMask(slices.Concat(decisionlog.DefaultMask, f.decisionMask))
	if err != nil {
		return nil, nil, fmt.Errorf("--decision-log-mask: %w", err)
	}
	switch f.decisions {
	case "":
		return nil, func() {}, nil
	case "-":
		decisions = decisionlog.New(os.Stdout, mask, f.decisionObjects, m.LostDecisions, log)
		return decisions, decisions.Close, nil
	}
	file, err := os.OpenFile(f.decisions, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--decision-log: %w; name a file in a folder that this program may write to, or - for standard output", err)
	}
	decisions = decisionlog.New(file, mask, f.decisionObjects, m.LostDecisions, log)
	return decisions, func() {
		decisions.Close()
		if err := file.Close(); err != nil {
			log.Error(err, "closing the decision log")
		}
	}, nil
}
