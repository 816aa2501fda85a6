package webhook

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/api/admission/v1beta1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// received is an AdmissionReview as it arrives. v1 and v1beta1 look the same.
type received struct {
	metav1.TypeMeta `json:",inline"`
	Request         *admissionv1.AdmissionRequest `json:"request"`
}

// decodeReview decodes a review. Its objects are part of the body, which the
// caller must leave alone.
func decodeReview(body []byte) (*received, error) {
	in := new(received)
	if rawjson.Members(body, in.member) != nil {
		// Not as plain as an API server writes it, or wrong: this can read the
		// one and say what is wrong with the other.
		in = new(received)
		if err := kjson.UnmarshalCaseSensitivePreserveInts(body, in); err != nil {
			return nil, fmt.Errorf("what was sent is no AdmissionReview: %w", err)
		}
	}
	switch in.GroupVersionKind() {
	case admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"), v1beta1.SchemeGroupVersion.WithKind("AdmissionReview"):
		return in, nil
	}
	return nil, fmt.Errorf("what was sent is no AdmissionReview of version v1 or v1beta1: apiVersion %q, kind %q",
		truncate(in.APIVersion, maxName), truncate(in.Kind, maxName))
}

// errNotPlain is returned for JSON that is left to a decoder of all of JSON.
var errNotPlain = errors.New("not plain JSON")

// member takes a member of a review.
func (in *received) member(name, value []byte) error {
	switch string(name) {
	case "apiVersion":
		return plain(value, &in.APIVersion)
	case "kind":
		return plain(value, &in.Kind)
	case "request":
		if in.Request == nil {
			in.Request = new(admissionv1.AdmissionRequest)
		}
		return rawjson.Members(value, in.requestMember)
	default:
		return errNotPlain
	}
}

func (in *received) requestMember(name, value []byte) error {
	r := in.Request
	switch string(name) {
	case "uid":
		return plain(value, &r.UID)
	case "kind":
		return kindOf(value, &r.Kind)
	case "resource":
		return resourceOf(value, &r.Resource)
	case "subResource":
		return plain(value, &r.SubResource)
	case "requestKind":
		r.RequestKind = orNew(r.RequestKind)
		return kindOf(value, r.RequestKind)
	case "requestResource":
		r.RequestResource = orNew(r.RequestResource)
		return resourceOf(value, r.RequestResource)
	case "requestSubResource":
		return plain(value, &r.RequestSubResource)
	case "name":
		return plain(value, &r.Name)
	case "namespace":
		return plain(value, &r.Namespace)
	case "operation":
		return plain(value, &r.Operation)
	case "userInfo":
		return rawjson.Members(value, func(name, value []byte) error { return userMember(&r.UserInfo, name, value) })
	case "object":
		return object(value, &r.Object)
	case "oldObject":
		return object(value, &r.OldObject)
	case "options":
		return object(value, &r.Options)
	case "dryRun":
		r.DryRun = orNew(r.DryRun)
		return unmarshal(value, r.DryRun)
	default:
		return errNotPlain
	}
}

func userMember(u *authenticationv1.UserInfo, name, value []byte) error {
	switch string(name) {
	case "username":
		return plain(value, &u.Username)
	case "uid":
		return plain(value, &u.UID)
	case "groups":
		u.Groups = []string{}
		return rawjson.Elements(value, func(value []byte) error {
			u.Groups = append(u.Groups, "")
			return plain(value, &u.Groups[len(u.Groups)-1])
		})
	case "extra":
		return unmarshal(value, &u.Extra)
	default:
		return errNotPlain
	}
}

func kindOf(value []byte, k *metav1.GroupVersionKind) error {
	return parts(value, &k.Group, &k.Version, "kind", &k.Kind)
}

func resourceOf(value []byte, r *metav1.GroupVersionResource) error {
	return parts(value, &r.Group, &r.Version, "resource", &r.Resource)
}

func parts(value []byte, group, version *string, last string, into *string) error {
	return rawjson.Members(value, func(name, value []byte) error {
		switch string(name) {
		case "group":
			return plain(value, group)
		case "version":
			return plain(value, version)
		case last:
			return plain(value, into)
		default:
			return errNotPlain
		}
	})
}

// object takes an object as it is written. It is most of a review's bytes, and
// whoever judges it decodes and checks it anyway.
func object(value []byte, o *runtime.RawExtension) error {
	switch {
	case value[0] == '{':
		o.Raw = value
	case string(value) != "null":
		return errNotPlain
	}
	return nil
}

// plain takes a string.
func plain[S ~string](value []byte, into *S) error {
	s, ok := rawjson.Plain(value)
	if !ok {
		return unmarshal(value, into)
	}
	*into = S(s)
	return nil
}

func unmarshal(value []byte, into any) error {
	if string(value) == "null" {
		return errNotPlain // what it means depends on the field
	}
	return kjson.UnmarshalCaseSensitivePreserveInts(value, into)
}

func orNew[T any](p *T) *T {
	if p == nil {
		p = new(T)
	}
	return p
}
