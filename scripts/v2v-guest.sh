#!/usr/bin/env bash
# Makes what `make test-v2v` needs and prints the environment for it: a small Debian
# guest on a raw disk, and its kernel, which libguestfs boots to look into it.
#   eval "$(scripts/v2v-guest.sh .cache/v2v)"
# As root; debootstrap fetches about 100 MB once.
set -euo pipefail

dir=$1
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
root=$dir/root
if [ ! -e "$dir/guest.raw" ]; then
	[ "$(id -u)" -eq 0 ] || { echo "v2v-guest.sh: run it as root, debootstrap needs it" >&2; exit 1; }
	rm -rf "$root"
	debootstrap --variant=minbase --include=linux-image-cloud-amd64,grub2-common,udev,initramfs-tools \
		bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,locale,man}
	release=$(ls "$root/lib/modules")
	echo '/dev/sda1 / ext4 defaults 0 1' >"$root/etc/fstab"
	echo guest >"$root/etc/hostname"
	# virt-v2v rebuilds the initramfs in the guest: a small one is quick under emulation.
	sed -i -e 's/^MODULES=.*/MODULES=list/' -e 's/^COMPRESS=.*/COMPRESS=gzip/' "$root/etc/initramfs-tools/initramfs.conf"
	echo COMPRESSLEVEL=1 >>"$root/etc/initramfs-tools/initramfs.conf"
	mkdir -p "$root/boot/grub"
	cat >"$root/boot/grub/grub.cfg" <<-G
		set default=0
		menuentry 'Debian' {
		  linux /boot/vmlinuz-$release root=/dev/sda1 ro console=ttyS0
		  initrd /boot/initrd.img-$release
		}
	G
	size=1536 # MiB
	truncate -s "${size}M" "$dir/guest.part"
	printf 'label: dos\n2048,,83,*\n' | sfdisk -q "$dir/guest.part" >&2
	mkfs.ext4 -q -L root -E offset=$((1 << 20)) -d "$root" "$dir/guest.part" $(((size - 1) * 1024)) >&2
	mv "$dir/guest.part" "$dir/guest.raw"
fi
mkdir -p /lib/modules # which supermin wants to be there, whatever SUPERMIN_MODULES says
echo "export V2V_GUEST='$dir/guest.raw' SUPERMIN_KERNEL='$(ls "$root"/boot/vmlinuz-*)' SUPERMIN_MODULES='$(ls -d "$root"/lib/modules/*)'"
