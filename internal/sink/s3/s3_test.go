package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// gateway starts a real S3 server with the bucket bkt and returns a store on it and
// the directory that holds its objects as files.
func gateway(t *testing.T) (*Store, string) {
	t.Helper()
	bin, err := exec.LookPath("versitygw")
	if err != nil {
		t.Fatal("versitygw is missing: make .cache/tools/versitygw, and put that directory into PATH")
	}
	dir := t.TempDir()
	for _, d := range []string{"bkt", ".iam"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--access", "key", "--secret", "secret", "--port", addr, "--quiet", "posix", dir)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	s, err := New(Config{Endpoint: "http://" + addr, Region: "us-east-1", AccessKey: "key", SecretKey: secret.New("secret"), PathStyle: true, Roots: []string{"s3://bkt"}})
	if err != nil {
		t.Fatal(err)
	}
	s.parts = 5 << 20 // the least that S3 takes
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err, log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return s, filepath.Join(dir, "bkt")
}

// ledger is one in memory.
type ledger struct {
	entries []provider.LedgerEntry
	amend   error // what Amend answers
	made    int
}

func (l *ledger) Intend(_ context.Context, kind, ref string) (string, error) {
	l.made++
	id := fmt.Sprint(l.made)
	l.entries = append(l.entries, provider.LedgerEntry{ID: id, Kind: kind, Ref: ref, Provider: Provider})
	return id, nil
}

func (l *ledger) Amend(_ context.Context, id, ref string) error {
	for i := range l.entries {
		if l.entries[i].ID == id && l.amend == nil {
			l.entries[i].Ref = ref
		}
	}
	return l.amend
}

func (l *ledger) Settle(_ context.Context, id string) error {
	for i := range l.entries {
		if l.entries[i].ID == id {
			l.entries = append(l.entries[:i], l.entries[i+1:]...)
			break
		}
	}
	return nil
}

func (l *ledger) Open(context.Context) ([]provider.LedgerEntry, error) {
	return append([]provider.LedgerEntry(nil), l.entries...), nil
}

func content(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := 0; i < n; i += 7 {
		b[i] = byte(r.Uint32())
	}
	return b
}

func object(data []byte, l *ledger) Object {
	sum := sha256.Sum256(data)
	return Object{Bucket: "bkt", Key: "p/disk.raw", Content: bytes.NewReader(data), Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]),
		Owner: "job.step", Verify: true, Ledger: l, Count: func(int64) {}}
}

// failing breaks off at an offset, once ready is closed (nil: at once).
type failing struct {
	io.ReaderAt
	after int64
	ready chan struct{}
}

var errCut = errors.New("cut")

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.after {
		if f.ready != nil {
			<-f.ready
		}
		return 0, errCut
	}
	return f.ReaderAt.ReadAt(p, off)
}

func left(t *testing.T, s *Store) int {
	t.Helper()
	res, err := s.core.ListMultipartUploads(t.Context(), "bkt", "", "", "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	return len(res.Uploads)
}

func TestStore(t *testing.T) {
	s, dir := gateway(t)
	ctx := t.Context()
	t.Run("small and empty objects", func(t *testing.T) {
		for _, n := range []int{0, 1, 5 << 20} {
			o := object(content(n), &ledger{})
			o.Key = fmt.Sprintf("small/%d", n)
			if _, err := s.Put(ctx, o); err != nil {
				t.Fatal(n, err)
			}
		}
	})
	t.Run("parts", func(t *testing.T) {
		data := content(12<<20 + 5)
		l := &ledger{}
		o := object(data, l)
		var count int64
		o.Count = func(n int64) { count += n }
		sum, err := s.Put(ctx, o)
		if err != nil || sum != o.SHA256 || count != o.Size || len(l.entries) != 0 {
			t.Fatal(sum, err, count, l.entries)
		}
		stored, err := os.ReadFile(filepath.Join(dir, "p/disk.raw"))
		if err != nil || !bytes.Equal(stored, data) {
			t.Fatal("the stored file differs", err)
		}
		info, err := s.core.StatObject(ctx, "bkt", o.Key, minio.StatObjectOptions{Checksum: true})
		if err != nil || info.ChecksumSHA256 == "" {
			t.Fatalf("no checksum of parts: %+v %v", info, err)
		}
		// Again by the same owner: nothing is sent. By another: refused, or replaced.
		o.Content = &failing{ReaderAt: bytes.NewReader(data)}
		if _, err := s.Put(ctx, o); err != nil {
			t.Fatal(err)
		}
		o = object(data, l)
		o.Owner = "other.step"
		if _, err := s.Put(ctx, o); !fault.Is(err, fault.Conflict) {
			t.Fatal(err)
		}
		if err := s.Remove(ctx, "bkt", o.Key, "third.step"); err != nil {
			t.Fatal(err)
		}
		o.Overwrite = true
		if _, err := s.Put(ctx, o); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Remove(ctx, "bkt", o.Key, "other.step"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "p/disk.raw")); !os.IsNotExist(err) {
			t.Fatal("not removed", err)
		}
	})
	t.Run("goes on where it broke off", func(t *testing.T) {
		data := content(31 << 20)
		l := &ledger{}
		o := object(data, l)
		cut := &failing{ReaderAt: bytes.NewReader(data), after: 16 << 20, ready: make(chan struct{})}
		var sent atomic.Int32
		o.Content, o.Count = cut, func(int64) {
			if sent.Add(1) == 2 {
				close(cut.ready)
			}
		}
		if _, err := s.Put(ctx, o); !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		if len(l.entries) != 1 || left(t, s) != 1 {
			t.Fatal(l.entries)
		}
		r, err := parseRef(l.entries[0])
		if err != nil {
			t.Fatal(err)
		}
		before, err := s.list(ctx, r)
		if err != nil || len(before) < 2 {
			t.Fatal(before, err)
		}
		o.Content, o.Count = bytes.NewReader(data), func(int64) {}
		if _, err := s.Put(ctx, o); err != nil {
			t.Fatal(err)
		}
		after, err := s.core.StatObject(ctx, "bkt", o.Key, minio.StatObjectOptions{})
		if err != nil || after.Size != o.Size {
			t.Fatal(after, err)
		}
		if len(l.entries) != 0 || left(t, s) != 0 || l.made != 1 {
			t.Fatal("another upload was begun, or one is left: ", l)
		}
		if stored, err := os.ReadFile(filepath.Join(dir, o.Key)); err != nil || !bytes.Equal(stored, data) {
			t.Fatal("the stored file differs", err)
		}
	})
	t.Run("a crash before the id is noted", func(t *testing.T) {
		stranger, err := s.core.NewMultipartUpload(ctx, "bkt", "p/crash", minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l := &ledger{amend: errCut}
		o := object(content(11<<20), l)
		o.Key = "p/crash"
		if _, err := s.Put(ctx, o); !errors.Is(err, errCut) || left(t, s) != 2 {
			t.Fatal(err, left(t, s))
		}
		l.amend = nil
		if err := s.Abort(ctx, l); err != nil {
			t.Fatal(err)
		}
		if left(t, s) != 1 || len(l.entries) != 0 {
			t.Fatal("ours is left, or the stranger's is gone")
		}
		if err := s.core.AbortMultipartUpload(ctx, "bkt", "p/crash", stranger); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an upload that the store forgot is begun anew", func(t *testing.T) {
		l := &ledger{}
		o := object(content(11<<20), l)
		o.Key = "p/forgotten"
		if _, err := l.Intend(ctx, kindMultipart, ref{Bucket: "bkt", Key: o.Key, Upload: "00000000-0000-0000-0000-000000000000"}.String()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, o); err != nil || len(l.entries) != 0 {
			t.Fatal(err, l.entries)
		}
	})
	t.Run("content that changed", func(t *testing.T) {
		for _, verify := range []bool{true, false} {
			o := object(content(6<<20), &ledger{})
			o.Key, o.Verify = fmt.Sprint("p/changed", verify), verify
			o.Content = bytes.NewReader(make([]byte, 6<<20))
			if _, err := s.Put(ctx, o); !fault.Is(err, fault.Corrupt) {
				t.Fatal(err)
			}
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		l := &ledger{}
		o := object(content(31<<20), l)
		o.Key = "p/cancelled"
		ctx, cancel := context.WithCancelCause(ctx)
		o.Count = func(int64) { cancel(errCut) }
		if _, err := s.Put(ctx, o); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if err := s.Abort(t.Context(), l); err != nil || left(t, s) != 0 {
			t.Fatal(err, left(t, s))
		}
	})
	t.Run("no such bucket", func(t *testing.T) {
		o := object(content(1), &ledger{})
		o.Bucket = "missing"
		if _, err := s.Put(ctx, o); !fault.Is(err, fault.Unprocessable) {
			t.Fatal(err)
		}
	})
}

func TestRoots(t *testing.T) {
	s, err := New(Config{Roots: []string{"s3://bkt/p/", "s3://whole"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bucket, prefix string
		ok             bool
	}{
		{"bkt", "p", true}, {"bkt", "p/x", true}, {"bkt", "px", false}, {"bkt", "", false}, {"whole", "", true}, {"whole", "x", true}, {"other", "p", false}, {"..", "p", false},
	} {
		if err := s.Check(c.bucket, c.prefix); (err == nil) != c.ok {
			t.Errorf("s3://%s/%s: %v", c.bucket, c.prefix, err)
		}
	}
	for _, bad := range []Config{{Roots: []string{"/x"}}, {Endpoint: "host:80"}, {Endpoint: "https://u:p@h"}, {Endpoint: "https://h/path"}, {CAFile: "/nonexistent"}} {
		if _, err := New(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestPartSizes(t *testing.T) {
	s := &Store{parts: minPart}
	for _, size := range []int64{1, minPart, 100 << 30, 2 << 40, 40 << 40} {
		if p := s.partSize(size); (size+p-1)/p > 10000 || p < minPart || p > 5<<30 {
			t.Errorf("%d bytes: parts of %d", size, p)
		}
	}
}
