package webhook

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/api/admission/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	if rest, object, old, ok := cut(body); !ok || kjson.UnmarshalCaseSensitivePreserveInts(rest, in) != nil {
		*in = received{}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(body, in); err != nil {
			return nil, fmt.Errorf("what was sent is no AdmissionReview: %w", err)
		}
	} else if in.Request != nil {
		in.Request.Object.Raw, in.Request.OldObject.Raw = object, old
	}
	switch in.GroupVersionKind() {
	case admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"), v1beta1.SchemeGroupVersion.WithKind("AdmissionReview"):
		return in, nil
	}
	return nil, fmt.Errorf("what was sent is no AdmissionReview of version v1 or v1beta1: apiVersion %q, kind %q", in.APIVersion, in.Kind)
}

// cut takes the objects out of a review. They are most of its bytes, and
// whoever judges them decodes them anyway. ok is false for what is not as plain
// as an API server writes it, or wrong.
func cut(body []byte) (rest, object, old []byte, ok bool) {
	errOther := errors.New("not plain")
	rest = make([]byte, 0, 1024)
	add := func(name, value []byte) {
		if last := len(rest) - 1; last >= 0 && rest[last] != '{' {
			rest = append(rest, ',')
		}
		rest = append(append(append(rest, '"'), name...), '"', ':')
		rest = append(rest, value...)
	}
	rest = append(rest, '{')
	err := rawjson.Members(body, func(name, value []byte) error {
		if _, plain := rawjson.PlainText(name); !plain {
			return errOther
		}
		if string(name) != "request" {
			add(name, value)
			return nil
		}
		add(name, []byte("{"))
		err := rawjson.Members(value, func(name, value []byte) error {
			switch _, plain := rawjson.PlainText(name); {
			case !plain:
				return errOther
			case string(name) == "object" && value[0] == '{':
				object = value
			case string(name) == "oldObject" && value[0] == '{':
				old = value
			default:
				add(name, value)
			}
			return nil
		})
		rest = append(rest, '}')
		return err
	})
	return append(rest, '}'), object, old, err == nil
}
