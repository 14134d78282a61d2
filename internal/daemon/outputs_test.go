package daemon

import (
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestOutputPathsStayBelowTheRoots(t *testing.T) {
	o := outputs{"/srv/a", "/srv/b"}
	for path, want := range map[string][2]string{
		"":               {"/srv/a", "."},
		"x/y":            {"/srv/a", "x/y"},
		"x/../y":         {"/srv/a", "y"},
		"/srv/b":         {"/srv/b", "."},
		"/srv/b/x/":      {"/srv/b", "x"},
		"/srv/a/../b/zz": {"/srv/b", "zz"},
	} {
		root, sub, err := o.split(path)
		if err != nil || root != want[0] || sub != want[1] {
			t.Errorf("%q: %s %s %v", path, root, sub, err)
		}
	}
	for _, path := range []string{"..", "../x", "x/../../y", "/", "/etc", "/srv/ab", "/srv/a/../../etc", "/srv/c/../../srv"} {
		if err := o.Check(path); !fault.Is(err, fault.Denied) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if err := o.Check("a\x00b"); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}
