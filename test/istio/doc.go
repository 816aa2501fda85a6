// Package istio holds the tests in which Istio's own control plane judges
// Sallyport: package oracle asks it, package gen makes random sets of
// manifests for both to judge.
//
//   - TestObserved holds the oracle itself to facts recorded earlier.
//   - TestTable compares both verdicts for every client and egress point of
//     the cases under testdata, and records them in testdata/table.golden.
//   - TestDifferential compares them for random meshes, shrinks what
//     contradicts and writes it to testdata/counterexamples, where it stays.
//   - TestSequences judges writes one after the other, as admission does, and
//     lets Istio judge what was admitted; testdata/sequences holds what got past
//     the gateway once. TestHistories does so for random writes.
//   - TestCompanions asks Istio what the companions lead to.
//   - TestAmbient compares the verdicts for clients without sidecars, by what
//     Istio tells ztunnel and the waypoints, for the cases of testdata/ambient.
//     TestWaypoints holds the oracle itself to what was seen of Istio's waypoints,
//     TestAmbientDifferential and TestAmbientHistories are random ambient and mixed
//     meshes, and histories of them.
//   - TestValidation puts random objects to Istio's validation and to the reader of
//     manifests: what the one refuses, the other does.
//   - TestPilotDiscovery runs Istio's control plane as a process against a real
//     API server in which Sallyport's own server writes companions.
//
// It is a module of its own so that nothing else needs istio.io/istio, whose
// dependencies take minutes to compile. It shares the main module's versions:
// Istio's code compiles with them.
package istio
