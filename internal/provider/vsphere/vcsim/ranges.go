package vcsim

import (
	"errors"
	"strconv"
	"strings"
)

// byteRange is the part of a file that a request asks for.
type byteRange struct {
	extent
	partial bool
}

var errRange = errors.New("416 Requested Range Not Satisfiable")

// parseRange reads a Range header of one byte range. What it does not
// understand it ignores, as RFC 9110 wants: the whole file is the answer.
func parseRange(header string, size int64) (byteRange, error) {
	whole := byteRange{extent: extent{n: size}}
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return whole, nil
	}
	if first == "" { // the last n bytes
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return whole, nil //nolint:nilerr // ignored, see above
		}
		n = min(n, size)
		if n == 0 {
			return byteRange{}, errRange
		}
		return byteRange{extent{off: size - n, n: n}, true}, nil
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return whole, nil //nolint:nilerr // ignored, see above
	}
	to := size - 1
	if last != "" {
		if to, err = strconv.ParseInt(last, 10, 64); err != nil || to < from {
			return whole, nil //nolint:nilerr // ignored, see above
		}
	}
	if from < 0 || from >= size {
		return byteRange{}, errRange
	}
	return byteRange{extent{off: from, n: min(to, size-1) - from + 1}, true}, nil
}
