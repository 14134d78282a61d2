//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucketName is the only bucket of a gateway.
const bucketName = "backups"

// gateway is an S3 server whose objects are files.
type gateway struct {
	*testing.T
	api     *minio.Client
	objects string // directory of the bucket
	extra   string // what a daemon's configuration needs to use it
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	root, keys := t.TempDir(), t.TempDir()
	g := &gateway{T: t, objects: filepath.Join(root, bucketName)}
	if err := os.Mkdir(g.objects, 0o755); err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	cmd := exec.Command("versitygw", "--access", "key", "--secret", "secret", "--port", addr, "--quiet", "posix", root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run `make e2e`, which installs it, or put .cache/tools into PATH", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "the S3 server to listen", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	var err error
	g.api, err = minio.New(addr, &minio.Options{
		Creds: credentials.NewStaticV4("key", "secret", ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	access, secret := filepath.Join(keys, "access"), filepath.Join(keys, "secret")
	write(t, access, "key\n")
	write(t, secret, "secret\n")
	server := url.URL{Scheme: "http", Host: addr}
	g.extra = fmt.Sprintf("s3:\n  endpoint: %q\n  region: us-east-1\n  path_style: true\n  access_key_file: %q\n  secret_key_file: %q\n  roots: [\"s3://%s\"]\n",
		server.String(), access, secret, bucketName)
	return g
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// unfinished lists the multipart uploads that were begun and not ended.
func (g *gateway) unfinished() (keys []string) {
	g.Helper()
	for u := range g.api.ListIncompleteUploads(g.Context(), bucketName, "", true) {
		if u.Err != nil {
			g.Fatal(u.Err)
		}
		keys = append(keys, u.Key)
	}
	return keys
}

// keys lists the objects below a prefix; all of them if it is empty.
func (g *gateway) keys(prefix string) (keys []string) {
	g.Helper()
	for o := range g.api.ListObjects(g.Context(), bucketName, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			g.Fatal(o.Err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}
