// Package s3 stores files in an S3-compatible object store: in parts with a
// SHA-256 each, in parallel, so that a crash costs at most the parts that were
// on their way.
package s3

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// Provider is the name under which the ledger has multipart uploads.
const Provider = "s3"

// Config says which store. Without keys those of the environment
// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) are taken, and
// without those the instance's role.
type Config struct {
	Endpoint  string // https://HOST[:PORT]; empty: AWS
	Region    string
	AccessKey string
	SecretKey secret.Secret
	PathStyle bool     // https://HOST/BUCKET instead of https://BUCKET.HOST
	CAFile    string   // trusted besides the system's
	Roots     []string // s3://BUCKET[/PREFIX] below which objects may be written
}

// Store is one object store.
type Store struct {
	core  *minio.Core
	roots []root
	parts int64 // smallest part; tests make it small
}

type root struct{ bucket, prefix string }

// New makes the store. It does not talk to it. Kind Invalid.
func New(c Config) (*Store, error) {
	s := &Store{parts: minPart}
	for _, text := range c.Roots {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "s3" || u.Host == "" {
			return nil, fault.Newf(fault.Invalid, "HX-S3-001", "write s3://BUCKET or s3://BUCKET/PREFIX", "s3.roots: %.100q is no place in a store", text)
		}
		s.roots = append(s.roots, root{u.Host, strings.Trim(u.Path, "/")})
	}
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return nil, fault.New(fault.Invalid, "HX-S3-002", "s3.endpoint is not of the form https://HOST:PORT", "correct it")
	}
	transport, err := newTransport(c.CAFile)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	s.core, err = minio.NewCore(u.Host, &minio.Options{
		Creds: keys(c), Secure: u.Scheme == "https", Region: c.Region, BucketLookup: lookup, Transport: transport, MaxRetries: retries,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "HX-S3-002", "s3.endpoint cannot be used", "correct it")
	}
	return s, nil
}

// retries of one request, with growing pauses.
const retries = 5

func keys(c Config) *credentials.Credentials {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, c.SecretKey.Reveal(), "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{Client: &http.Client{Timeout: 10 * time.Second}}})
}

func newTransport(caFile string) (*http.Transport, error) {
	t, err := minio.DefaultTransport(true)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "HX-S3-003", "no connections can be made", "see the daemon's log")
	}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "HX-S3-004", "s3.ca_file cannot be read", "check the path and the file's permissions")
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.Invalid, "HX-S3-004", "s3.ca_file holds no certificate in PEM", "correct the file")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// Check refuses what does not lie below one of the roots, without a request.
// Kinds Denied, Unprocessable.
func (s *Store) Check(bucket, prefix string) error {
	if err := s3utils.CheckValidBucketNameStrict(bucket); err != nil {
		return fault.Newf(fault.Unprocessable, "HX-S3-005", "correct it", "%.100q is no bucket name", bucket)
	}
	var all []string
	for _, r := range s.roots {
		if r.bucket == bucket && (r.prefix == "" || prefix == r.prefix || strings.HasPrefix(prefix, r.prefix+"/")) {
			return nil
		}
		all = append(all, "s3://"+r.bucket+"/"+r.prefix)
	}
	return fault.Newf(fault.Denied, "HX-S3-006", "use a place below one of s3.roots: "+strings.Join(all, ", "),
		"s3://%s/%s lies outside of the places that exports may go to", bucket, prefix)
}
