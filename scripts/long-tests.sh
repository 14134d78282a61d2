#!/usr/bin/env bash
# The tests that -short leaves out or makes small, as a regular expression for
# go test -run; with --packages, the packages they are in.
set -euo pipefail
cd "$(dirname "$0")/.."
found=$(git ls-files 'internal/*_test.go' | xargs awk '
	/^func / { name = $2; sub(/\(.*/, "", name) }
	/testing\.Short\(\)/ && name ~ /^Test/ { dir = FILENAME; sub(/\/[^\/]*$/, "", dir); print "./" dir, name }' | sort -u)
if [ "${1:-}" = --packages ]; then
	cut -d' ' -f1 <<<"$found" | sort -u | xargs
else
	echo "^($(cut -d' ' -f2 <<<"$found" | sort -u | paste -sd'|'))\$"
fi
