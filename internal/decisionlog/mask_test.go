package decisionlog

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCredentialsOfAnyForm checks that a field whose name says that it is a credential is masked as a list of texts and as
// a number, too.
func TestCredentialsOfAnyForm(t *testing.T) {
	object := []byte(`{"spec":{"tokens":["first1","second2"],"password":12345678,"secret":{"secretName":"stripe","items":[{"key":"cert"}]}}}`)
	want := `{"spec":{"password":"***","secret":{"items":[{"key":"cert"}],"secretName":"stripe"},"tokens":["***","***"]}}`
	m := &Mask{}
	if d := cmp.Diff(want, string(m.object(object))); d != "" {
		t.Errorf("masked (-want +got):\n%s", d)
	}
	secrets := m.secrets(object)
	slices.Sort(secrets)
	if d := cmp.Diff([]string{"12345678", "first1", "second2"}, secrets); d != "" {
		t.Errorf("secrets (-want +got):\n%s", d)
	}
}

// TestMaskPaths checks the paths that an administrator adds.
func TestMaskPaths(t *testing.T) {
	for _, bad := range []string{"", ".spec", "spec..x", "spec[", "spec[x]", "spec.a[0]b"} {
		if _, err := NewMask([]string{bad}); err == nil {
			t.Errorf("%q is taken for a JSON path", bad)
		}
	}
	m, err := NewMask([]string{`spec.ports[*].name`, `metadata.labels["a.example/b"]`, `spec.hosts[0]`, `spec.extra`})
	if err != nil {
		t.Fatal(err)
	}
	object := []byte(`{"metadata":{"labels":{"a.example/b":"one1","c":"two2"}},"spec":{"hosts":["three3","four4"],"ports":[{"name":"five5","number":1}],"extra":{"deep":["six6"]}}}`)
	want := `{"metadata":{"labels":{"a.example/b":"***","c":"two2"}},"spec":{"extra":"***","hosts":["***","four4"],"ports":[{"name":"***","number":1}]}}`
	if d := cmp.Diff(want, string(m.object(object))); d != "" {
		t.Errorf("masked (-want +got):\n%s", d)
	}
	if secrets := m.secrets(object); len(secrets) != 4 {
		t.Errorf("secrets %q", secrets)
	}
}

// TestScrub checks what is taken for a credential in a text, and what is not.
func TestScrub(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p@db.example.com/x":                                       "postgres://***@db.example.com/x",
		"https://api.example.com/v1?key=abc&x=1#top":                            "https://api.example.com/v1?key=***&x=***#top",
		"authorization: bearer abcdefgh1234":                                    "authorization: bearer ***",
		"header BASIC dXNlcjpwYXNz=":                                            "header BASIC ***",
		"got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_-1 here":                  "got *** here",
		"a -----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY----- b": "a *** b",
		"-----BEGIN PRIVATE KEY-----\nMHc":                                      "***",
		"set api_key = abc, then go":                                            "set api_key = ***, then go",
		`host "api.example.com" is not allowed in namespace "shop"`:             `host "api.example.com" is not allowed in namespace "shop"`,
		"bob@example.com may not":                                               "bob@example.com may not",
		"spec.ports[0]: use one of 443, 8443 (basic needs)":                     "spec.ports[0]: use one of 443, 8443 (basic needs)",
	} {
		if got := scrub(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestHalfASecretIsMasked checks that a secret is masked at the end of a message that was cut in the middle of it.
func TestHalfASecretIsMasked(t *testing.T) {
	if got := withoutHalf("token is s3cr3t-and...", "s3cr3t-and-long"); got != "token is "+masked+"..." {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"token is s3cr3t-and", "nothing here...", "..."} {
		if got := withoutHalf(text, "s3cr3t-and-long"); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
