# shellcheck shell=bash
# Installs missing Debian packages. Sourced by ./dev and the Dockerfile.
#
#     packages_ensure NAME ...      NAME may be `a|b`: alternatives, the first that exists is installed
#
# It queries dpkg first, so a machine that has every package needs neither root nor network. The
# installation starts no services, because the tests run private servers.

packages_build() {
    printf '%s\n' build-essential cmake cmark-gfm ninja-build pkgconf curl \
        libmicrohttpd-dev libhiredis-dev libjansson-dev libsqlite3-dev libzookeeper-mt-dev \
        'libcurl4-openssl-dev|libcurl4-gnutls-dev'
    if [ "${HOLDFAST_MYSQL:-}" = libmysqlclient ]; then
        echo libmysqlclient-dev
    else
        echo libmariadb-dev
    fi
}

packages_stack() {
    printf '%s\n' mariadb-server-core mariadb-client-core redis-server zookeeper etcd-server \
        'default-jre-headless|openjdk-17-jre-headless|openjdk-21-jre-headless'
}

packages_test() {
    printf '%s\n' check python3 nodejs haproxy faketime openssl sqlite3 'mariadb-client|default-mysql-client' \
        chromium chromium-driver python3-selenium
}

packages_bench() {
    printf '%s\n' python3 wrk
}

packages_check() {
    printf '%s\n' clang clang-format clang-tidy shellcheck lua-check pylint python3 python3-yaml python3-jsonschema prometheus
}

package_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Is one of a|b|c installed?
package_satisfied() {
    local name
    for name in ${1//|/ }; do
        if package_installed "$name"; then return 0; fi
    done
    return 1
}

# The first of a|b|c that apt knows, else the first.
package_choose() {
    local name
    for name in ${1//|/ }; do
        if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    echo "${1%%|*}"
}

packages_as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        echo "dev: to install packages, run as root or install sudo" >&2
        return 1
    fi
}

# While policy-rc.d exits with 101, packages start no services. An existing policy is left in place.
packages_apt_install() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'packages_as_root rm -f "$policy"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\nexit 101\n' | packages_as_root tee "$policy" >/dev/null
        packages_as_root chmod 755 "$policy"
    fi
    packages_as_root apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"
)

packages_ensure() {
    local wanted missing=() chosen=()
    for wanted in "$@"; do
        package_satisfied "$wanted" || missing+=("$wanted")
    done
    if [ ${#missing[@]} = 0 ]; then return 0; fi
    if ! command -v apt-get >/dev/null; then
        echo "dev: this is not Debian; install these by hand: ${missing[*]}" >&2
        return 1
    fi
    echo "dev: installing ${missing[*]}"
    packages_as_root apt-get -o DPkg::Lock::Timeout=300 update -q
    for wanted in "${missing[@]}"; do
        chosen+=("$(package_choose "$wanted")")
    done
    packages_apt_install "${chosen[@]}"
}
