package hyper2kvm

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hypersdk/hypersdk/internal/child"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// helpers are the programs that virt-v2v reads its input and writes its output by,
// with their packages. Debian only recommends them; without the second it fails when
// the conversion is over.
var helpers = [...]struct{ program, pkg string }{{"nbdkit", "nbdkit"}, {"nbdcopy", "libnbd-bin"}}

func errNoHelper(err error, program, pkg string) error {
	return fault.Wrap(err, fault.Unprocessable, "HX-H2K-009", "virt-v2v needs "+program+", which is not installed here", "install it (apt-get install "+pkg+")")
}

// complete refuses a virt-v2v of the system's that lacks what it needs.
func complete() error {
	for _, h := range helpers {
		if _, err := child.Find(h.program); err != nil {
			return errNoHelper(err, h.program, h.pkg)
		}
	}
	return nil
}

// runVirtV2V converts all disks as one guest.
func runVirtV2V(ctx context.Context, j task) error {
	path := filepath.Join(j.work, "guest.xml")
	text, err := xml.MarshalIndent(domain(j.copies), "", "  ")
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "HX-H2K-003", "the working directory cannot be written", "check the storage below state_dir")
	}
	var said []string
	quiet := j
	quiet.line = func(l string) {
		if after, failed := strings.CutPrefix(l, "virt-v2v: error: "); failed || len(said) > 0 && len(said) < maxSaid {
			said = append(said, after)
		}
		j.line(l)
	}
	if err := quiet.run(ctx, "-i", "libvirtxml", path, "-o", "local", "-os", j.out, "-of", "qcow2", "-oa", "sparse", "-on", "guest"); err != nil {
		return explain(err, strings.Join(said, " "))
	}
	for i := range j.copies {
		if err := os.Rename(filepath.Join(j.out, "guest-sd"+string(rune('a'+i))), result(j.out, i)); err != nil {
			return fault.Wrap(err, fault.Unprocessable, "HX-H2K-007", fmt.Sprintf("virt-v2v made no disk %d", i+1), "see what virt-v2v says")
		}
	}
	return nil
}

// maxSaid is how many lines of an error are looked at.
const maxSaid = 12

// explain gives an error of virt-v2v that has a remedy its name. What a program says
// is all there is to go by: its exit status is always 1.
func explain(err error, said string) error {
	has := func(words string) bool { return strings.Contains(said, words) }
	switch {
	case said == "" || !fault.Is(err, fault.Unprocessable):
		return err
	case has("nbdkit is not installed"):
		return errNoHelper(err, helpers[0].program, helpers[0].pkg)
	case has("supermin"), has("guestfs_launch"):
		return fault.Wrap(err, fault.Unprocessable, "HX-H2K-010", "libguestfs cannot start the machine by which virt-v2v looks into the guest",
			"there must be a kernel in /boot that the daemon may read, with its modules (or SUPERMIN_KERNEL and SUPERMIN_MODULES in its environment); libguestfs-test-tool says what is wrong; where KVM does not work, LIBGUESTFS_BACKEND_SETTINGS=force_tcg")
	case has("inspection could not detect"), has("no root device found"):
		return fault.Wrap(err, fault.Unprocessable, "HX-H2K-011", "virt-v2v finds no operating system on the disks",
			"say engine: builtin to convert the disks alone, if the guest needs no other drivers")
	}
	return fault.Wrap(err, fault.Unprocessable, "HX-H2K-012", "virt-v2v failed: "+said, "see what it says")
}

// guest is the little that virt-v2v wants to know of a libvirt domain.
type guest struct {
	XMLName xml.Name    `xml:"domain"`
	Type    string      `xml:"type,attr"`
	Name    string      `xml:"name"`
	Memory  int         `xml:"memory"` // KiB
	VCPU    int         `xml:"vcpu"`
	OS      string      `xml:"os>type"`
	Disks   []guestDisk `xml:"devices>disk"`
}

type guestDisk struct {
	Type   string `xml:"type,attr"`
	Device string `xml:"device,attr"`
	Driver struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
	} `xml:"driver"`
	Source struct {
		File string `xml:"file,attr"`
	} `xml:"source"`
	Target struct {
		Dev string `xml:"dev,attr"`
		Bus string `xml:"bus,attr"`
	} `xml:"target"`
}

func domain(copies []copyOf) guest {
	g := guest{Type: "kvm", Name: "guest", Memory: 1 << 20, VCPU: 1, OS: "hvm"}
	for i, c := range copies {
		d := guestDisk{Type: "file", Device: "disk"}
		d.Driver.Name, d.Driver.Type = "qemu", "qcow2"
		d.Source.File = c.path
		d.Target.Dev, d.Target.Bus = "sd"+string(rune('a'+i)), "scsi"
		g.Disks = append(g.Disks, d)
	}
	return g
}
