package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// compare asks qemu-img whether each disk is identical to the simulator's.
func (d *demo) compare(ctx context.Context, folder string, r *receipt.Receipt) error {
	for i := range r.Disks {
		source, err := d.copySource(&r.Disks[i])
		if err != nil {
			return err
		}
		image, format := filepath.Join(folder, r.Disks[i].File), r.Format
		if r.Disks[i].Member != "" {
			if image, err = d.unpack(image, r.Disks[i].Member); err != nil {
				return err
			}
			format = "vmdk"
		}
		out, err := tool(ctx, "qemu-img", "compare", "-f", "raw", "-F", format, source, image)
		if err != nil {
			return fault.Wrap(err, fault.Corrupt, "HX-DEMO-006", "qemu-img compare: "+out, "please report this")
		}
		d.sayf("  qemu-img compare %s: %s", r.Disks[i].Name, out)
		if format == "qcow2" {
			if out, err := tool(ctx, "qemu-img", "check", "-f", format, image); err != nil {
				return fault.Wrap(err, fault.Corrupt, "HX-DEMO-006", "qemu-img check: "+out, "please report this")
			}
		}
	}
	return nil
}

// unpack takes a disk out of an OVA with the standard library's tar reader.
func (d *demo) unpack(ova, member string) (string, error) {
	f, err := os.Open(ova)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	t := tar.NewReader(f)
	for {
		h, err := t.Next()
		if err != nil {
			return "", fmt.Errorf("%s in %s: %w", member, ova, err)
		}
		if h.Name != member {
			continue
		}
		path := filepath.Join(d.dir, "unpacked.vmdk")
		out, err := os.Create(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(out, t) //nolint:gosec // our own archive
		return path, errors.Join(err, out.Close())
	}
}

const bootTime = 2 * time.Minute

// boot starts the exported disk in QEMU, on an overlay, and waits for the line
// that the guest prints when it finds itself unharmed.
func (d *demo) boot(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	begun := time.Now()
	out, err := tool(ctx, "qemu-system-x86_64", "-M", "pc", "-m", "64", "-nographic", "-no-reboot", "-nic", "none",
		"-drive", "file="+image+",format=qcow2,if=ide,snapshot=on")
	marker := d.sim.Marker(vmPath)
	if marker == "" || !strings.Contains(out, marker) {
		return fault.Wrap(errors.Join(err, errors.New(out)), fault.Corrupt, "HX-DEMO-007", "the exported disk did not boot", "please report this")
	}
	d.sayf("  boots in QEMU    %q on the serial console after %s", marker, time.Since(begun).Round(100*time.Millisecond))
	return nil
}

func tool(ctx context.Context, name string, args ...string) (string, error) {
	if _, err := exec.LookPath(name); err != nil {
		return "", fault.Wrap(err, fault.Unprocessable, "HX-DEMO-008", name+" is not installed", "sudo apt-get install qemu-utils qemu-system-x86")
	}
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}
