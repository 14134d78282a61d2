package auditsink_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
)

// gateway starts a real S3 server with the bucket audit, and returns a sink below a
// prefix and the directory that holds its objects as files.
func gateway(t *testing.T) (*auditsink.Bucket, string) {
	t.Helper()
	dir, address := t.TempDir(), unused(t)
	must(t, os.MkdirAll(filepath.Join(dir, "audit"), 0o755))
	listens := func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	spawn(t, &output{}, listens, "versitygw", "--access", "key", "--secret", "hunter2", "--port", address, "--quiet", "posix", dir)
	store, err := s3.New(s3.Config{Endpoint: "http://" + address, Region: "us-east-1", AccessKey: "key", SecretKey: secret.New("hunter2"), PathStyle: true, Roots: []string{"s3://audit"}})
	must(t, err)
	return auditsink.NewBucket(store, "audit", "/prod/"), filepath.Join(dir, "audit", "prod")
}

// TestBucketIsAnExport: the objects in the order of their names are an export of the
// log, which is verified by the keys alone; a batch that is made again is the same
// object, and what somebody else put there is told, not taken for the log.
func TestBucketIsAnExport(t *testing.T) {
	t.Parallel()
	b, dir := gateway(t)
	all, keys := lines(t, 12)
	for i := 0; i < 12; i += 6 {
		must(t, b.Deliver(t.Context(), batch(all[i:i+6])))
		must(t, b.Deliver(t.Context(), batch(all[i:i+6])))
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(names) != 2 || filepath.Base(names[0]) != "00000000000000000001-00000000000000000006.jsonl" || filepath.Base(names[1]) != "00000000000000000007-00000000000000000012.jsonl" {
		t.Fatal(names)
	}
	verify := func() audit.Report {
		t.Helper()
		var export bytes.Buffer
		for _, name := range names {
			text, err := os.ReadFile(name)
			must(t, err)
			export.Write(text)
		}
		v := audit.NewVerifier(keys)
		for l, err := range audit.ReadLines(&export) {
			must(t, err)
			v.Line(l)
		}
		return v.Finish()
	}
	if r := verify(); r.Size != 12 || r.Entries != 12 || len(r.Findings) != 0 || r.Checkpoint == "" {
		t.Errorf("%+v", r)
	}

	// Retention removed an entry between a crash and the next try: the object stands.
	again := slices.Clone(all[:6])
	again[2].Leaf = ""
	must(t, b.Deliver(t.Context(), batch(again)))
	whole, err := os.ReadFile(names[0])
	must(t, err)
	for what, forged := range map[string]string{
		"another entry": strings.Replace(string(whole), "submit_jobs", "list_jobs__", 1),
		"fewer entries": string(whole[bytes.IndexByte(whole, '\n')+1:]),
		"none":          "",
		"no export":     "hello",
	} {
		must(t, os.WriteFile(names[0], []byte(forged), 0o600))
		if err := b.Deliver(t.Context(), batch(all[:6])); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if have, err := os.ReadFile(names[0]); err != nil || string(have) != forged {
			t.Errorf("%s was replaced, %v", what, err)
		}
	}
}

// TestBucketThatIsAway: an error that tells, and no secret in it.
func TestBucketThatIsAway(t *testing.T) {
	t.Parallel()
	b, dir := gateway(t)
	all, _ := lines(t, 1)
	must(t, os.RemoveAll(filepath.Dir(dir)))
	if err := b.Deliver(t.Context(), batch(all)); !fault.Is(err, fault.Unprocessable) || strings.Contains(fault.Detail(err), "hunter2") {
		t.Error(err)
	}
}
