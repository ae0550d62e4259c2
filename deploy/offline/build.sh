#!/bin/bash
# Builds, from Debian's packages alone, every image that docker-compose.yml otherwise pulls. For machines
# that reach Debian's packages but no image registry.
#
#     deploy/offline/build.sh              what is missing
#     deploy/offline/build.sh --again      all of it
#     deploy/offline/build.sh NAME ...     only these: debian, sid, haproxy, redis, ...
#
# The images are named holdfast-offline/NAME. A base is made with debootstrap and imported; the others
# are built on it from images/NAME. MySQL comes from sid, for Debian's releases have none; everything
# else from Debian 12, or from what HOLDFAST_DEBIAN names (bookworm, trixie). Packages come from the
# machine's own mirror, or from HOLDFAST_DEBIAN_MIRROR. Needs root, for debootstrap.
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

# The first that the machine itself uses; debootstrap knows one too.
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

# What Debian's official image does to a fresh system: no service starts, no documentation, no caches.
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
    # A mirror that this machine reaches only through a proxy, or that stands still, is no other to the image.
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
    [ -d "$folder" ] || fail "no image is named $name; there are debian sid ${all[*]}"
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
