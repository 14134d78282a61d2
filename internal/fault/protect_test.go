package fault_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestProtect(t *testing.T) {
	t.Parallel()
	if err := fault.Protect(func() error { return nil }); err != nil {
		t.Error(err)
	}
	own := errors.New("own")
	if err := fault.Protect(func() error { return own }); !errors.Is(err, own) {
		t.Error(err)
	}
	for what, oops := range map[string]func(){
		"string": func() { panic("hunter2") }, "*errors.errorString": func() { panic(own) }, "index out of range": func() { _ = []int{}[len(what(t))-1] },
		"nil pointer": func() { _ = *(*int)(nil) },
	} {
		err := fault.Protect(func() error { oops(); return nil })
		if said := fault.Detail(err); !fault.Is(err, fault.Internal) || !strings.Contains(said, what) || !strings.Contains(said, "protect_test.go") || strings.Contains(said, "hunter2") {
			t.Errorf("%s: %s", what, said)
		}
	}
}

func what(t *testing.T) string {
	t.Helper()
	return t.Name()
}
