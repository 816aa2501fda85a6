package rules

import (
	"context"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var metadataService = &Rule{
	Name: "metadata-service",
	Doc: `no entry leads to the metadata service of a cloud

A cloud's metadata service tells by where a request comes from who asks, and
answers with the credentials of that machine. A tenant's object that names it is
denied: by its name or a pattern that covers it, by its address in any spelling
(decimal, hexadecimal, written into IPv6, or into a name that public DNS servers
resolve to it), and by a range that holds the address. internal/metadata/services.json
lists the addresses and names of each cloud, with the page that documents them.

Through a shared egress gateway such traffic never leads, for the service would
answer with the gateway's own credentials: Sallyport keeps no route for it, and
one that somebody writes is denied, the platform's too. The platform lets
namespaces reach the service directly by an exception in the configuration
(metadataExceptions), which has an end: what it admits is refused again from then
on. Such an entry says itself who sees it (exportTo), for Sallyport opens none that
does not lead through the gateway.`,
	Severity:   Deny,
	Rows:       []string{"S-6", "K-9", "K-10"},
	Always:     true,
	Operations: everyOperation,
	Check: func(_ context.Context, p *Pass) error {
		if !p.Deleting() && reportMetadata(p) {
			return nil
		}
		for _, path := range p.Paths {
			p.Spend(1)
			if path.Verdict != mesh.Via || metadataOf(p, path) == nil || !answersFor(p, path) {
				continue
			}
			p.Report(Finding{
				Path: subjectPath(p, path),
				Told: told.F("traffic for %s from %s goes through the shared gateway %s to a metadata service, which answers with the gateway's own credentials",
					point(path), clientNames([]string{path.Client}), told.Plain(path.Gateway)),
				ToldFix: mesh.MetadataFix,
			})
			return nil // one is enough
		}
		return nil
	},
}

// answersFor reports whether a path through the gateway is the subject's doing.
func answersFor(p *Pass, path mesh.Path) bool {
	ref := p.Subject.Metadata().Ref
	if path.Entry == ref && !p.Deleting() {
		return true
	}
	if p.Batch != nil {
		return false // charged to the entry
	}
	return asIs(p.Before(), path) != mesh.Via
}

// reportMetadata reports where the subject names metadata services, in one finding
// for what is refused and one for what is excepted, and whether it is denied.
func reportMetadata(p *Pass) (denied bool) {
	var refused, excepted []Finding
	for _, found := range p.After.MetadataServices(p.Subject) {
		verb := told.Text("is")
		if found.Exactly == "" {
			verb = "leads to"
		}
		f := Finding{
			Path: found.Path, Severity: p.WarnInPlatform(), About: found.Written, ToldFix: mesh.MetadataFix,
			Told: told.F("%s %s a metadata service (%s), which answers with the credentials of whoever asks", found.Written, verb, told.Plain(found.Service.Cloud)),
		}
		e, known := p.After.Settings().MetadataException(p.Subject.Metadata().Namespace, found.Exactly)
		switch end := told.Plain(e.Until.UTC().Format(time.RFC3339)); {
		case known && before(p, e.Until):
			f.Severity, f.ToldFix = Info, "Say who sees the entry, in spec.exportTo: Sallyport opens none that does not lead through the gateway.\n"
			f.Told += told.F("; an exception of the platform's holds until %s: %s", end, told.Plain(e.Reason))
			excepted = append(excepted, f)
			continue
		case known:
			f.Told += told.F("; the platform's exception ended on %s", end)
		}
		refused = append(refused, f)
	}
	for _, all := range [][]Finding{refused, excepted} {
		if len(all) == 0 {
			continue
		}
		first, paths := all[0], []string{all[0].Path}
		for i, f := range all[1:] {
			p.Spend(1 + len(f.About)>>2)
			first.About += " " + f.About
			paths = append(paths, f.Path)
			switch {
			case i == 0:
				first.Told += told.F(", and so do %s", told.Plain(f.Path))
			case i < 5:
				first.Told += told.F(", %s", told.Plain(f.Path))
			}
		}
		if rest := len(all) - 6; rest > 0 {
			first.Told += told.F(" and %d more", rest)
		}
		if first.Severity != Info {
			first.Words = first.ToldFix
			first.ToldFix = p.withoutHosts(first.Words, paths)
		}
		p.Report(first)
	}
	return len(refused) > 0 && !p.Platform()
}

// before reports whether the write comes before an instant; one without a time
// does not.
func before(p *Pass, end time.Time) bool {
	at, err := time.Parse(time.RFC3339, p.Request.Time)
	return err == nil && at.Before(end)
}

// refusesMetadata reports whether an entry is the subject, and metadata-service
// denies it: then nothing else need be said of its paths.
func refusesMetadata(p *Pass, entry mesh.Ref) bool {
	if entry != p.Subject.Metadata().Ref || p.Deleting() || p.Platform() {
		return false
	}
	for _, found := range metadataIn(p, entry) {
		e, ok := p.After.Settings().MetadataException(entry.Namespace, found.Exactly)
		if !ok || !before(p, e.Until) {
			return true
		}
	}
	return false
}

// metadataOf is where the entry of a path names a metadata service.
func metadataOf(p *Pass, path mesh.Path) []mesh.MetadataMention { return metadataIn(p, path.Entry) }

// metadataIn is where an entry names a metadata service.
func metadataIn(p *Pass, entry mesh.Ref) []mesh.MetadataMention {
	type key struct{ entry mesh.Ref }
	found, _ := p.Memo.Do(key{entry}, func() (any, error) {
		se, ok := p.After.Get(entry).(*mesh.ServiceEntry)
		if !ok {
			return []mesh.MetadataMention(nil), nil
		}
		return p.After.MetadataServices(se), nil
	})
	return found.([]mesh.MetadataMention)
}

// metadataException returns the exception under which a client reaches a metadata
// service directly: each of the names and addresses in the entry is to have one.
// The one that ends first is returned.
func metadataException(p *Pass, path mesh.Path) (first mesh.MetadataException, ok bool) {
	for _, found := range metadataOf(p, path) {
		e, known := p.After.Settings().MetadataException(path.Client, found.Exactly)
		if !known || !before(p, e.Until) {
			return mesh.MetadataException{}, false
		}
		if !ok || e.Until.Before(first.Until) {
			first, ok = e, true
		}
	}
	return first, ok
}
