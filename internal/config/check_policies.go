package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/validate/content"
)

// minInterval is the shortest time between two fetches of a bundle.
const minInterval = 10 * time.Second

// algorithms are those with a public key: one that signs with a secret would
// have the secret lie beside the configuration.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}

// check reports what the sources of policies say and cannot mean.
func (p *Policies) check(fail func(path, format string, args ...any)) {
	if p.MaxNewDenials != nil && *p.MaxNewDenials < 0 {
		fail("policies.maxNewDenials", "must be 0 or more, is %d", *p.MaxNewDenials)
	}
	names := make(map[string]int)
	for i, b := range p.Bundles {
		path := fmt.Sprintf("policies.bundles[%d]", i)
		if first, ok := names[b.Name]; ok {
			fail(path+".name", "%q is the name of policies.bundles[%d] already; give each bundle its own", b.Name, first)
		}
		names[b.Name] = i
		for _, msg := range content.IsDNS1123Label(b.Name) {
			fail(path+".name", "%q: %s", b.Name, msg)
		}
		b.check(func(field, format string, args ...any) { fail(path+"."+field, format, args...) })
	}
}

func (b *Bundle) check(fail func(field, format string, args ...any)) {
	switch {
	case b.File == "" && b.URL == "":
		fail("url", "name the bundle's url, or its file")
	case b.File != "" && b.URL != "":
		fail("file", "the bundle has an url already; give it one or the other")
	case b.URL != "":
		b.checkURL(fail)
	default:
		for _, f := range []struct{ name, value string }{
			{"interval", b.Interval}, {"tokenFile", b.TokenFile}, {"caFile", b.CAFile}, {"cache", b.Cache},
		} {
			if f.value != "" {
				fail(f.name, "is for a bundle with an url; this one has a file")
			}
		}
	}
	switch {
	case b.Key == "" && !b.Unsigned:
		fail("key", "name the file with the public key of the bundle's signature, or say unsigned: true where the place that it comes from is guarded otherwise")
	case b.Key != "" && b.Unsigned:
		fail("unsigned", "the bundle has a key: take one of the two out")
	}
	if b.Algorithm != "" && !slices.Contains(algorithms, b.Algorithm) {
		fail("algorithm", "must be one of %s, is %q", strings.Join(algorithms, ", "), b.Algorithm)
	}
	if b.Interval != "" {
		if d, err := time.ParseDuration(b.Interval); err != nil || d < minInterval {
			fail("interval", "must be a duration of at least %v, for example 1m, is %q", minInterval, b.Interval)
		}
	}
}

func (b *Bundle) checkURL(fail func(field, format string, args ...any)) {
	u, err := url.Parse(b.URL)
	switch {
	case err != nil:
		fail("url", "is no URL")
	case u.Scheme != "https" || u.Host == "":
		fail("url", "must begin with https://, and name a host")
	case u.User != nil || u.RawQuery != "":
		fail("url", "must have neither user nor query, which may be secret; put the token into a file and name it in tokenFile")
	}
}

// Every is Interval as a duration.
func (b *Bundle) Every() time.Duration {
	d, err := time.ParseDuration(b.Interval)
	if err != nil {
		return time.Minute // Interval is checked when the file is read
	}
	return d
}
