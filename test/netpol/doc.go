// Package netpol holds the matrices that say which traffic the NetworkPolicies
// of package internal/netpol let pass.
package netpol
