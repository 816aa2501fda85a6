// Package controlplane runs a real Kubernetes control plane (etcd,
// kube-apiserver and kube-controller-manager) for tests and for the demo, on
// loopback ports and with throw-away data.
//
// The programs are built from the Go modules pinned in hack/tools/kubernetes,
// so nothing but Go and its module proxy is needed. [Build] takes about five
// minutes once; later calls find the programs in the user's cache. A test
// package starts one control plane in its TestMain and shares it:
//
//	cp, err := controlplane.Start(ctx, controlplane.Options{
//		ControllerManager: true,
//		CRDs:              []controlplane.CRDs{controlplane.IstioCRDs},
//	})
//	...
//	defer cp.Stop()
//
// There are no nodes: a Pod stays Pending. A webhook runs outside the cluster
// and is registered by clientConfig.url; [CA.ServerCert] makes its certificate.
package controlplane
