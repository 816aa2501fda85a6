package webhook

import (
	"bytes"
	"encoding/json"
	"errors"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errHeadEnds ends the reading of a head where the object begins.
var errHeadEnds = errors.New("the object begins")

// readHead reads what the first bytes of a review say about it: its version,
// what it is about, and who writes. An API server puts all of that before the
// object, of which nothing is read: a review that is turned away is to cost next to
// nothing. What is not there stays empty: such reviews share one turn. The head is
// complete where the object has begun.
func readHead(data []byte) (in *received, complete bool) {
	in = &received{Request: new(admissionv1.AdmissionRequest)}
	d := json.NewDecoder(bytes.NewReader(data))
	err := members(d, func(name string) error { // cut off somewhere, so it ends with an error
		switch name {
		case "apiVersion":
			return d.Decode(&in.APIVersion)
		case "kind":
			return d.Decode(&in.Kind)
		case "request":
			return members(d, func(name string) error { return headMember(d, name, in.Request) })
		}
		return d.Decode(new(json.RawMessage))
	})
	return in, errors.Is(err, errHeadEnds)
}

func headMember(d *json.Decoder, name string, r *admissionv1.AdmissionRequest) error {
	switch name {
	case "uid":
		return d.Decode(&r.UID)
	case "kind":
		return d.Decode(&r.Kind)
	case "name":
		return d.Decode(&r.Name)
	case "namespace":
		return d.Decode(&r.Namespace)
	case "operation":
		return d.Decode(&r.Operation)
	case "userInfo":
		return d.Decode(&r.UserInfo)
	case "object", "oldObject":
		return errHeadEnds
	}
	return d.Decode(new(json.RawMessage))
}

// members calls f for each member of an object, which f reads.
func members(d *json.Decoder, f func(name string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errNotPlain
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if err := f(name); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// typeMeta is that of an answer to a review of that version: of one that does
// not say, the newest.
func typeMeta(version string) metav1.TypeMeta {
	if version == "" {
		version = admissionv1.SchemeGroupVersion.String()
	}
	return metav1.TypeMeta{APIVersion: version, Kind: "AdmissionReview"}
}
