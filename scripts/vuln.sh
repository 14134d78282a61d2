#!/usr/bin/env bash
# Looks for known vulnerabilities in what the programs call, and is green only if it
# looked. The database is that of the Go project, or another one by GOVULNDB: an
# https mirror, or file:///PATH/data/osv in a clone of github.com/golang/vulndb.
#   scripts/vuln.sh --reachable              whether there is a database to ask
#   scripts/vuln.sh GOVULNCHECK PACKAGES…    3: there are some; 2: it could not look
set -uo pipefail

db="${GOVULNDB:-https://vuln.go.dev}"

reachable() {
	case "$db" in
	file://*) [ -n "$(find "${db#file://}" -name '*.json' -print -quit 2>/dev/null)" ] ;;
	*)
		[ -n "${HTTPS_PROXY:-${https_proxy:-}}" ] && return 0 # only the request itself can tell
		host="${db#*://}" && host="${host%%/*}"
		port=443 && case "$host" in *:*) port="${host##*:}" host="${host%:*}" ;; esac
		timeout 10 bash -c "</dev/tcp/$host/$port" 2>/dev/null
		;;
	esac
}

unseen() {
	echo "NOT CHECKED for vulnerabilities: $db cannot be read." >&2
	echo "Without the internet: GOVULNDB=file:///PATH/data/osv make vuln, with a clone of https://github.com/golang/vulndb." >&2
}

if [ "${1:-}" = --reachable ]; then
	reachable && exit 0
	unseen
	exit 2
fi

govulncheck="$1"
shift
reachable || { unseen; exit 2; }
"$govulncheck" -db "$db" "$@"
case $? in
0) echo "Checked against $db." ;;
3) exit 3 ;;
*) unseen; exit 2 ;;
esac
