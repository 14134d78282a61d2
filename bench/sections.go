package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/hypersdk/hypersdk/internal/disk/imagegen"
)

// prepare makes the disk, its VMDK, and a simulated vCenter that holds it.
func (b *bench) prepare(ctx context.Context) error {
	b.raw, b.vmdk = filepath.Join(b.dir, "disk.raw"), filepath.Join(b.dir, "disk.vmdk")
	fmt.Printf("making a disk of %d MiB\n", b.size>>20)
	f, err := os.Create(b.raw)
	if err != nil {
		return err
	}
	err = imagegen.Generate(f, imagegen.Options{Size: b.size, Seed: 1})
	if err := errors.Join(err, f.Truncate(b.size), f.Close()); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", b.raw, b.vmdk).CombinedOutput(); err != nil {
		return fmt.Errorf("qemu-img: %w: %s", err, out)
	}
	b.vcenter, err = startVCenter(ctx, b)
	return err
}

// vcenter is a `hypervisord vcsim` process.
type vcenter struct {
	cmd *exec.Cmd
}

func startVCenter(ctx context.Context, b *bench) (*vcenter, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "hypervisord"), "vcsim", "--json", "--listen", "127.0.0.1:0",
		"--dir", filepath.Join(b.dir, "vcsim"), "--add-vm", "bench="+b.raw)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var login struct {
		URL      string `json:"url"`
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := json.NewDecoder(out).Decode(&login); err != nil {
		return nil, fmt.Errorf("vcsim: %w", err)
	}
	v := &vcenter{cmd: cmd}
	for name, value := range map[string]string{"GOVC_URL": login.URL, "GOVC_USERNAME": login.Username, "GOVC_PASSWORD": login.Password, "GOVC_INSECURE": "true"} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *vcenter) stop() error {
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return v.cmd.Wait()
}

func (b *bench) tool(name string) string { return filepath.Join(b.bin, name) }

// conversions: image to image, in the page cache, to memory (tmpfs), so that
// neither side waits for a disk.
func (b *bench) conversions(ctx context.Context) error {
	tmp := "/dev/shm/hypervisord-bench"
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // temporary
	out := filepath.Join(tmp, "out")
	ours := func(from, format string, flags ...string) command {
		args := append([]string{b.tool("hyperexport"), "-q", "convert", "--to", format}, flags...)
		return command{name: "hyperexport convert, SHA-256 tree", steps: [][]string{append(args, from, out)}, clean: []string{out}}
	}
	qemu := func(from, inFormat, format string, flags ...string) []command {
		contestant := func(name string, more ...string) command {
			args := append([]string{"qemu-img", "convert", "-f", inFormat, "-O", format}, flags...)
			return command{name: name, steps: [][]string{append(append(args, more...), from, out)}, clean: []string{out}}
		}
		return []command{contestant("qemu-img convert"), contestant("qemu-img convert -m 16 -W", "-m", "16", "-W")}
	}
	for _, c := range []struct {
		name, bar string
		all       []command
	}{
		{"convert VMDK to plain qcow2", "2.5", append([]command{ours(b.vmdk, "qcow2", "--compression", "none")}, qemu(b.vmdk, "vmdk", "qcow2")...)},
		{"convert VMDK to raw", "2.5", append([]command{ours(b.vmdk, "raw")}, qemu(b.vmdk, "vmdk", "raw")...)},
		{"convert VMDK to zstd qcow2", "1.7", append([]command{ours(b.vmdk, "qcow2", "--compression", "zstd")}, qemu(b.vmdk, "vmdk", "qcow2", "-c", "-o", "compression_type=zstd")...)},
		{"convert VMDK to compressed qcow2 (pass-through)", "10", append([]command{ours(b.vmdk, "qcow2")}, qemu(b.vmdk, "vmdk", "qcow2", "-c")...)},
		{"convert raw to streamOptimized VMDK", "8", append([]command{ours(b.raw, "vmdk")}, qemu(b.raw, "raw", "vmdk", "-o", "subformat=streamOptimized")[:1]...)},
	} {
		if err := b.compare(ctx, c.name, c.bar, c.all...); err != nil {
			return err
		}
	}
	return nil
}

// exports: vCenter to OVA against the real govc, over loopback TLS, to the disk.
func (b *bench) exports(ctx context.Context) error {
	ours, theirs := filepath.Join(b.dir, "ours"), filepath.Join(b.dir, "govc")
	export := func(transport string) command {
		return command{
			name: "hyperexport, OVA over " + transport + ", SHA-256, tree, source check, fsync",
			steps: [][]string{{b.tool("hyperexport"), "-q", "vsphere", "export", "--vm", "bench", "--format", "ova",
				"--transport", transport, "--verify", "none", "--output", ours}},
			clean: []string{ours},
		}
	}
	govc := command{name: "govc export.ovf -sha 256", steps: [][]string{{"govc", "export.ovf", "-sha", "256", "-vm", "bench", theirs}}, clean: []string{theirs}}
	durable := govc
	durable.name += ", then sync"
	durable.steps = append(durable.steps, []string{"sync", "-f", b.dir})
	warm := govc
	if _, err := warm.measure(ctx); err != nil { // the simulator encodes once
		return err
	}
	return b.compare(ctx, "export to OVA", "1.0", export("nfc"), durable, govc, export("range"))
}

// chains: the whole job against what people do today.
func (b *bench) chains(ctx context.Context) error {
	ours, theirs := filepath.Join(b.dir, "ours"), filepath.Join(b.dir, "chain")
	job := func(compression string) command {
		return command{
			name: "hyperexport, verified",
			steps: [][]string{{b.tool("hyperexport"), "-q", "vsphere", "export", "--vm", "bench", "--format", "qcow2",
				"--compression", compression, "--transport", "nfc", "--output", ours}},
			clean: []string{ours},
		}
	}
	vmdk, qcow := filepath.Join(theirs, "bench", "bench-disk-0.vmdk"), filepath.Join(theirs, "out.qcow2")
	chain := func(name string, hash []string, convert ...string) command {
		c := command{name: name, clean: []string{theirs}}
		c.steps = append(c.steps,
			[]string{"govc", "export.ovf", "-vm", "bench", theirs},
			append(append([]string{}, hash...), vmdk),
			append(append([]string{"qemu-img", "convert", "-f", "vmdk", "-O", "qcow2"}, convert...), vmdk, qcow),
			append(append([]string{}, hash...), qcow))
		return c
	}
	if err := b.compare(ctx, "whole job to compressed qcow2", "6", job("zlib"),
		chain("govc, sha256sum, qemu-img convert -c, sha256sum", []string{"sha256sum"}, "-c")); err != nil {
		return err
	}
	return b.compare(ctx, "whole job to plain qcow2", "1.8", job("none"),
		chain("govc, openssl dgst, qemu-img convert, openssl dgst", []string{"openssl", "dgst", "-sha256"}))
}
