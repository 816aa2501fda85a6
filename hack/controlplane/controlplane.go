package controlplane

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Options choose what Start starts. The zero value is etcd and an API server.
type Options struct {
	// ControllerManager adds garbage collection of owned objects, deletion of
	// namespaces, default service accounts and aggregated roles.
	ControllerManager bool
	// CRDs are served before the controller manager starts: its garbage
	// collector looks for new kinds only every 30 seconds.
	CRDs []CRDs
	// Dir holds data, keys and logs until Stop removes it. Default: a new
	// temporary folder.
	Dir string
	// APIServerArgs are further flags of the API server.
	APIServerArgs []string
	// Detached lets the control plane outlive this process; StopDetached(Dir)
	// ends it.
	Detached bool
	// Progress takes what Build says. Default: standard error.
	Progress io.Writer
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	// Config is for an administrator (group system:masters).
	Config *rest.Config
	// Kubeconfig is the path of a file that says the same.
	Kubeconfig string
	// CA issues certificates for webhooks; its PEM is their caBundle. The API
	// server trusts it for clients.
	CA *CA
	// Binaries are the programs in use.
	Binaries Binaries
	// Dir holds data, keys and logs.
	Dir string

	detached              bool
	apiArgs               []string
	etcdPort, apiPort     int
	etcd, api, controller *Process
}

// Start starts a control plane, having built it first if necessary, and
// returns when it serves. When ctx is done before that, everything started is
// stopped; afterwards ctx has no effect. The caller must call Stop.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	binaries, err := Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "sallyport-controlplane-"); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cp := &ControlPlane{Binaries: binaries, Dir: dir, detached: o.Detached, apiArgs: o.APIServerArgs}
	if err := cp.start(ctx, o); err != nil {
		return nil, errors.Join(err, cp.Stop())
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context, o Options) error {
	if err := cp.writeKeys(); err != nil {
		return err
	}
	if err := cp.startEtcd(ctx); err != nil {
		return err
	}
	if err := cp.startAPIServer(ctx, 0); err != nil {
		return err
	}
	if err := cp.InstallCRDs(ctx, o.CRDs...); err != nil {
		return err
	}
	if o.ControllerManager {
		return cp.startControllerManager(ctx)
	}
	return nil
}

// Stop ends every process, waits for them and removes the data. It is safe to
// call twice, and on a nil ControlPlane.
func (cp *ControlPlane) Stop() error {
	if cp == nil {
		return nil
	}
	// The data is thrown away, so nobody needs to finish anything.
	var errs []error
	for _, p := range []*Process{cp.controller, cp.api, cp.etcd} {
		if p != nil {
			errs = append(errs, p.Stop(0))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(cp.Dir))...)
}

// StopAPIServer makes an outage: connections are refused until StartAPIServer.
// The data stays.
func (cp *ControlPlane) StopAPIServer() error { return cp.api.Stop(0) }

// StartAPIServer ends an outage: the API server comes back at its old address.
func (cp *ControlPlane) StartAPIServer(ctx context.Context) error {
	return cp.startAPIServer(ctx, cp.apiPort)
}

// Kubectl returns a kubectl command for the administrator. The caller sets
// Stdin as needed and runs it; warnings of the API server come on Stderr.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, cp.Binaries.Kubectl, args...)
	cmd.Env = append(os.Environ(),
		"KUBECONFIG="+cp.Kubeconfig,
		"KUBECACHEDIR="+filepath.Join(cp.Dir, "kubectl-cache"))
	return cmd
}

// User returns the configuration of a client with a certificate for a user
// and groups. What the user may do is up to RBAC.
func (cp *ControlPlane) User(name string, groups ...string) (*rest.Config, error) {
	pair, err := cp.CA.ClientCert(name, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            fmt.Sprintf("https://127.0.0.1:%d", cp.apiPort),
		TLSClientConfig: rest.TLSClientConfig{CAData: cp.CA.PEM, CertData: pair.Cert, KeyData: pair.Key},
		QPS:             -1, // no throttling: tests wait for what they need
	}, nil
}

// ServiceAccount returns the configuration of a client with a token of an
// existing service account, as a Pod of it would have.
func (cp *ControlPlane) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	clients, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		return nil, err
	}
	seconds := int64(lifetime.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	token, err := clients.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token for service account %s/%s: %w", namespace, name, err)
	}
	return &rest.Config{
		Host:            cp.Config.Host,
		TLSClientConfig: rest.TLSClientConfig{CAData: cp.CA.PEM},
		BearerToken:     token.Status.Token,
		QPS:             -1,
	}, nil
}

// WriteKubeconfig writes a client's configuration to a file in Dir, named
// name.kubeconfig, and returns its path.
func (cp *ControlPlane) WriteKubeconfig(name string, c *rest.Config) (string, error) {
	file := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"sallyport": {Server: c.Host, CertificateAuthorityData: c.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: c.CertData, ClientKeyData: c.KeyData, Token: c.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"sallyport": {Cluster: "sallyport", AuthInfo: name}},
		CurrentContext: "sallyport",
	}
	path := filepath.Join(cp.Dir, name+".kubeconfig")
	return path, clientcmd.WriteToFile(file, path)
}

// writeKeys makes the authority and the key that signs service account tokens.
func (cp *ControlPlane) writeKeys() error {
	ca, err := NewCA()
	if err != nil {
		return err
	}
	cp.CA = ca
	serving, err := ca.ServerCert("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	signing, err := encodeKey(key)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"ca.crt": ca.PEM, "api.crt": serving.Cert, "api.key": serving.Key, "service-accounts.key": signing,
	} {
		if err := os.WriteFile(filepath.Join(cp.Dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (cp *ControlPlane) startEtcd(ctx context.Context) (err error) {
	cp.etcd, cp.etcdPort, err = cp.listen(ctx, 0, func(port int) Command {
		url := fmt.Sprintf("http://127.0.0.1:%d", port)
		return Command{
			Path: cp.Binaries.Etcd,
			Args: []string{
				"--data-dir=" + filepath.Join(cp.Dir, "etcd"),
				"--listen-client-urls=" + url,
				"--advertise-client-urls=" + url,
				"--listen-peer-urls=http://127.0.0.1:0", // nobody calls: there is one member
				"--unsafe-no-fsync",
				"--log-level=warn",
			},
			Env:   spacious(),
			Ready: func(ctx context.Context) error { return get(ctx, http.DefaultClient, url+"/health") },
		}
	})
	return err
}

func (cp *ControlPlane) startAPIServer(ctx context.Context, port int) (err error) {
	file := func(name string) string { return filepath.Join(cp.Dir, name) }
	cp.api, cp.apiPort, err = cp.listen(ctx, port, func(port int) Command {
		cp.apiPort = port
		return Command{
			Path: cp.Binaries.APIServer,
			Args: append([]string{
				fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", cp.etcdPort),
				"--bind-address=127.0.0.1",
				"--advertise-address=127.0.0.1", // no look for an outward interface: there may be none
				"--external-hostname=127.0.0.1",
				fmt.Sprintf("--secure-port=%d", port),
				"--tls-cert-file=" + file("api.crt"),
				"--tls-private-key-file=" + file("api.key"),
				"--client-ca-file=" + file("ca.crt"),
				"--cert-dir=" + cp.Dir,
				"--authorization-mode=RBAC",
				"--service-account-issuer=https://kubernetes.default.svc",
				"--service-account-key-file=" + file("service-accounts.key"),
				"--service-account-signing-key-file=" + file("service-accounts.key"),
				"--service-cluster-ip-range=10.96.0.0/16",
				// Pods are only written down, never run: they need no token.
				"--disable-admission-plugins=ServiceAccount",
				"--allow-privileged",
				// A loopback address is no valid Endpoints address.
				"--endpoint-reconciler-type=none",
				// Every few minutes an API server compares its memory with all
				// that etcd has, which takes seconds of CPU time where there
				// are tens of thousands of objects: whatever is measured
				// beside that is noise.
				"--feature-gates=DetectCacheInconsistency=false",
			}, cp.apiArgs...),
			Env:   spacious(),
			Ready: cp.ready,
		}
	})
	return err
}

// spacious is an environment in which a program collects garbage a fourth as
// often as Go's default: a test's cluster is small, so the space is little, and
// the cores are the test's as well.
func spacious() []string { return append([]string{"GOGC=400"}, os.Environ()...) }

// ready makes the administrator's client and waits for what a test may use at
// once: every post-start hook, and the namespace "default".
func (cp *ControlPlane) ready(ctx context.Context) error {
	if cp.Config == nil || !strings.HasSuffix(cp.Config.Host, fmt.Sprintf(":%d", cp.apiPort)) {
		config, err := cp.User("admin", "system:masters")
		if err != nil {
			return err
		}
		if cp.Kubeconfig, err = cp.WriteKubeconfig("admin", config); err != nil {
			return err
		}
		cp.Config = config
	}
	client, err := rest.HTTPClientFor(cp.Config)
	if err != nil {
		return err
	}
	if err := get(ctx, client, cp.Config.Host+"/readyz"); err != nil {
		return err
	}
	return get(ctx, client, cp.Config.Host+"/api/v1/namespaces/default")
}

func (cp *ControlPlane) startControllerManager(ctx context.Context) error {
	config, err := cp.User("system:kube-controller-manager")
	if err != nil {
		return err
	}
	kubeconfig, err := cp.WriteKubeconfig("kube-controller-manager", config)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		return err
	}
	cp.controller, err = cp.Run(ctx, Command{
		Path: cp.Binaries.ControllerManager,
		Args: []string{
			"--kubeconfig=" + kubeconfig,
			"--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,clusterrole-aggregation-controller",
			// As in a real cluster, a webhook sees which controller writes.
			"--use-service-account-credentials",
			"--leader-elect=false",
			"--secure-port=0",
		},
		Ready: func(ctx context.Context) error {
			_, err := clients.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
			return err
		},
	})
	return err
}

// listen starts a server on a port, or on a free one for 0. Between the search
// for a free port and its use somebody else may take it; then we search again.
func (cp *ControlPlane) listen(ctx context.Context, port int, command func(port int) Command) (*Process, int, error) {
	const attempts = 5
	for i := 1; ; i++ {
		chosen := port
		if port == 0 {
			var err error
			if chosen, err = FreePort(); err != nil {
				return nil, 0, err
			}
		}
		p, err := cp.Run(ctx, command(chosen))
		exit, ok := errors.AsType[*ExitError](err)
		if !ok || i == attempts || !strings.Contains(exit.Log, "address already in use") {
			return p, chosen, err
		}
	}
}

// Run starts a program beside the control plane: its log is in Dir, and it is
// detached if the control plane is. The caller must stop it.
func (cp *ControlPlane) Run(ctx context.Context, c Command) (*Process, error) {
	name := filepath.Base(c.Path)
	c.Log = filepath.Join(cp.Dir, name+".log")
	if cp.detached {
		c.Detached, c.PIDFile = true, filepath.Join(cp.Dir, name+".pid")
	}
	return StartProcess(ctx, c)
}

// FreePort returns a loopback port that nobody listens on at the moment.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free loopback port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// get expects status 200.
func get(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, resp.Status, bytes.TrimSpace(body))
	}
	return nil
}
