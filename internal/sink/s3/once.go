package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// maxOnce bounds what is read back of an object.
const maxOnce = 64 << 20

// PutOnce stores a small object that nobody replaces. If the key is taken it returns
// what is stored there. Kinds Denied, Unprocessable, Corrupt, Unavailable.
func (s *Store) PutOnce(ctx context.Context, bucket, key, contentType string, content []byte) (there []byte, err error) {
	sum := sha256.Sum256(content)
	o := minio.PutObjectOptions{ContentType: contentType, UserMetadata: map[string]string{
		"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:]), metaSum: hex.EncodeToString(sum[:]),
	}}
	o.SetMatchETagExcept("*")
	_, err = s.core.PutObject(ctx, bucket, key, bytes.NewReader(content), int64(len(content)), "", hex.EncodeToString(sum[:]), o)
	if code := minio.ToErrorResponse(err).StatusCode; err == nil || code != http.StatusPreconditionFailed && code != http.StatusConflict {
		return nil, classify(ctx, err, "store s3://"+bucket+"/"+key)
	}
	body, _, _, err := s.core.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, classify(ctx, err, "read s3://"+bucket+"/"+key)
	}
	defer body.Close() //nolint:errcheck // only read
	there, err = io.ReadAll(io.LimitReader(body, maxOnce+1))
	if err == nil && len(there) > maxOnce {
		return nil, fault.Newf(fault.Corrupt, "HX-S3-023", "see who stored it, and move it away", "s3://%s/%s is larger than what belongs there", bucket, key)
	}
	return there, classify(ctx, err, fmt.Sprintf("read s3://%s/%s", bucket, key))
}
