package boot

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// efi is OVMF, the EFI firmware for QEMU's machines: its code, which QEMU only
// reads, and the variables of a machine that has never run.
type efi struct{ code, vars string }

// places are where the distributions have it: Debian and Ubuntu, Fedora, Arch,
// QEMU itself. Code and variables are of one size.
var places = []efi{
	{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
	{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
	{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	{"/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"},
}

// firmwareEFI is what a receipt says of a machine that starts by EFI.
const firmwareEFI = "efi"

// firmware returns the arguments that give the machine the firmware that the VM
// has: none for a BIOS, which QEMU brings along. The machine writes to a copy of
// the variables in work. Kind Unprocessable: it is not installed.
func (b *Boot) firmware(of, work string) ([]string, error) {
	if of != firmwareEFI {
		return nil, nil
	}
	known := b.EFI
	if known == nil {
		known = places
	}
	for _, f := range known {
		if _, err := os.Stat(f.code); err != nil {
			continue
		}
		vars := filepath.Join(work, "efi-vars.fd")
		err := copyFile(f.vars, vars)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		return []string{
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + f.code,
			"-drive", "if=pflash,unit=1,format=raw,file=" + strings.ReplaceAll(vars, ",", ",,"),
		}, fault.Wrap(err, fault.Unavailable, "HX-BOOT-002", "the working directory cannot be written", "check the storage below state_dir")
	}
	return nil, fault.New(fault.Unprocessable, "HX-BOOT-005", "the VM starts by EFI, and OVMF, the EFI firmware for QEMU, is not installed here",
		"install it (apt-get install ovmf), and retry the job")
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), in.Close())
}
