package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// Limits of parts: S3 takes 10,000 of them, each at most 5 GiB.
const (
	minPart  = 16 << 20
	maxParts = 9000
	parallel = 4
)

// metaOwner is the metadata that names the job and step that made an object, and
// metaSum the SHA-256 of its content in hex.
const (
	metaOwner = "Hypersdk-Owner"
	metaSum   = "Hypersdk-Sha256"
)

// Ledger is that of the step.
type Ledger interface {
	provider.Ledger
	Open(ctx context.Context) ([]provider.LedgerEntry, error)
}

// Object is a file that goes to the store.
type Object struct {
	Bucket, Key string
	Content     io.ReaderAt // read twice: to hash a part and to send it
	Size        int64
	SHA256      string // hex, as the export's receipt has it; empty: not known
	Owner       string // job and step; an object of this owner is not sent again
	Overwrite   bool   // replace an object of somebody else
	Verify      bool   // read it back
	Ledger      Ledger
	Count       func(n int64) // bytes that went; must not block
}

// Put stores an object, or goes on where an earlier run stopped: a part that the
// store has is hashed here and compared, not sent. It returns the SHA-256 of the
// whole content. On an error what is stored of it remains, and the ledger names
// it. Kinds: Conflict (the key is taken), Denied, Unprocessable, Corrupt,
// Unavailable.
func (s *Store) Put(ctx context.Context, o Object) (sum string, err error) {
	sum, err = s.sum(ctx, &o)
	if err != nil {
		return "", err
	}
	there, err := s.there(ctx, &o, sum)
	if err != nil {
		return "", err
	}
	switch {
	case there:
		o.Count(o.Size)
		err = s.Settled(ctx, o.Ledger, o.Bucket, o.Key)
	case o.Size <= s.parts:
		err = s.putWhole(ctx, &o, sum)
	default:
		err = s.putParts(ctx, &o, sum)
	}
	if err != nil {
		return "", err
	}
	return sum, s.check(ctx, &o, sum)
}

// sum returns the hash that the content has, or must have: what is read back later
// need not be read before.
func (s *Store) sum(ctx context.Context, o *Object) (string, error) {
	if o.SHA256 != "" && o.Verify {
		return o.SHA256, nil
	}
	got, err := hashSection(ctx, o.Content, 0, o.Size)
	if err != nil {
		return "", err
	}
	sum := hex.EncodeToString(got)
	if o.SHA256 != "" && o.SHA256 != sum {
		return "", fault.Newf(fault.Corrupt, "HX-S3-020", "check the storage of the export, then export again",
			"%s is not what its receipt says: it changed since it was exported", o.Key)
	}
	return sum, nil
}

// there tells whether an earlier run stored the object. Kind Conflict: somebody
// else did.
func (s *Store) there(ctx context.Context, o *Object, sum string) (bool, error) {
	info, err := s.core.StatObject(ctx, o.Bucket, o.Key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return false, nil
	}
	if err != nil {
		return false, classify(ctx, err, "look for s3://"+o.Bucket+"/"+o.Key)
	}
	if info.UserMetadata[metaOwner] == o.Owner && info.UserMetadata[metaSum] == sum && info.Size == o.Size {
		return true, nil
	}
	if o.Overwrite {
		return false, nil
	}
	return false, fault.Newf(fault.Conflict, "HX-S3-021", "remove it, choose another destination, or say overwrite: true",
		"s3://%s/%s exists already", o.Bucket, o.Key)
}

func (o *Object) metadata(sum string) map[string]string {
	return map[string]string{metaOwner: o.Owner, metaSum: sum}
}

// putWhole stores a small object by one request.
func (s *Store) putWhole(ctx context.Context, o *Object, sum string) error {
	raw, err := hex.DecodeString(sum)
	if err != nil {
		return fmt.Errorf("sum: %w", err)
	}
	meta := o.metadata(sum)
	meta["X-Amz-Checksum-Sha256"] = base64.StdEncoding.EncodeToString(raw)
	_, err = s.core.PutObject(ctx, o.Bucket, o.Key, io.NewSectionReader(o.Content, 0, o.Size), o.Size, "", sum,
		minio.PutObjectOptions{UserMetadata: meta, ContentType: "application/octet-stream"})
	if err == nil {
		o.Count(o.Size)
	}
	return classify(ctx, err, "store s3://"+o.Bucket+"/"+o.Key)
}

// check looks at what is stored: read back whole, or its size and recorded sum.
func (s *Store) check(ctx context.Context, o *Object, sum string) error {
	name := "s3://" + o.Bucket + "/" + o.Key
	damaged := fault.Newf(fault.Corrupt, "HX-S3-022", "check the store", "what is stored as %s is not what was sent", name)
	if !o.Verify {
		info, err := s.core.StatObject(ctx, o.Bucket, o.Key, minio.StatObjectOptions{})
		if err == nil && (info.Size != o.Size || info.UserMetadata[metaSum] != sum) {
			return damaged
		}
		return classify(ctx, err, "look at "+name)
	}
	body, _, _, err := s.core.GetObject(ctx, o.Bucket, o.Key, minio.GetObjectOptions{})
	if err != nil {
		return classify(ctx, err, "read "+name+" back")
	}
	defer body.Close() //nolint:errcheck // only read
	h := sha256.New()
	n, err := io.Copy(h, body)
	if err != nil {
		return classify(ctx, err, "read "+name+" back")
	}
	if n != o.Size || hex.EncodeToString(h.Sum(nil)) != sum {
		return damaged
	}
	return nil
}

// Remove removes an object if the owner made it. Idempotent.
func (s *Store) Remove(ctx context.Context, bucket, key, owner string) error {
	info, err := s.core.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	switch {
	case minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return nil
	case err != nil:
		return classify(ctx, err, "look for s3://"+bucket+"/"+key)
	case info.UserMetadata[metaOwner] != owner:
		return nil
	}
	return classify(ctx, s.core.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{}), "remove s3://"+bucket+"/"+key)
}

const hashRead = 1 << 20

// hashSection hashes a part of the content.
func hashSection(ctx context.Context, r io.ReaderAt, off, n int64) ([]byte, error) {
	h := sha256.New()
	buf := make([]byte, hashRead)
	section := io.NewSectionReader(r, off, n)
	for left := n; left > 0; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p := buf[:min(hashRead, left)]
		if _, err := io.ReadFull(section, p); err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "HX-S3-023", "the file to upload cannot be read", "check the storage of the export")
		}
		_, _ = h.Write(p)
		left -= int64(len(p))
	}
	return h.Sum(nil), nil
}
