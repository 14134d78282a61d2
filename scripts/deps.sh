#!/usr/bin/env bash
# Installs the Debian packages that hold the given commands, and says so.
# Without root it prints the one command to run instead.
#   scripts/deps.sh qemu-img qemu-system-x86_64 …
set -euo pipefail

package_of() {
	case "$1" in
	qemu-img) echo qemu-utils ;;
	qemu-system-x86_64) echo "qemu-system-x86 seabios" ;;
	mkfs.xfs) echo xfsprogs ;;
	mkfs.ext4) echo e2fsprogs ;;
	ip) echo iproute2 ;;
	postgres) echo postgresql ;; # the tests run servers of their own
	prometheus) echo prometheus ;; # promtool is in it; the tests run servers of their own
	systemd-analyze) echo systemd ;; # it looks at the unit; no service is started
	rsyslogd) echo "rsyslog rsyslog-openssl" ;; # the tests run servers of their own
	gcc) echo "gcc libc6-dev" ;; # the race detector needs cgo
	ovmf) echo ovmf ;; # no program: the EFI firmware for QEMU
	sfdisk) echo fdisk ;;
	nbdcopy) echo libnbd-bin ;;
	nbdkit | debootstrap | strace | openssl | tmux | tar | virt-v2v | python3) echo "$1" ;;
	*) echo "deps.sh: no package known for $1" >&2; exit 2 ;;
	esac
}

missing=()
for tool in "$@"; do
	# Debian keeps PostgreSQL's server out of PATH.
	[ "$tool" = postgres ] && compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && continue
	# Its TLS is a package of its own.
	[ "$tool" = rsyslogd ] && compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null && continue
	[ "$tool" = ovmf ] && [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] && continue
	if [ "$tool" = rsyslogd ] || ! PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null 2>&1; then
		read -ra names <<<"$(package_of "$tool")"
		missing+=("${names[@]}")
	fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

install=(apt-get install --yes --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null 2>&1; then
	echo "Missing: ${missing[*]} (names of Debian packages). This system has no apt-get: install them with its own package manager." >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	printf 'Missing packages. Run this, then try again:\n\n    sudo apt-get update && sudo %s\n\n' "${install[*]}" >&2
	exit 1
fi
echo "Installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	# The package would make a database server and start it; nobody asked for one.
	mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
if [[ " ${missing[*]} " == *" prometheus "* ]] && [ ! -e /etc/systemd/system/prometheus.service ]; then
	# This one would start a server, too, now and at each boot.
	echo "prometheus.service is masked; to run one here: systemctl unmask prometheus"
	mkdir -p /etc/systemd/system
	ln -s /dev/null /etc/systemd/system/prometheus.service
fi
if [[ " ${missing[*]} " == *" rsyslog "* ]] && ! command -v rsyslogd >/dev/null 2>&1 && [ ! -e /etc/systemd/system/rsyslog.service ]; then
	echo "rsyslog.service is masked; to run one here: systemctl unmask rsyslog"
	mkdir -p /etc/systemd/system
	ln -s /dev/null /etc/systemd/system/rsyslog.service
fi
apt-get update -qq >/dev/null
"${install[@]}" -qq >/dev/null
