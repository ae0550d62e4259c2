#!/bin/bash
# Makes the root file system of an image with one program and the Debian packages that it needs.
#
#     image-root.sh PROGRAM DIRECTORY
#
# These are the packages of the libraries that it links. Each is copied whole, because plugins, which no list
# of linked libraries shows, are in the package of the library that loads them. Their entries in dpkg's
# status are copied too, so that a scanner finds each package and its version.
set -euo pipefail

program=$1
root=$2
user=holdfast:x:10001:10001::/tmp:/nonexistent

# Prints the packages that own the libraries.
packages() {
    local library owner
    ldd "$program" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
        # dpkg knows a file by its name at installation, with or without /usr.
        library=$(readlink -f "$library")
        owner=$(dpkg-query -S "$library" 2>/dev/null || dpkg-query -S "${library#/usr}") || exit 1
        echo "${owner%%:*}"
    done
    # The release files of the system, and the library that libc loads for pthread_exit.
    printf '%s\n' base-files libgcc-s1
}

mkdir -p "$root"/{etc,tmp,usr/bin,usr/lib,usr/lib64,usr/sbin,var/lib/dpkg}
for directory in bin lib lib64 sbin; do
    ln -s "usr/$directory" "$root/$directory"
done
chmod 1777 "$root/tmp"

mapfile -t names < <(packages | sort -u)
[ "${#names[@]}" -gt 1 ] || exit 1

# Only files are listed; tar makes their folders. The packages' own /bin would replace the link.
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
