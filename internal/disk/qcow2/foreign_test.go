package qcow2_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// patchwork is content that changes within grains, down to single sectors.
func patchwork(i int64) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 5))
	p := make([]byte, disk.GrainSize)
	for off := 0; off < len(p); {
		n := min(512<<r.IntN(7), len(p)-off)
		switch r.IntN(3) {
		case 0:
			copy(p[off:off+n], text(i))
		case 1:
			copy(p[off:off+n], random(i))
		}
		off += n
	}
	return p
}

// quilt mixes patchwork with the other kinds.
func quilt(i int64) []byte {
	if i%3 == 0 {
		return patchwork(i)
	}
	return alternating(i)
}

// Images that QEMU writes, in all cluster sizes, versions and compressions,
// read as the disk they were made of.
func TestForeignImages(t *testing.T) {
	d := &fake{size: 5*mib + 1536, content: quilt}
	raw := d.writeRaw(t)
	want := rawRoot(t, raw)
	var cases [][]string
	for _, bits := range []int{9, 10, 12, 15, 16, 17, 18, 21} {
		size := fmt.Sprintf("cluster_size=%d", 1<<bits)
		cases = append(cases,
			[]string{"-o", size + ",compat=0.10"},
			[]string{"-o", size + ",compat=1.1"},
			[]string{"-o", size, "-c"},
			[]string{"-o", size + ",compat=0.10", "-c"},
			[]string{"-o", size + ",compression_type=zstd", "-c"},
			[]string{"-o", size + ",preallocation=metadata"},
		)
	}
	cases = append(cases,
		[]string{"-o", "preallocation=falloc"},
		[]string{"-o", "preallocation=full"},
		[]string{"-o", "preallocation=metadata", "-S", "0"},
		[]string{"-o", "lazy_refcounts=on"},
		[]string{"-o", "refcount_bits=1"},
		[]string{"-o", "refcount_bits=64", "-c"},
		[]string{"-m", "16", "-W", "-c"},
		[]string{"-S", "0"},
	)
	for _, args := range cases {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			tool(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, args...), raw, path)...)
			if got := root(t, path); got != want {
				t.Errorf("root %x, want %x", got, want)
			}
		})
	}
}

// Zero clusters with and without a place in the file, and internal snapshots.
func TestForeignStates(t *testing.T) {
	d := &fake{size: 3*mib + 512, content: quilt}
	raw := d.writeRaw(t)
	for _, size := range []string{"512", "64k", "2M"} {
		path := filepath.Join(t.TempDir(), "disk.qcow2")
		tool(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size="+size, raw, path)
		tool(t, "qemu-img", "snapshot", "-c", "before", path)
		tool(t, "qemu-io", "-f", "qcow2", "-c", "write -z 0 192k", "-c", "write -z 640k 512",
			"-c", "write -z -u 1M 128k", "-c", "write -P 7 1060k 3k", "-c", "discard 2M 64k", path)
		out := filepath.Join(t.TempDir(), "after.raw")
		tool(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, out)
		if got, want := root(t, path), rawRoot(t, out); got != want {
			t.Errorf("clusters of %s: root %x, want %x", size, got, want)
		}
	}
}

// From any grain on, a source yields what it yields from the start.
func TestRandomAccess(t *testing.T) {
	d := &fake{size: 5*mib + 512, content: quilt}
	raw := d.writeRaw(t)
	for _, args := range [][]string{{"cluster_size=512"}, {"cluster_size=64k", "-c"}, {"cluster_size=2M", "-c"}} {
		path := filepath.Join(t.TempDir(), "disk.qcow2")
		tool(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2", "-o"}, args...), raw, path)...)
		file, err := os.Open(path)
		check(t, err)
		defer file.Close()
		fi, err := file.Stat()
		check(t, err)
		src, err := qcow2.Open(file, fi.Size())
		check(t, err)
		all := blocks(t, src, 0)
		for from := int64(0); from < d.size; from += 7 * disk.GrainSize {
			got := blocks(t, src, from)
			for off, b := range all {
				if off >= from && got[off] != b {
					t.Fatalf("%v: the block at %d differs when read from %d", args, off, from)
				}
				delete(got, off)
			}
			if len(got) > 0 {
				t.Fatalf("%v: blocks below %d or out of nothing", args, from)
			}
		}
		for range src.Blocks(t.Context(), 0) {
			break // leaves nothing behind
		}
	}
}

func blocks(t *testing.T, src disk.Source, from int64) map[int64]string {
	t.Helper()
	m := map[int64]string{}
	for b, err := range src.Blocks(t.Context(), from) {
		check(t, err)
		m[b.Off] = fmt.Sprintf("%d %d %x", b.Len, b.Enc, b.Data)
		b.Release()
	}
	return m
}

// Images that depend on something else, made by QEMU.
func TestForeignRefused(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	check(t, os.WriteFile(secret, make([]byte, mib), 0o600))
	for code, args := range map[string][]string{
		"HX-QCOW-012": {"-b", secret, "-F", "raw"},
		"HX-QCOW-013": {"-o", "data_file=" + filepath.Join(dir, "data")},
		"HX-QCOW-014": {"--object", "secret,id=k,data=x", "-o", "encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10"},
		"HX-QCOW-017": {"-o", "extended_l2=on"},
	} {
		path := filepath.Join(dir, code)
		tool(t, "qemu-img", append(append([]string{"create", "-f", "qcow2"}, args...), path, "1M")...)
		data, err := os.ReadFile(path)
		check(t, err)
		_, err = qcow2.Open(&memory{data: data}, int64(len(data)))
		if !fault.Is(err, fault.Unprocessable) || fault.As(err).Code != code {
			t.Errorf("%s: %v", code, err)
		}
		if err != nil && strings.Contains(err.Error(), dir) {
			t.Errorf("%s: the error shows a path: %v", code, err)
		}
	}
}
