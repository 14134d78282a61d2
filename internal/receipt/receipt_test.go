package receipt

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

func sample() *Receipt {
	return &Receipt{
		Version: Version, JobID: "j", Tool: "hypervisord test", Format: "qcow2", Verified: "full",
		VM:      VM{Provider: "vsphere", Path: "/DC/vm/wéb <01>", ID: "vm-1", UUID: "u"},
		Started: time.Unix(1, 0).UTC(), Finished: time.Unix(2, 0).UTC(),
		Disks: []Disk{{Key: "2000", File: "disk-0.qcow2", Size: 1 << 30, Root: Root{1, 2}, RangeSize: 1 << 20,
			Ranges: Roots{{3}, {4}}, Origin: &disk.Origin{Algorithm: "sha1", Sum: "00", Bytes: 9}}},
		Files: []File{{Name: "disk-0.qcow2", Size: 7, SHA256: "ab"}},
	}
}

func TestSignedReceiptOpens(t *testing.T) {
	key, err := LoadKey(filepath.Join(t.TempDir(), "signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := Sign(sample(), key)
	if err != nil {
		t.Fatal(err)
	}
	got, pub, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample()) {
		t.Fatalf("came back as %+v", got)
	}
	if !pub.Equal(key.Public()) {
		t.Fatal("another key")
	}
}

func TestEveryChangeOfAReceiptIsSeen(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	file, err := Sign(sample(), key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for _, bit := range []byte{1, 4, 32} {
			bad := bytes.Clone(file)
			bad[i] ^= bit
			got, pub, err := Open(bad)
			if err == nil && (!reflect.DeepEqual(got, sample()) || !pub.Equal(key.Public())) {
				t.Fatalf("byte %d (%q → %q): accepted", i, file[i], bad[i])
			}
		}
	}
}

func TestKeyStaysTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	a, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ReadPublicKey(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if !a.Equal(b) || !pub.Equal(a.Public()) {
		t.Fatal("the key changed")
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v", err)
	}
}
