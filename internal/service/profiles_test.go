package service_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const mediaYAML = "application/yaml"

// withFiles gives the service a directory of profiles.
func (b *bench) withFiles(files map[string]string) (dir string) {
	b.Helper()
	dir = b.TempDir()
	for id, text := range files {
		b.must(os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600))
	}
	b.deps.Files = profile.NewDirs(dir)
	b.svc = service.New(b.store, b.deps)
	return dir
}

func (b *bench) put(p tenant.Principal, id, text string) error {
	_, err := b.svc.PutProfile(b.Context(), p, id, []byte(text), mediaYAML)
	return err
}

// TestSubmitWithProfile: the job keeps what ran, whatever becomes of the profile.
func TestSubmitWithProfile(t *testing.T) {
	on(t, func(b *bench) {
		b.withFiles(map[string]string{
			"base": "defaults: {format: qcow2, priority: high, bandwidth_limit: 50MB}\n", "a": "extends: b\n", "b": "extends: a\n",
		})
		b.must(b.put(b.us, "nightly", "extends: base\ndefaults: {compression: zstd, labels: {wave: night}}\n"))
		first := b.submit(job.Spec{VMPath: "/vm", Profile: "nightly", Labels: map[string]string{"who": "me"}})[0]
		s := first.Spec
		if s.Format != "qcow2" || s.Priority != job.High || first.Priority != job.High || s.BandwidthLimit != "50MB" || s.Compression != "zstd" ||
			s.Labels["wave"] != "night" || s.Labels["who"] != "me" || s.Profile != "nightly" || !strings.HasPrefix(s.ProfileDigest, "sha256:") {
			b.Fatalf("%+v", s)
		}
		own := b.submit(job.Spec{VMPath: "/vm", Profile: "nightly", Format: "raw"})[0]
		if own.Spec.Format != "raw" || own.Spec.ProfileDigest != s.ProfileDigest {
			b.Fatalf("%+v", own.Spec)
		}
		b.must(b.put(b.us, "nightly", "defaults: {format: vmdk}\n"))
		kept, err := b.svc.Get(b.Context(), b.us, first.ID)
		b.must(err)
		if kept.Spec.Format != "qcow2" || kept.Spec.ProfileDigest != s.ProfileDigest {
			b.Fatalf("the job has changed: %+v", kept.Spec)
		}
		if now := b.submit(job.Spec{VMPath: "/vm", Profile: "nightly"})[0]; now.Spec.Format != "vmdk" || now.Spec.ProfileDigest == s.ProfileDigest {
			b.Fatalf("%+v", now.Spec)
		}
		for _, c := range []struct {
			spec job.Spec
			kind fault.Kind
			says string
		}{
			{job.Spec{VMPath: "/vm", Profile: "nightlyy"}, fault.Unprocessable, "did you mean nightly?"},
			{job.Spec{VMPath: "/vm", Profile: "none"}, fault.Unprocessable, "there are: a, b, base, nightly"},
			{job.Spec{VMPath: "/vm", Profile: "a"}, fault.Unprocessable, "a → b → a"},
			{job.Spec{VMPath: "/vm", Profile: "../../etc/passwd"}, fault.Unprocessable, "there is no profile"},
			{job.Spec{VMPath: "/vm", Profile: "nightly", ProfileDigest: s.ProfileDigest}, fault.Conflict, "has changed"},
			{job.Spec{VMPath: "/vm", ProfileDigest: s.ProfileDigest}, fault.Unprocessable, "without profile"},
			{job.Spec{VMPath: "/vm", Profile: "base", Format: "floppy"}, fault.Unprocessable, "floppy"},
		} {
			before := b.total()
			_, err := b.svc.Submit(b.Context(), b.us, []job.Spec{c.spec}, service.SubmitOptions{})
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || b.total() != before {
				b.Errorf("%+v: %v", c.spec, err)
			}
		}
	})
}

// TestReplayOutlivesProfile: the answer to a request stays when the profile goes.
func TestReplayOutlivesProfile(t *testing.T) {
	on(t, func(b *bench) {
		b.must(b.put(b.us, "p", "defaults: {format: raw}\n"))
		submit := func() (service.SubmitResult, error) {
			return b.svc.Submit(b.Context(), b.us, []job.Spec{{VMPath: "/vm", Profile: "p"}}, service.SubmitOptions{IdempotencyKey: "k"})
		}
		first, err := submit()
		b.must(err)
		_, err = b.svc.DeleteProfile(b.Context(), b.us, "p")
		b.must(err)
		again, err := submit()
		b.must(err)
		if !again.Replayed || again.Jobs[0].ID != first.Jobs[0].ID {
			b.Fatalf("%+v", again)
		}
	})
}

// TestProfileRules: what can be put and deleted, and by whom.
func TestProfileRules(t *testing.T) {
	on(t, func(b *bench) {
		dir := b.withFiles(map[string]string{"base": "defaults: {format: raw}\n", "bad": "nonsense: 1\n"})
		b.must(b.put(b.us, "mid", "extends: base\n"))
		b.must(b.put(b.us, "leaf", "extends: mid\n"))
		for _, c := range []struct {
			id, text string
			kind     fault.Kind
			says     string
		}{
			{"base", "name: mine\n", fault.Conflict, "is a file of the daemon"},
			{"mid", "extends: leaf\n", fault.Unprocessable, "in a circle"},
			{"new", "extends: leef\n", fault.Unprocessable, "did you mean leaf?"},
			{"new", "extends: bad\n", fault.Unprocessable, "nonsense: unknown key"},
			{"new", "nonsense: 1\n", fault.Invalid, "line 1: nonsense"},
			{"../new", "name: x\n", fault.Invalid, "is no id"},
			{"mid", "defaults: {format: floppy}\n", fault.Unprocessable, "floppy"},
		} {
			if err := b.put(b.us, c.id, c.text); !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				b.Errorf("%s %q: %v", c.id, c.text, err)
			}
		}
		var ids []string
		all, err := b.svc.Profiles(b.Context(), b.us)
		b.must(err)
		for _, p := range all {
			ids = append(ids, p.ID+" "+p.Source)
		}
		if got := strings.Join(ids, ", "); got != "bad file, base file, leaf tenant, mid tenant" {
			b.Errorf("%s", got)
		}
		theirs, err := b.svc.Profiles(b.Context(), b.others)
		b.must(err)
		if len(theirs) != 2 {
			b.Errorf("another tenant sees %+v", theirs)
		}
		_, err = b.svc.Profile(b.Context(), b.others, "mid")
		b.wantKind(err, fault.NotFound)
		_, err = b.svc.DeleteProfile(b.Context(), b.others, "mid")
		b.wantKind(err, fault.NotFound)
		_, err = b.svc.DeleteProfile(b.Context(), b.us, "mid")
		b.wantKind(err, fault.Conflict)
		_, err = b.svc.DeleteProfile(b.Context(), b.us, "base")
		b.wantKind(err, fault.Conflict)
		reader := tenant.NewPrincipal("ours", "reader", tenant.ProfileRead)
		b.wantKind(b.put(reader, "x", "name: x\n"), fault.Denied)
		_, err = b.svc.DeleteProfile(b.Context(), reader, "leaf")
		b.wantKind(err, fault.Denied)
		_, err = b.svc.Profiles(b.Context(), tenant.NewPrincipal("ours", "nobody", tenant.JobRead))
		b.wantKind(err, fault.Denied)

		// A file that comes later under an id of theirs changes nothing for them.
		b.must(os.WriteFile(filepath.Join(dir, "leaf.yaml"), []byte("defaults: {format: vmdk}\n"), 0o600))
		r, spec, err := b.svc.Render(b.Context(), b.us, "leaf", job.Spec{Priority: job.Low})
		b.must(err)
		if spec.Format != "raw" || spec.Priority != job.Low || len(r.Chain) != 3 {
			b.Errorf("%+v, %+v", r, spec)
		}
		if _, spec, err = b.svc.Render(b.Context(), b.others, "leaf", job.Spec{}); err != nil || spec.Format != "vmdk" {
			b.Errorf("%+v, %v", spec, err)
		}
		_, err = b.svc.DeleteProfile(b.Context(), b.us, "leaf")
		b.must(err)
		for i := range 101 {
			err = b.put(b.us, "p"+strconv.Itoa(i), "name: x\n")
			if err != nil {
				break
			}
		}
		b.wantKind(err, fault.Exhausted)
	})
}

// TestSetBandwidth: a job's limit is changed while it has not ended, by who may.
func TestSetBandwidth(t *testing.T) {
	on(t, func(b *bench) {
		j := b.submit(job.Spec{VMPath: "/vm", BandwidthLimit: "50MB", BandwidthWindows: []string{"08:00-09:00 = 1MB"}})[0]
		changed, err := b.svc.SetBandwidth(b.Context(), b.us, j.ID, "20MB", nil)
		b.must(err)
		kept, err := b.svc.Get(b.Context(), b.us, j.ID)
		b.must(err)
		if changed.Spec.BandwidthLimit != "20MB" || kept.Spec.BandwidthLimit != "20MB" || kept.Spec.BandwidthWindows != nil || kept.Spec.VMPath != "/vm" {
			b.Errorf("%+v", kept.Spec)
		}
		own, _, err := b.store.Bandwidth(b.Context(), j.ID)
		if err != nil || own.Rate != 20e6 || len(own.Windows) != 0 {
			b.Errorf("%+v, %v", own, err)
		}
		events, err := b.store.Reader(mustScope(b)).Events(b.Context(), j.ID, 0, 10)
		b.must(err)
		if last := events[len(events)-1]; last.Kind != "job.bandwidth_changed" || last.Actor != "us" || last.Data.Reason != "bandwidth_limit 20MB" || last.Data.State != job.Pending {
			b.Errorf("%+v", last)
		}
		_, err = b.svc.SetBandwidth(b.Context(), b.us, j.ID, "fast", nil)
		b.wantKind(err, fault.Unprocessable)
		_, err = b.svc.SetBandwidth(b.Context(), b.others, j.ID, "1MB", nil)
		b.wantKind(err, fault.NotFound)
		_, err = b.svc.SetBandwidth(b.Context(), tenant.NewPrincipal("ours", "reader", tenant.JobRead), j.ID, "1MB", nil)
		b.wantKind(err, fault.Denied)
		_, err = b.svc.Cancel(b.Context(), b.us, j.ID, "")
		b.must(err)
		_, err = b.svc.SetBandwidth(b.Context(), b.us, j.ID, "1MB", nil)
		b.wantKind(err, fault.Conflict)
	})
}

func mustScope(b *bench) tenant.Scope {
	s, err := b.us.Scope(tenant.JobRead)
	b.must(err)
	return s
}
