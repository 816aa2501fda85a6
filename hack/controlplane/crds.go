package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// CRDs are the resource definitions that a Go module ships: the version is the
// one in our go.mod.
type CRDs struct {
	module string
	glob   string // below the module's root
	only   string // the version that is served; empty for all
}

// Only returns the definitions with one version of each kind that has it. An
// API server watches etcd once for every version of a kind and decodes every
// write for each, asked for or not.
func (set CRDs) Only(version string) CRDs {
	set.only = version
	return set
}

// keepOnly drops a definition's other versions, if it has the one.
func keepOnly(crd *apiextensionsv1.CustomResourceDefinition, version string) {
	i := slices.IndexFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == version })
	if i < 0 {
		return
	}
	crd.Spec.Versions = crd.Spec.Versions[i : i+1]
	crd.Spec.Versions[0].Storage = true
}

// The definitions that Sallyport meets. Gateway API's standard channel has
// TLSRoute; its admission policy against mixing channels is left out.
var (
	IstioCRDs       = CRDs{module: "istio.io/api", glob: "kubernetes/customresourcedefinitions.gen.yaml"}
	GatewayAPICRDs  = CRDs{module: "sigs.k8s.io/gateway-api", glob: "config/crd/standard/gateway.networking.k8s.io_*.yaml"}
	CertManagerCRDs = CRDs{module: "github.com/cert-manager/cert-manager", glob: "deploy/crds/*.yaml"}
)

// InstallCRDs creates the definitions, leaves those that exist, and waits until
// every one is served.
func (cp *ControlPlane) InstallCRDs(ctx context.Context, sets ...CRDs) error {
	client, err := apiextensions.NewForConfig(cp.Config)
	if err != nil {
		return err
	}
	var names []string
	for _, set := range sets {
		crds, err := set.read(ctx)
		if err != nil {
			return err
		}
		for _, crd := range crds {
			_, err := client.CustomResourceDefinitions().Create(ctx, crd, metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("creating %s of %s: %w", crd.Name, set.module, err)
			}
			names = append(names, crd.Name)
		}
	}
	for _, name := range names {
		err := poll(ctx, 30*time.Second, "CustomResourceDefinition "+name+" to be established", func(ctx context.Context) error {
			crd, err := client.CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, c := range crd.Status.Conditions {
				if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
					return nil
				}
			}
			return errors.New("not yet")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (set CRDs) read(ctx context.Context) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	out, err := goCommand(ctx, root, "mod", "download", "-json", set.module)
	if err != nil {
		return nil, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, fmt.Errorf("go mod download -json %s: %w", set.module, err)
	}
	files, err := filepath.Glob(filepath.Join(module.Dir, filepath.FromSlash(set.glob)))
	if err != nil {
		return nil, err
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			crd := &apiextensionsv1.CustomResourceDefinition{}
			err := docs.Decode(crd)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if crd.Kind == "CustomResourceDefinition" {
				keepOnly(crd, set.only)
				crds = append(crds, crd)
			}
		}
	}
	if len(crds) == 0 {
		return nil, fmt.Errorf("module %s has no CustomResourceDefinition in %s", set.module, set.glob)
	}
	return crds, nil
}

// poll asks until the answer is nil, ctx is done or time is up; what names the
// thing waited for.
func poll(ctx context.Context, timeout time.Duration, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("timed out after %s", timeout))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last answer: %s)", what, context.Cause(ctx), strings.TrimSpace(err.Error()))
		case <-tick.C:
		}
	}
}
