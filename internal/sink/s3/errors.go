package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// classify gives an error of the store its kind. what is the action, for people.
func classify(ctx context.Context, err error, what string) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		return err
	}
	res := minio.ToErrorResponse(err)
	why := fmt.Sprintf("%s: the store answered %s", what, res.Code)
	switch {
	case res.Code == "NoSuchBucket":
		return fault.Wrap(err, fault.Unprocessable, "HX-S3-010", why, "make the bucket, or correct the destination")
	case res.StatusCode == http.StatusForbidden, res.StatusCode == http.StatusUnauthorized, res.Code == "AccessDenied":
		return fault.Wrap(err, fault.Denied, "HX-S3-011", why, "check the keys, and what their policy allows")
	case res.Code == "NoSuchUpload", res.Code == "NoSuchKey":
		return fault.Wrap(err, fault.NotFound, "HX-S3-012", why, "")
	case res.Code == "BadDigest", res.Code == "XAmzContentSHA256Mismatch", res.Code == "InvalidDigest":
		return fault.Wrap(err, fault.Corrupt, "HX-S3-013", why, "what arrived is not what was sent: check memory and network")
	case res.StatusCode == http.StatusTooManyRequests, res.Code == "SlowDown":
		return fault.Wrap(err, fault.Exhausted, "HX-S3-014", why, "")
	case res.StatusCode/100 == 4 && res.StatusCode != http.StatusRequestTimeout && res.Code != "RequestTimeout":
		return fault.Wrap(err, fault.Unprocessable, "HX-S3-015", why, "see the daemon's log")
	case res.StatusCode == 0:
		why = what + ": the store does not answer"
	}
	return fault.Wrap(err, fault.Unavailable, "HX-S3-016", why, "check s3.endpoint and the network")
}
