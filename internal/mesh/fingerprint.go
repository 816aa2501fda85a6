package mesh

import (
	"errors"
	"hash/maphash"

	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// Fingerprint returns the [Meta.Fingerprint] of an object in the form in which
// an API server sends it: compact, with sorted names. It tells whether a
// cluster holds an object as it was rendered, without keeping the object.
func Fingerprint(raw []byte) (uint64, error) {
	var e envelope
	stored, err := e.read(raw, readMap)
	if err != nil {
		return 0, err
	}
	m := Meta{Labels: e.Metadata.Labels, Annotations: e.Metadata.Annotations}
	return fingerprint(&m, stored.owners, e.Spec), nil
}

// FingerprintStatus returns the [Meta.Fingerprint] of a user's ServiceEntry
// with that status: zero where it has none.
func FingerprintStatus(status string) uint64 {
	if status == "" {
		return 0
	}
	return max(maphash.String(seed, status), 1)
}

// fingerprint covers all that Sallyport writes: the whole spec, its label and
// annotation, and the owners; and the label by which Istio would not see it. It
// is never zero.
func fingerprint(m *Meta, owners []owner, spec []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, s := range []string{m.Labels[ManagedByLabel], m.Labels[RevisionLabel], m.Annotations[HostAnnotation]} {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	for _, o := range owners {
		for _, s := range []string{o.APIVersion, o.Kind, o.Name, o.UID} {
			_, _ = h.WriteString(s)
			_ = h.WriteByte(0)
		}
	}
	_ = h.WriteByte(0)
	_, _ = h.Write(spec)
	return max(h.Sum64(), 1)
}

// owner is an ownerReference.
type owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
}

// stored is what only an object in a cluster has.
type stored struct {
	owners   []owner
	managers []byte // managedFields, as written
}

// by reports whether a field manager has written to the object.
func (s *stored) by(manager string) bool {
	if s.managers == nil {
		return false
	}
	found := errors.New("found")
	err := rawjson.Elements(s.managers, func(entry []byte) error {
		return rawjson.Members(entry, func(name, value []byte) error {
			if string(name) == "manager" && len(value) == len(manager)+2 && string(value[1:len(value)-1]) == manager {
				return found
			}
			return nil
		})
	})
	return errors.Is(err, found)
}

// read fills an envelope, but for what the caller has filled, from the JSON of
// an API server, which writes no name of a field with escapes. labels reads the
// labels.
func (e *envelope) read(raw []byte, labels func([]byte) (map[string]string, error)) (s stored, err error) {
	err = rawjson.Members(raw, func(name, value []byte) error {
		switch string(name) {
		case "metadata":
			return rawjson.Members(value, func(name, value []byte) error { return e.Metadata.read(&s, labels, name, value) })
		case "spec":
			e.Spec = value
		}
		return nil
	})
	for _, o := range s.owners {
		e.Metadata.OwnerReferences = append(e.Metadata.OwnerReferences, struct {
			UID string `json:"uid"`
		}{o.UID})
	}
	return s, fieldError("object", err)
}

// read reads one member of an object's metadata. What nobody needs is passed
// over.
func (w *wireMeta) read(s *stored, labels func([]byte) (map[string]string, error), name, value []byte) (err error) {
	switch string(name) {
	case "name", "namespace", "creationTimestamp", "deletionTimestamp", "uid", "resourceVersion":
		err = w.split(name, value)
	case "labels":
		w.Labels, err = labels(value)
	case "annotations":
		w.Annotations, err = readMap(value)
	case "ownerReferences":
		err = unmarshal(value, &s.owners)
	case "managedFields":
		s.managers = value
	}
	if err != nil {
		return fieldError("metadata."+string(name), err)
	}
	return nil
}

// readMap reads a map of strings, plain as almost all are or not.
func readMap(value []byte) (m map[string]string, err error) {
	if plainMap(value, &m) == nil {
		return m, nil
	}
	m = nil
	err = unmarshal(value, &m)
	return m, err
}
