package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// kindMultipart is what the ledger calls a multipart upload.
const kindMultipart = "multipart"

// ref finds a multipart upload again. Until its id is known, Before holds those
// that were there: the one that is not among them is ours.
type ref struct {
	Bucket string   `json:"bucket"`
	Key    string   `json:"key"`
	Upload string   `json:"upload_id,omitempty"`
	Before []string `json:"before,omitempty"`
}

// partSize is what the size of the object wants.
func (s *Store) partSize(size int64) int64 {
	const unit = 1 << 20
	least := (size + maxParts - 1) / maxParts
	return max(s.parts, (least+unit-1)/unit*unit)
}

// putParts stores an object in parts.
func (s *Store) putParts(ctx context.Context, o *Object, sum string) error {
	entry, upload, have, err := s.resume(ctx, o)
	if err == nil && upload == "" {
		entry, upload, err = s.begin(ctx, o, sum)
	}
	if err != nil {
		return err
	}
	parts, err := s.sendParts(ctx, o, upload, have)
	if err != nil {
		return err
	}
	if _, err := s.core.CompleteMultipartUpload(ctx, o.Bucket, o.Key, upload, parts, minio.PutObjectOptions{}); err != nil {
		return classify(ctx, err, "complete s3://"+o.Bucket+"/"+o.Key)
	}
	return o.Ledger.Settle(ctx, entry)
}

// resume finds the upload of an earlier run and the parts that the store has. An
// upload that cannot be gone on with is removed.
func (s *Store) resume(ctx context.Context, o *Object) (entry, upload string, have map[int]minio.ObjectPart, err error) {
	open, err := o.Ledger.Open(ctx)
	if err != nil {
		return "", "", nil, err
	}
	for _, e := range open {
		r, err := parseRef(e)
		if err != nil {
			return "", "", nil, err
		}
		if r.Bucket != o.Bucket || r.Key != o.Key {
			continue
		}
		if r.Upload != "" && upload == "" {
			have, err = s.list(ctx, r)
			if err == nil {
				entry, upload = e.ID, r.Upload
				continue
			}
			if !fault.Is(err, fault.NotFound) {
				return "", "", nil, err
			}
		}
		if err := s.settle(ctx, o.Ledger, e); err != nil {
			return "", "", nil, err
		}
	}
	return entry, upload, have, nil
}

func parseRef(e provider.LedgerEntry) (r ref, err error) {
	if err := json.Unmarshal([]byte(e.Ref), &r); err != nil || e.Kind != kindMultipart {
		return r, fault.Newf(fault.Corrupt, "HX-S3-030", "", "the ledger entry %s is no multipart upload", e.ID)
	}
	return r, nil
}

// list returns the parts that the store has, by number.
func (s *Store) list(ctx context.Context, r ref) (map[int]minio.ObjectPart, error) {
	have := map[int]minio.ObjectPart{}
	for marker := 0; ; {
		res, err := s.core.ListObjectParts(ctx, r.Bucket, r.Key, r.Upload, marker, 1000)
		if err != nil {
			return nil, classify(ctx, err, "list the parts of s3://"+r.Bucket+"/"+r.Key)
		}
		for _, p := range res.ObjectParts {
			have[p.PartNumber] = p
		}
		if !res.IsTruncated || res.NextPartNumberMarker <= marker {
			return have, nil
		}
		marker = res.NextPartNumberMarker
	}
}

// begin records the upload, makes it, and records its id.
func (s *Store) begin(ctx context.Context, o *Object, sum string) (entry, upload string, err error) {
	r := ref{Bucket: o.Bucket, Key: o.Key}
	if r.Before, err = s.uploads(ctx, o.Bucket, o.Key); err != nil {
		return "", "", err
	}
	if entry, err = o.Ledger.Intend(ctx, kindMultipart, r.String()); err != nil {
		return "", "", err
	}
	meta := o.metadata(sum)
	meta["X-Amz-Checksum-Algorithm"] = "SHA256"
	upload, err = s.core.NewMultipartUpload(ctx, o.Bucket, o.Key, minio.PutObjectOptions{UserMetadata: meta, ContentType: "application/octet-stream"})
	if err != nil {
		return "", "", classify(ctx, err, "begin s3://"+o.Bucket+"/"+o.Key)
	}
	return entry, upload, o.Ledger.Amend(ctx, entry, ref{Bucket: o.Bucket, Key: o.Key, Upload: upload}.String())
}

// String is the reference as the ledger has it.
func (r ref) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error() // texts can always be encoded
	}
	return string(text)
}

// uploads lists the ids of the uploads of a key that are not complete.
func (s *Store) uploads(ctx context.Context, bucket, key string) (ids []string, err error) {
	keyMarker, idMarker := "", ""
	for {
		res, err := s.core.ListMultipartUploads(ctx, bucket, key, keyMarker, idMarker, "", 1000)
		if err != nil {
			return nil, classify(ctx, err, "list the uploads to s3://"+bucket)
		}
		for _, u := range res.Uploads {
			if u.Key == key {
				ids = append(ids, u.UploadID)
			}
		}
		if !res.IsTruncated || (res.NextKeyMarker == keyMarker && res.NextUploadIDMarker == idMarker) {
			return ids, nil
		}
		keyMarker, idMarker = res.NextKeyMarker, res.NextUploadIDMarker
	}
}

// sendParts sends what the store does not have and returns all parts in order.
func (s *Store) sendParts(ctx context.Context, o *Object, upload string, have map[int]minio.ObjectPart) ([]minio.CompletePart, error) {
	size := s.partSize(o.Size)
	parts := make([]minio.CompletePart, (o.Size+size-1)/size)
	var mu sync.Mutex // of the caller's count
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range parts {
		g.Go(func() error {
			off := int64(i) * size
			n := min(size, o.Size-off)
			err := fault.Protect(func() (err error) {
				parts[i], err = s.part(gctx, o, upload, i+1, off, n, have[i+1])
				return err
			})
			if err == nil {
				mu.Lock()
				o.Count(n)
				mu.Unlock()
			}
			return err
		})
	}
	err := g.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return parts, err
}

// part sends one part unless the store has the same.
func (s *Store) part(ctx context.Context, o *Object, upload string, number int, off, n int64, have minio.ObjectPart) (minio.CompletePart, error) {
	if ctx.Err() != nil {
		return minio.CompletePart{}, context.Cause(ctx)
	}
	raw, err := hashSection(ctx, o.Content, off, n)
	if err != nil {
		return minio.CompletePart{}, err
	}
	sum := base64.StdEncoding.EncodeToString(raw)
	if have.Size == n && have.ChecksumSHA256 == sum {
		return minio.CompletePart{PartNumber: number, ETag: have.ETag, ChecksumSHA256: sum}, nil
	}
	p, err := s.core.PutObjectPart(ctx, o.Bucket, o.Key, upload, number, io.NewSectionReader(o.Content, off, n), n,
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(raw), CustomHeader: http.Header{"X-Amz-Checksum-Sha256": {sum}}})
	if err != nil {
		return minio.CompletePart{}, classify(ctx, err, fmt.Sprintf("store part %d of s3://%s/%s", number, o.Bucket, o.Key))
	}
	return minio.CompletePart{PartNumber: number, ETag: p.ETag, ChecksumSHA256: sum}, nil
}

// Settled removes every upload of the key that the ledger has.
func (s *Store) Settled(ctx context.Context, ledger Ledger, bucket, key string) error {
	open, err := ledger.Open(ctx)
	if err != nil {
		return err
	}
	for _, e := range open {
		r, err := parseRef(e)
		if err != nil {
			return err
		}
		if r.Bucket == bucket && r.Key == key {
			if err := s.settle(ctx, ledger, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle removes an upload and its entry.
func (s *Store) settle(ctx context.Context, ledger provider.Ledger, e provider.LedgerEntry) error {
	if err := s.Settle(ctx, e); err != nil {
		return err
	}
	return ledger.Settle(ctx, e.ID)
}

// Settle removes the multipart upload of a ledger entry. It is idempotent; an
// object that was completed stays.
func (s *Store) Settle(ctx context.Context, e provider.LedgerEntry) error {
	r, err := parseRef(e)
	if err != nil {
		return err
	}
	ids := []string{r.Upload}
	if r.Upload == "" { // the crash came before its id was noted
		if ids, err = s.uploads(ctx, r.Bucket, r.Key); err != nil {
			return err
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(r.Before, id) })
	}
	for _, id := range ids {
		err := classify(ctx, s.core.AbortMultipartUpload(ctx, r.Bucket, r.Key, id), "abort the upload of s3://"+r.Bucket+"/"+r.Key)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// Abort removes every upload that the ledger has.
func (s *Store) Abort(ctx context.Context, ledger Ledger) error {
	open, err := ledger.Open(ctx)
	if err != nil {
		return err
	}
	for _, e := range open {
		if err := s.settle(ctx, ledger, e); err != nil {
			return err
		}
	}
	return nil
}
