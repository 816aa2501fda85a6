package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-io/sallyport/internal/metadata"
	"github.com/sallyport-io/sallyport/internal/told"
)

// MetadataException lets clients of some namespaces reach a cloud's metadata
// service by entries of the mesh, until its end. Its traffic goes straight there
// even then: an egress gateway would be told its own credentials.
type MetadataException struct {
	Hosts      []string // canonical names, and addresses as netip.Addr has them
	Namespaces []string // "*" is every one
	Until      time.Time
	Reason     string
}

// MetadataException returns the exception of the longest life for what a namespace
// names, a name or an address of a metadata service (see [metadata.Mention]), be it
// in force or over.
func (s Settings) MetadataException(namespace, exactly string) (e MetadataException, ok bool) {
	for _, x := range s.MetadataExceptions {
		if slices.Contains(x.Hosts, exactly) && (slices.Contains(x.Namespaces, "*") || slices.Contains(x.Namespaces, namespace)) && x.Until.After(e.Until) {
			e, ok = x, true
		}
	}
	return e, ok
}

// MetadataMention is where an object names a metadata service of a cloud.
type MetadataMention struct {
	metadata.Mention
	Path    string // JSON path in the object
	Written string
}

// MetadataFix is what helps with an object that names a metadata service.
const MetadataFix told.Text = "Leave the metadata service out, and give the workload an identity of its own (workload identity, IAM roles for service accounts); or ask the platform team for an exception with an end, under metadataExceptions in Sallyport's configuration.\n"

// metadataSteps is what it costs to compare a host with all that is known.
const metadataSteps = 20

// MetadataServices returns where an object names a cloud's metadata service, in any
// spelling of its name or address, as a pattern that covers it or as a range that
// holds it: ServiceEntry, WorkloadEntry, Service, EndpointSlice and Endpoints do.
func (m *Mesh) MetadataServices(o Object) []MetadataMention {
	var found []MetadataMention
	look := func(path string, i int, written string, ranges bool) {
		m.Spend(metadataSteps + len(written)>>2)
		mention, ok := metadata.Host(CanonicalHost(written))
		if !ok && ranges {
			if p, err := netip.ParsePrefix(written); err == nil {
				mention, ok = metadata.Range(p)
			}
		}
		if !ok {
			return
		}
		if i >= 0 {
			path = fmt.Sprintf(path, i)
		}
		found = append(found, MetadataMention{Mention: mention, Path: path, Written: written})
	}
	switch o := o.(type) {
	case *ServiceEntry:
		for i, h := range o.Hosts {
			look("spec.hosts[%d]", i, h, false)
		}
		for i, a := range o.Addresses {
			look("spec.addresses[%d]", i, a, true)
		}
		for i := range o.Endpoints {
			look("spec.endpoints[%d].address", i, o.Endpoints[i].Address, false)
		}
	case *WorkloadEntry:
		look("spec.address", -1, o.Address, false)
	case *Service:
		if o.Type == "ExternalName" {
			look("spec.externalName", -1, o.ExternalName, false)
		}
		for i, ip := range o.ExternalIPs {
			look("spec.externalIPs[%d]", i, ip, false)
		}
	case *EndpointSlice:
		for _, a := range o.Addresses {
			look("endpoints", -1, a, false)
		}
	}
	return found
}
