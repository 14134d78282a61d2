package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
)

func convertCommand(o *options) *cobra.Command {
	var c conversion
	cmd := &cobra.Command{
		Use:   "convert SOURCE TARGET",
		Short: "Convert a disk image in one pass, and print its Merkle root",
		Long: `Convert reads one disk image (raw, vmdk, qcow2) and writes another. The format is
never guessed from the content: it is the file's extension, or the flag.
A streamOptimized VMDK becomes a compressed qcow2 without decompressing it.`,
		Example: "  hyperexport convert web-01-disk1.vmdk web-01.qcow2\n  hyperexport convert --compression none disk.vmdk disk.qcow2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.source, c.target = args[0], args[1]
			return c.run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.from, "from", "", "format of SOURCE: raw, vmdk, qcow2 (default: its extension)")
	f.StringVar(&c.to, "to", "", "format of TARGET: raw, vmdk, qcow2 (default: its extension)")
	f.StringVar(&c.compression, "compression", "zlib", "of a qcow2: none, zlib, zstd")
	f.IntVar(&c.level, "level", 0, "compression level (0: fast)")
	return cmd
}

type conversion struct {
	source, target string
	from, to       string
	compression    string
	level          int
}

func (c *conversion) run(ctx context.Context, o *options) error {
	var err error
	if c.from, err = imageFormat(c.from, c.source); err != nil {
		return err
	}
	if c.to, err = imageFormat(c.to, c.target); err != nil {
		return err
	}
	folder, err := artifact.OpenFolder(filepath.Dir(c.source))
	if err != nil {
		return err
	}
	src, err := artifact.OpenImage(folder, c.from, filepath.Base(c.source))
	if err != nil {
		return errors.Join(err, folder.Close())
	}
	res, n, err := c.copy(ctx, o, src)
	if err := errors.Join(err, src.Close(), folder.Close()); err != nil {
		return err
	}
	root := receipt.Root(res.Root)
	if o.json {
		return json.NewEncoder(o.out).Encode(map[string]any{"root": root, "size_bytes": src.Info().Size, "data_bytes": n.Offset.Load() - n.Zero.Load()})
	}
	_, err = fmt.Fprintf(o.out, "%s  %s of data in a disk of %s, root %s\n", console.Printable(c.target),
		console.Bytes(n.Offset.Load()-n.Zero.Load()), console.Bytes(src.Info().Size), root)
	return err
}

// copy writes the target under a temporary name and publishes it.
func (c *conversion) copy(ctx context.Context, o *options, src disk.Source) (disk.CopyResult, *disk.Counters, error) {
	n := new(disk.Counters)
	obj, err := dir.CreateFile(c.target)
	if err != nil {
		return disk.CopyResult{}, n, err
	}
	target, err := artifact.NewTarget(obj, c.to, artifact.TargetOptions{Size: src.Info().Size, Compression: c.compression, Level: c.level})
	if err != nil {
		return disk.CopyResult{}, n, errors.Join(err, obj.Discard())
	}
	show := newWatcher(o, "convert")
	show.begin([]receipt.Disk{{Name: filepath.Base(c.source), Size: src.Info().Size}}, []*disk.Counters{n})
	res, err := disk.Copy(ctx, target, src, disk.CopyOptions{Counters: n})
	show.end()
	if err != nil {
		return res, n, errors.Join(err, obj.Discard())
	}
	return res, n, obj.Publish()
}

func imageFormat(flag, path string) (string, error) {
	if flag == "" && filepath.Ext(path) != "" {
		flag = filepath.Ext(path)[1:]
	}
	switch flag {
	case "raw", "vmdk", "qcow2":
		return flag, nil
	case "img":
		return "raw", nil
	default:
		return "", fault.Newf(fault.Invalid, "HX-CLI-001", "use --from or --to with raw, vmdk or qcow2", "the format of %q is not known", path)
	}
}
