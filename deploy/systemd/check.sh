#!/usr/bin/env bash
# Checks that the unit is well-formed and that its exposure, by systemd-analyze, is at most 2.0 of 10. Needs
# systemd-analyze, but no running systemd. It does not test the service under the unit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v systemd-analyze >/dev/null || {
    echo "check.sh: not checked, systemd-analyze is not installed (package systemd)"
    exit 0
}
# `verify` checks that the program exists.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/etc/systemd/system" "$root/usr/local/bin"
cp holdfast.service "$root/etc/systemd/system/"
install -m 755 /dev/null "$root/usr/local/bin/holdfast"
# Ignores messages about other units, which are absent here.
said=$(systemd-analyze verify --man=no --recursive-errors=no --root="$root" holdfast.service 2>&1) || true
if grep -F holdfast.service <<<"$said"; then exit 1; fi
systemd-analyze security --offline=yes --threshold=20 --no-pager holdfast.service \
    --root="$root" | tail -n 1
