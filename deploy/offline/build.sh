#!/bin/bash
# Builds every image that docker-compose.yml pulls from Debian packages alone, for machines that reach a
# Debian mirror but no image registry.
#
#     deploy/offline/build.sh              build the missing images
#     deploy/offline/build.sh --again      build all images
#     deploy/offline/build.sh NAME ...     build only these: debian, sid, haproxy, redis, ...
#
# The images are named holdfast-offline/NAME. The bases, debian and sid, are made with debootstrap. The
# others are built on them from images/NAME. MySQL comes from sid, because Debian's releases do not have it.
# Everything else comes from Debian 12, or the release in HOLDFAST_DEBIAN (bookworm, trixie). Packages come
# from the machine's own mirror, or from HOLDFAST_DEBIAN_MIRROR. debootstrap needs root.
set -euo pipefail
cd "$(dirname "$0")"

release=${HOLDFAST_DEBIAN:-bookworm}
prefix=holdfast-offline
all=(haproxy redis zookeeper etcd prometheus mariadb mysql)

fail() {
    echo "offline: $*" >&2
    exit 1
}

image_exists() {
    docker image inspect "$prefix/$1" >/dev/null 2>&1
}

# Prints the first mirror of the machine's apt sources; if empty, debootstrap uses its default.
mirror() {
    if [ -n "${HOLDFAST_DEBIAN_MIRROR:-}" ]; then
        echo "$HOLDFAST_DEBIAN_MIRROR"
        return
    fi
    { cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true; } | awk '
        $1 != "URIs:" && $1 != "deb" { next }
        { for (i = 2; i <= NF && !found; i++) if ($i ~ /\/debian\/?$/) found = $i }
        END { print found }'
}

# Trims a fresh system like Debian's official image: no service starts, no documentation, no caches.
slim() {
    local root=$1
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'END'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
END
    cat >"$root/etc/apt/apt.conf.d/slim" <<'END'
Acquire::Languages "none";
Acquire::Retries "3";
APT::Install-Recommends "false";
END
    # Copy the machine's proxy and date checks of apt: its mirror may need the proxy or be a frozen snapshot.
    apt-config dump Acquire | grep -E '^Acquire::(Check-[A-Za-z-]+|https?::Proxy) ' \
        >"$root/etc/apt/apt.conf.d/machine" || true
    find "$root/usr/share/doc" -mindepth 2 ! -name copyright ! -type d -delete
    rm -rf "$root"/usr/share/{info,locale,man}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* \
        "$root"/var/log/* "$root"/etc/resolv.conf "$root"/etc/hostname
}

sources() {
    local root=$1 suite=$2 mirror=$3
    {
        echo "deb $mirror $suite main"
        [ "$suite" = sid ] || {
            echo "deb $mirror $suite-updates main"
            echo "deb ${mirror%/debian*}/debian-security $suite-security main"
        }
    } >"$root/etc/apt/sources.list"
}

base() {
    local name=$1 suite=$2 root mirror
    mirror=$(mirror)
    mirror=${mirror%/}
    command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    [ "$(id -u)" = 0 ] || fail "debootstrap needs root"
    root=$(mktemp -d)
    echo "offline: $prefix/$name, Debian $suite"
    debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        fail "debootstrap failed; its log is $root.log"
    }
    [ -z "$mirror" ] || sources "$root" "$suite" "$mirror"
    slim "$root"
    tar -C "$root" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$prefix/$name" >/dev/null
    rm -rf "$root" "$root.log"
}

image() {
    local name=$1 on=debian folder=images/$1 log
    [ "$name" != mysql ] || on=sid
    [ "$name" != mariadb ] || folder=images/mysql
    [ -d "$folder" ] || fail "no image is named $name; the images are debian sid ${all[*]}"
    image_exists "$on" || one "$on"
    echo "offline: $prefix/$name"
    log=$(mktemp)
    docker build --build-arg BASE="$prefix/$on" --build-arg FLAVOUR="$name" -t "$prefix/$name" "$folder" \
        >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "its build failed; the log is $log"
    }
    rm "$log"
}

one() {
    case $1 in
    debian) base debian "$release" ;;
    sid) base sid sid ;;
    *) image "$1" ;;
    esac
}

docker info >/dev/null 2>&1 || fail "no Docker engine answers"
case ${1:-} in
--again) for name in debian sid "${all[@]}"; do one "$name"; done ;;
-*) fail "$1 is not an option" ;;
'') for name in debian "${all[@]}"; do image_exists "$name" || one "$name"; done ;;
*) for name in "$@"; do one "$name"; done ;;
esac
