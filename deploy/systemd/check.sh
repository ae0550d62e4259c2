#!/usr/bin/env bash
# Is the unit well-formed, and does systemd find it well locked up? Exposure 2.0 at most, of 10. Needs
# no running systemd, only its systemd-analyze. What the service does under it, this cannot tell.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v systemd-analyze >/dev/null || {
    echo "check.sh: not checked, systemd-analyze is not installed (package systemd)"
    exit 0
}
# verify wants to find the program.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/etc/systemd/system" "$root/usr/local/bin"
cp holdfast.service "$root/etc/systemd/system/"
install -m 755 /dev/null "$root/usr/local/bin/holdfast"
# Other units' absence is no fault of this one.
said=$(systemd-analyze verify --man=no --recursive-errors=no --root="$root" holdfast.service 2>&1) || true
if grep -F holdfast.service <<<"$said"; then exit 1; fi
systemd-analyze security --offline=yes --threshold=20 --no-pager holdfast.service \
    --root="$root" | tail -n 1
