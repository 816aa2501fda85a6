// Package istio holds the tests in which Istio's own control plane judges
// Sallyport's model.
package istio
