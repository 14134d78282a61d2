package service_test

import (
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// flow decodes a workflow.
func (b *bench) flow(text string) job.Spec {
	b.Helper()
	specs, err := job.DecodeSpecs([]byte(text), mediaYAML)
	b.must(err)
	return specs[0]
}

const twoNightly = `
name: two
jobs:
  - {id: a, type: export, vm_path: /a, profile: nightly}
  - {id: b, type: export, vm_path: /b, profile: nightly, format: raw, bandwidth_limit: 1MB, retry: {backoff: 1s}}
  - {id: c, type: export, vm_path: /c}
finally:
  - {id: d, type: export, vm_path: /d, profile: base, retry: {max_attempts: 2}}
`

// TestProfilesOfSteps: each export step takes the defaults of its profile, and the
// job keeps them.
func TestProfilesOfSteps(t *testing.T) {
	on(t, func(b *bench) {
		b.withFiles(map[string]string{"base": "defaults: {format: qcow2, bandwidth_limit: 50MB, verify_checksum: false, max_attempts: 7, priority: high, labels: {x: y}}\n"})
		b.must(b.put(b.us, "nightly", "extends: base\ndefaults: {generate_manifest: true, bandwidth_windows: [\"08:00-18:00 = 5MB\"], timeout: 2h}\n"))
		j := b.submit(b.flow(twoNightly))[0]
		b.must(b.put(b.us, "nightly", "defaults: {format: vmdk}\n"))
		kept, err := b.svc.Get(b.Context(), b.us, j.ID)
		b.must(err)
		steps := kept.Spec.Plan().Steps
		type want struct {
			format, rate, timeout, profile string
			windows, attempts              int
			verified                       bool
		}
		for i, w := range []want{
			{"qcow2", "50MB", "2h", "nightly", 1, 7, false},
			{"raw", "1MB", "2h", "nightly", 1, 7, false},
			{"ova", "", "", "", 0, 3, true},
			{"qcow2", "50MB", "", "base", 0, 2, false},
		} {
			s := steps[i].Export()
			got := want{s.Format, string(s.BandwidthLimit), s.Timeout, s.Profile, len(s.BandwidthWindows), steps[i].Attempts(), s.Verify == "full"}
			if got != w || strings.HasPrefix(s.ProfileDigest, "sha256:") != (w.profile != "") {
				b.Errorf("step %s: %+v, not %+v", steps[i].ID, got, w)
			}
		}
		if s := kept.Spec; s.Priority != job.Normal || len(s.Labels) != 0 || s.Format != "" || steps[1].Retry.Backoff != "1s" {
			b.Errorf("%+v", s)
		}
	})
}

// TestMistakenProfilesOfSteps: all that is wrong is told with its place, and nothing
// is stored.
func TestMistakenProfilesOfSteps(t *testing.T) {
	on(t, func(b *bench) {
		b.withFiles(map[string]string{"a": "extends: b\n", "b": "extends: a\n", "raw": "defaults: {format: raw}\n", "qcow2": "defaults: {format: qcow2, verify: none}\n"})
		const export = "jobs:\n  - {id: e, type: export, vm_path: /x, "
		for _, c := range []struct {
			name, text, code string
			kind             fault.Kind
			words            []string
		}{
			{"unknown", export + "profile: row}\n", "HX-PROFILE-010", fault.Unprocessable, []string{`line 2, column 49: step "e": there is no profile "row"`, "did you mean raw?"}},
			{"two", export + "profile: x}\n  - {id: f, type: export, profile: y, vm_path: /x}\n", "HX-PROFILE-010", fault.Unprocessable,
				[]string{"line 2, column 49: step", `line 3, column 36: step "f": there is no profile "y"`}},
			{"circle", export + "profile: a}\n", "HX-PROFILE-013", fault.Unprocessable, []string{"line 2, column 49", "a → b → a"}},
			{"another digest", export + "profile: raw, profile_digest: sha256:0}\n", "HX-PROFILE-015", fault.Conflict, []string{"line 2, column 49", "has changed"}},
			{"a digest alone", export + "profile_digest: sha256:0}\n", "HX-PROFILE-035", fault.Unprocessable, []string{"line 2, column 5", "without profile"}},
			{"what is merged", export + "verify_checksum: true, profile: qcow2}\n", "", fault.Internal, nil},
			{"what is merged is wrong", export + "bandwidth_limit: 1, profile: qcow2}\n", "HX-FLOW-010", fault.Unprocessable, []string{"line 2, column 57", "less than"}},
		} {
			spec, before := b.flow(c.text), b.total()
			_, err := b.svc.Submit(b.Context(), b.us, []job.Spec{spec}, service.SubmitOptions{})
			if c.code == "" {
				b.must(err)
				continue
			}
			if !fault.Is(err, c.kind) || fault.As(err).Code != c.code || b.total() != before {
				b.Errorf("%s: %v", c.name, err)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					b.Errorf("%s: %q is not in %v", c.name, word, err)
				}
			}
		}
		whole := b.flow(twoNightly)
		whole.Profile = "raw"
		_, err := b.svc.Submit(b.Context(), b.us, []job.Spec{whole}, service.SubmitOptions{})
		b.wantKind(err, fault.Unprocessable)
	})
}

// TestRenderWorkflow shows what a submit would store, without the secrets in it.
func TestRenderWorkflow(t *testing.T) {
	on(t, func(b *bench) {
		b.withFiles(map[string]string{"base": "defaults: {format: raw}\n", "other": "defaults: {format: vmdk, bandwidth_limit: 2MB}\n"})
		spec := b.flow("jobs:\n  - {id: a, type: export, vm_path: /x, profile: base}\n  - {id: b, type: export, vm_path: /x, profile: other}\n" +
			"  - {id: h, type: webhook, url: https://h/secret}\n")
		r, merged, err := b.svc.Render(b.Context(), b.us, "base", spec)
		b.must(err)
		s := merged.Jobs
		if r.Profile.ID != "base" || s[0].Format != "raw" || s[0].ProfileDigest != r.Digest || s[1].BandwidthLimit != "2MB" || strings.Contains(s[2].URL, "secret") {
			b.Errorf("%+v, %+v", r, s)
		}
		if stored := b.submit(spec)[0].Spec.Jobs; stored[0].ProfileDigest != r.Digest || stored[1].Format != "vmdk" {
			b.Errorf("%+v", stored)
		}
		b.must(b.put(b.us, "third", "name: x\n"))
		_, _, err = b.svc.Render(b.Context(), b.us, "third", spec)
		b.wantKind(err, fault.Unprocessable)
	})
}
