package mesh

import "testing"

func TestIstioVersion(t *testing.T) {
	for text, want := range map[string]IstioVersion{
		"1.31": {31, 0}, "v1.30.4": {30, 4}, "1.31.2-distroless": {31, 2}, "1.32.0-rc.1": {32, 0}, "1.33.0+build": {33, 0},
		"": {}, "1": {}, "2.1": {}, "1.x": {}, "1.-1": {}, "1.+1": {}, "1.31.2.3": {}, "latest": {}, "1..": {}, "1.0": {},
	} {
		got, err := ParseIstioVersion(text)
		if got != want || (err == nil) != (want != IstioVersion{}) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for v, open := range map[IstioVersion]bool{
		{}: false, {30, 3}: true, {30, 4}: false, {31, 0}: true, {31, 1}: false, {32, 0}: false, {29, 9}: true,
	} {
		if v.FailsOpen() != open {
			t.Errorf("%s fails open: %t", v, v.FailsOpen())
		}
	}
	if !(IstioVersion{}).AtLeast(NewestIstio) || (IstioVersion{31, 9}).AtLeast(32) || !(IstioVersion{31, 0}).AtLeast(31) {
		t.Error("AtLeast compares wrongly")
	}
}
