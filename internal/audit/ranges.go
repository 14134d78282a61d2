package audit

import (
	"slices"
	"strconv"
	"strings"
)

// span is a run of places.
type span struct{ from, to int64 }

// FormatPlaces writes places as 3-7,12. It sorts them, and leaves out 0, which is
// none.
func FormatPlaces(places []int64) string {
	slices.Sort(places)
	var spans []span
	for _, p := range places {
		if p < 1 {
			continue
		}
		if n := len(spans); n > 0 && spans[n-1].to+1 >= p {
			spans[n-1].to = p
			continue
		}
		spans = append(spans, span{p, p})
	}
	out := make([]string, len(spans))
	for i, s := range spans {
		out[i] = s.String()
	}
	return strings.Join(out, ",")
}

func (s span) String() string {
	if s.from == s.to {
		return strconv.FormatInt(s.from, 10)
	}
	return strconv.FormatInt(s.from, 10) + "-" + strconv.FormatInt(s.to, 10)
}

// parsePlaces reads what FormatPlaces wrote, and leaves out what is none.
func parsePlaces(text string) (spans []span) {
	for part := range strings.SplitSeq(text, ",") {
		a, b, more := strings.Cut(part, "-")
		if !more {
			b = a
		}
		from, err1 := strconv.ParseInt(a, 10, 64)
		to, err2 := strconv.ParseInt(b, 10, 64)
		if err1 == nil && err2 == nil && 0 < from && from <= to {
			spans = append(spans, span{from, to})
		}
	}
	return spans
}

// without takes away from sorted spans what others cover.
func without(spans, others []span) (left []span) {
	slices.SortFunc(others, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	for _, s := range spans {
		for _, o := range others {
			if o.to < s.from || o.from > s.to {
				continue
			}
			if o.from > s.from {
				left = append(left, span{s.from, o.from - 1})
			}
			s.from = o.to + 1
			if s.from > s.to {
				break
			}
		}
		if s.from <= s.to {
			left = append(left, s)
		}
	}
	return left
}

// add appends a place to spans that ascend.
func add(spans []span, p int64) []span {
	if n := len(spans); n > 0 && spans[n-1].to+1 == p {
		spans[n-1].to = p
		return spans
	}
	return append(spans, span{p, p})
}
