#!/bin/bash
# Lays out the root of an image that holds one program and the Debian packages that it cannot do without.
#
#     image-root.sh PROGRAM DIRECTORY
#
# Those are the packages of the libraries that it links, each whole: plugins, which no list of linked
# libraries shows, come in the package of the library that loads them. Their entries in dpkg's status
# come along, so that whoever scans the image sees what is in it and in which version.
set -euo pipefail

program=$1
root=$2
user=holdfast:x:10001:10001::/tmp:/nonexistent

# The packages that own the libraries.
packages() {
    local library owner
    ldd "$program" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
        # dpkg knows a file by the name under which it was installed, with /usr before it or without.
        library=$(readlink -f "$library")
        owner=$(dpkg-query -S "$library" 2>/dev/null || dpkg-query -S "${library#/usr}") || exit 1
        echo "${owner%%:*}"
    done
    # Who the system is; and what the C library itself loads when a thread ends by pthread_exit.
    printf '%s\n' base-files libgcc-s1
}

mkdir -p "$root"/{etc,tmp,usr/bin,usr/lib,usr/lib64,usr/sbin,var/lib/dpkg}
for directory in bin lib lib64 sbin; do
    ln -s "usr/$directory" "$root/$directory"
done
chmod 1777 "$root/tmp"

mapfile -t names < <(packages | sort -u)
[ "${#names[@]}" -gt 1 ] || exit 1

# Folders are made where files need them: not what packages say of /bin, which is a link by now.
for name in "${names[@]}"; do
    dpkg-query -L "$name" | while IFS= read -r file; do
        case $file in
        /usr/share/doc/*/copyright) ;;
        /usr/share/doc/* | /usr/share/man/* | /usr/share/locale/* | /usr/share/lintian/*) continue ;;
        esac
        [ -d "$file" ] && [ ! -L "$file" ] || [ ! -e "$file" ] || printf '%s\0' "${file#/}"
    done
done | tar -C / --null -T - -c | tar -C "$root" --keep-directory-symlink -x

for name in "${names[@]}"; do
    dpkg-query -s "$name"
    echo
done >"$root/var/lib/dpkg/status"

install -m 755 "$program" "$root/usr/bin/"
echo "root:x:0:0::/root:/nonexistent
$user" >"$root/etc/passwd"
echo "root:x:0:
holdfast:x:10001:" >"$root/etc/group"
echo "hosts: files dns" >"$root/etc/nsswitch.conf"
ldconfig -r "$root"
