package vsphere

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// Whatever the extents, the requests cover them from the offset on, aligned,
// in order, without overlap, and not larger than a chunk.
func TestChunks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const grain = disk.GrainSize
		size := rapid.Int64Range(1, 400).Draw(t, "sectors") * 40960 * 512 / 512
		from := rapid.Int64Range(0, size/grain).Draw(t, "from") * grain
		var extents []extent
		for at := int64(0); at < size; {
			at += rapid.Int64Range(0, 40*grain).Draw(t, "gap")
			end := min(at+rapid.Int64Range(1, 60*grain).Draw(t, "length"), size)
			if at < end {
				extents = append(extents, extent{at, end})
			}
			at = end
		}
		if rapid.Bool().Draw(t, "repeat") { // a server that repeats itself
			extents = append(extents, extents...)
			slices.SortFunc(extents, func(a, b extent) int { return int(a.off - b.off) })
		}
		var got []extent
		next := from
		for c := range chunks(slices.Values(extents), from, size) {
			if c.off < next || c.off >= c.end || c.end > size || c.end-c.off > chunk || c.off%grain != 0 || c.end%grain != 0 && c.end != size {
				t.Fatalf("chunk %+v after %d of %d", c, next, size)
			}
			next = c.end
			got = append(got, c)
		}
		for _, e := range extents {
			for at := max(e.off, from); at < e.end; at = at/grain*grain + grain {
				if !slices.ContainsFunc(got, func(c extent) bool { return c.off <= at && at < c.end }) {
					t.Fatalf("%d of %+v is not read: %v", at, e, got)
				}
			}
		}
	})
}

func TestChunksSkipLargeGaps(t *testing.T) {
	t.Parallel()
	extents := []extent{{0, 1}, {100 << 10, 101 << 10}, {8 << 20, 8<<20 + 1}}
	got := slices.Collect(chunks(slices.Values(extents), 0, 16<<20))
	want := []extent{{0, 128 << 10}, {8 << 20, 8<<20 + 64<<10}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestContentRange(t *testing.T) {
	t.Parallel()
	if size, err := contentRange("bytes 10-19/500", 10, 19); size != 500 || err != nil {
		t.Error(size, err)
	}
	for _, bad := range []string{"", "bytes 10-19/*", "bytes 10-18/500", "bytes 0-9/500", "bytes 10-19/19", "bytes 10-19/-1", "items 10-19/500", "bytes 10-19/99999999999999999999"} {
		if _, err := contentRange(bad, 10, 19); err == nil {
			t.Errorf("%q is believed", bad)
		}
	}
}
