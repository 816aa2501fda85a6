// Module istio holds the tests in which Istio's own control plane judges ours.
// Nothing outside this module imports istio.io/istio.
module github.com/sallyport-io/sallyport/test/istio

go 1.26.0

require istio.io/istio v0.0.0-20260827124520-eed52ebb66ad // indirect
