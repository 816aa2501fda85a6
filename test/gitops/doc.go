// Package gitops holds the tests in which the tools that keep a cluster as Git has
// it meet Sallyport, on a real API server with its server running: Argo CD's
// comparison, Flux's apply and Helm's upgrade, each by its own code. What Git has is
// in sync once Sallyport has done its part, applying it again changes nothing, and
// a set that can be applied passes its dry run before anything of it is there.
// docs/gitops.md is read by the tests: its settings are those that they try.
//
// It is a module of its own so that nothing else needs the modules of these tools,
// nor the replacements of Kubernetes' staging modules that Argo CD's comparison
// needs.
package gitops
