package netpol_test

import (
	"bytes"
	"fmt"
	"os"

	"github.com/rogpeppe/go-internal/txtar"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

func writeFile(name string, a *txtar.Archive) error {
	return os.WriteFile(name, txtar.Format(a), 0o644)
}

// render is the policies as YAML.
func render(policies []*networkingv1.NetworkPolicy) ([]byte, error) {
	var b bytes.Buffer
	for i, p := range policies {
		text, err := yaml.Marshal(p)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			fmt.Fprintln(&b, "---")
		}
		b.Write(text)
	}
	return b.Bytes(), nil
}
