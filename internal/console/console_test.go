package console

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/fault"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		kind fault.Kind
		code string
		want int
	}{
		{fault.Internal, "", ExitInternal},
		{fault.Invalid, "HX-JOB-001", ExitUsage},
		{fault.Unauthenticated, "HX-VSPHERE-010", ExitAuth},
		{fault.NotFound, "HX-VSPHERE-020", ExitPreflight},
		{fault.Unavailable, "HX-VSPHERE-030", ExitSource},
		{fault.Corrupt, "HX-DISK-002", ExitSource},
		{fault.Corrupt, "HX-VERIFY-003", ExitVerification},
		{fault.Denied, "HX-DST-002", ExitDestination},
		{fault.Unprocessable, "HX-DST-004", ExitDestination},
		{fault.Denied, "HX-AUTH-002", ExitAuth},
		{fault.Cancelled, "HX-RUN-001", ExitCancelled},
	} {
		if got := ExitOf(fault.New(c.kind, c.code, "m", "f")); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.kind, c.code, got, c.want)
		}
	}
	if ExitOf(nil) != ExitOK {
		t.Error("nil")
	}
}

func TestSizesAndTimes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 30: "1.0 GiB", 5 << 39: "2.5 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for s, want := range map[float64]string{-1: "--", 0: "0s", 59: "59s", 61: "1m01s", 3700: "1h01m", 1e12: "--"} {
		if got := ETA(s); got != want {
			t.Errorf("%f: %s", s, got)
		}
	}
}

func TestNamesCannotMoveTheCursor(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, [][]string{{"NAME"}, {"a\x1b[2Jb\nc\u202ed"}}); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.ContainsAny(s, "\x1b\u202e") || strings.Count(s, "\n") != 2 {
		t.Fatalf("%q", s)
	}
}

func TestProgressInAPipe(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, false)
	for range 100 {
		p.Update("web-01", "copying", []Bar{{Name: "disk 1", Done: 1 << 20, Total: 4 << 20, Rate: 1 << 20, ETA: 3}})
	}
	p.Update("web-01", "verifying", nil)
	p.Close()
	want := "web-01: copying 25% (1.0 MiB of 4.0 MiB, 1.0 MiB/s, 3s left)\nweb-01: verifying\n"
	if out.String() != want {
		t.Fatalf("%q", out.String())
	}
}

// The one reason of the one job of a request is said once.
func TestServerErrorDoesNotRepeatItself(t *testing.T) {
	index := 0
	e := &client.Error{Status: 429, Code: "HX-QUOTA-001", Detail: "full", Fix: "wait",
		Errors: []client.Issue{{Index: &index, Code: "HX-QUOTA-001", Message: "full", Fix: "wait"}}}
	if got := ServerError(e).Error(); got != "HX-QUOTA-001 full → wait" {
		t.Error(got)
	}
	e.Errors[0].Message = "another"
	if got := ServerError(e).Error(); !strings.Contains(got, "another") {
		t.Error(got)
	}
}
