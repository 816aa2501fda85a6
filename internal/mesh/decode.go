package mesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// ErrUnknownKind is returned by [Decode] for kinds that the model does not
// hold. Callers that judge treat it as "no opinion", and say so.
var ErrUnknownKind = errors.New("kind is not part of the model")

// lastApplied is dropped on decoding: kubectl's copy of the whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Decode turns the JSON of one Kubernetes object, in any served version, into
// the model. Field names are case-sensitive and unknown fields are ignored,
// as the API server has already pruned them; see package manifest for files.
// A namespaced object without a namespace is in "default".
func Decode(raw []byte) (Object, error) {
	var e envelope
	if !e.split(raw) {
		e = envelope{}
		if err := unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("object is not a Kubernetes object: %w", err)
		}
	}
	return e.decode(raw)
}

// split fills an envelope in one pass over the object, where unmarshal takes
// four. It is false for what is not as plain as an API server writes it, or is
// wrong: unmarshal knows how to read the one and what to say of the other.
func (e *envelope) split(raw []byte) bool {
	return rawjson.Members(raw, func(name, value []byte) error {
		switch string(name) {
		case "apiVersion":
			return plain(value, &e.APIVersion)
		case "kind":
			return plain(value, &e.Kind)
		case "metadata":
			return rawjson.Members(value, e.Metadata.split)
		case "spec":
			e.Spec = value // checked by whoever decodes it
			return nil
		case "status":
		default:
			e.rest += len(value)
		}
		return unread(name, value)
	}) == nil
}

func (w *wireMeta) split(name, value []byte) error {
	switch string(name) {
	case "name":
		return plain(value, &w.Name)
	case "generateName":
		return plain(value, &w.GenerateName)
	case "namespace":
		return plain(value, &w.Namespace)
	case "labels":
		return plainMap(value, &w.Labels)
	case "annotations":
		return plainMap(value, &w.Annotations)
	case "creationTimestamp":
		return plain(value, &w.CreationTimestamp)
	case "deletionTimestamp":
		return plain(value, &w.DeletionTimestamp)
	case "uid":
		return plain(value, &w.UID)
	case "resourceVersion":
		return plain(value, &w.ResourceVersion)
	case "ownerReferences":
		return unmarshal(value, &w.OwnerReferences)
	}
	return unread(name, value)
}

// errNotPlain is returned for JSON that is left to unmarshal.
var errNotPlain = errors.New("not plain JSON")

// plain reads a string; almost all are plain.
func plain(value []byte, into *string) error {
	s, ok := rawjson.Plain(value)
	if !ok {
		return unmarshal(value, into)
	}
	*into = s
	return nil
}

// plainMap reads a map of strings.
func plainMap(value []byte, into *map[string]string) error {
	if *into == nil {
		*into = map[string]string{}
	}
	return rawjson.Members(value, func(name, value []byte) error {
		key, ok := rawjson.PlainText(name)
		if !ok {
			return errNotPlain
		}
		if key == lastApplied && value[0] == '"' {
			return unread(name, value)
		}
		var s string
		err := plain(value, &s)
		(*into)[key] = s
		return err
	})
}

// unread checks a member whose value is not read here: nothing that is no JSON
// is to pass for an object.
func unread(name, value []byte) error {
	if _, ok := rawjson.PlainText(name); !ok || !json.Valid(value) {
		return errNotPlain
	}
	return nil
}

// decode decodes the object that the envelope was read from.
func (e *envelope) decode(raw []byte) (Object, error) {
	group, _, found := strings.Cut(e.APIVersion, "/")
	if !found {
		group = ""
	}
	k, ok := kinds[groupKind{group, e.Kind}]
	if !ok {
		if e.Kind == "" {
			return nil, errors.New(`object has no "kind"`)
		}
		return nil, fmt.Errorf("%s (%s): %w", e.Kind, e.APIVersion, ErrUnknownKind)
	}
	meta, err := e.meta(k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", meta.Ref, err)
	}
	o, err := k.decode(meta, e.Spec, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", meta.Ref, err)
	}
	return o, nil
}

// unmarshal decodes case-sensitively, as API servers do: in encoding/json
// "Hosts" would fill the field hosts, which Istio ignores. It reads what their
// sigs.k8s.io/json reads, in half the time, but for an object that has a name
// twice: API servers write none, and what it means depends on the reader.
func unmarshal(raw []byte, v any) error {
	return jsonv2.Unmarshal(raw, v, jsontext.AllowInvalidUTF8(true))
}

// envelope is what every object has.
type envelope struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   wireMeta        `json:"metadata"`
	Spec       json.RawMessage `json:"spec"`

	rest int // bytes of other members
}

type wireMeta struct {
	Name              string            `json:"name"`
	GenerateName      string            `json:"generateName"`
	Namespace         string            `json:"namespace"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp string            `json:"creationTimestamp"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	OwnerReferences   []struct {
		UID string `json:"uid"`
	} `json:"ownerReferences"`
}

// meta returns as much as could be read together with the error, so that the
// error can name the object.
func (e *envelope) meta(k kind) (Meta, error) {
	w := &e.Metadata
	m := Meta{
		Ref:             Ref{Kind: k.name, Namespace: w.Namespace, Name: w.Name},
		Labels:          orNil(w.Labels),
		Annotations:     orNil(w.Annotations),
		UID:             w.UID,
		ResourceVersion: w.ResourceVersion,
		Deleting:        w.DeletionTimestamp != "",
	}
	if k.clusterScoped {
		m.Namespace = ""
	} else if m.Namespace == "" {
		m.Namespace = "default"
	}
	if m.Name == "" {
		m.Name = w.GenerateName
	}
	delete(m.Annotations, lastApplied)
	m.Size = len(e.Spec) + e.rest
	for _, texts := range []map[string]string{m.Labels, m.Annotations} {
		for key, value := range texts {
			m.Size += len(key) + len(value)
		}
	}
	for _, o := range w.OwnerReferences {
		m.Owners = append(m.Owners, o.UID)
	}
	if w.CreationTimestamp != "" {
		created, err := time.Parse(time.RFC3339, w.CreationTimestamp)
		if err != nil {
			return m, fmt.Errorf("metadata.creationTimestamp: %q is not an RFC 3339 time", w.CreationTimestamp)
		}
		m.Created = created
	}
	return m, nil
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

type groupKind struct{ group, kind string }

type kind struct {
	name          string // Ref.Kind; this and the next are of the table of kinds
	clusterScoped bool
	decode        func(m Meta, spec, raw []byte) (Object, error)
	// wire is the type whose fields are those that are read of the spec; nil
	// where what counts is that the object exists, or its whole JSON.
	wire reflect.Type
}

// spec is a kind whose spec is decoded into the type of its objects.
func spec[T any, P interface {
	*T
	Object
}](finish func(*T)) kind {
	return kind{decode: decodeSpec[T, P](finish), wire: reflect.TypeFor[T]()}
}

// decodeSpec fills v from the spec and gives it its metadata. Meta is set
// last: a stray field of the spec must not reach it.
func decodeSpec[T any, P interface {
	*T
	Object
}](finish func(*T)) func(Meta, []byte, []byte) (Object, error) {
	return func(m Meta, spec, _ []byte) (Object, error) {
		v := new(T)
		if err := unmarshalSpec(spec, v); err != nil {
			return nil, err
		}
		*P(v).Metadata() = m
		if finish != nil {
			finish(v)
		}
		return P(v), nil
	}
}

func unmarshalSpec(spec []byte, v any) error {
	if len(spec) == 0 || bytes.Equal(spec, []byte("null")) {
		return nil
	}
	return fieldError("spec", unmarshal(spec, v))
}

// checkSpec checks a spec that nobody decodes.
func checkSpec(spec []byte) error {
	if len(spec) > 0 && !json.Valid(spec) {
		return fieldError("spec", rawjson.ErrSyntax)
	}
	return nil
}

// fieldError says which field could not be read.
func fieldError(prefix string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok || e.GoType == nil {
		return fmt.Errorf("%s: %w", prefix, err)
	}
	var field strings.Builder
	field.WriteString(prefix)
	for token := range e.JSONPointer.Tokens() {
		if _, err := strconv.Atoi(token); err == nil {
			field.WriteString("[" + token + "]")
		} else {
			field.WriteString("." + token)
		}
	}
	return fmt.Errorf("%s: a %s cannot be used here, want %s", field.String(), typeName(e.JSONKind), e.GoType)
}

// typeName is what JSON calls a value.
func typeName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	default:
		return k.String()
	}
}
