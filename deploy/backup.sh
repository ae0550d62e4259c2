#!/usr/bin/env bash
# Writes a backup of the database into a new file, while the service runs.
#
#     HOLDFAST_STORE=mysql://... deploy/backup.sh FILE
#
# It is the database at one moment: MySQL and MariaDB dump in one transaction and SQLite copies in one,
# so counters, ledger, coupons and draws fit together. Not while `holdfast migrate` runs: a dump sees no
# schema at one moment. FILE appears when it is whole and on disk; a run that failed leaves none. SQLite's
# is a database file, the others' is SQL behind gzip. Exit code 2: there is no backup.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=deploy/database.sh
. "$here/database.sh"

backup_sqlite() {
    [ -f "$path" ] || fail "there is no $path"
    local program
    program=$(database_program sqlite3) || exit
    "$program" -bail "$path" "PRAGMA busy_timeout = 10000" "VACUUM INTO '${1//\'/\'\'}'" >/dev/null
}

# One snapshot of InnoDB, row by row from the server, and no lock that anybody waits for.
backup_mysql() {
    local dump own=()
    dump=$(database_program mariadb-dump mysqldump) || exit
    [[ $("$dump" --version) == *MariaDB* ]] || own=(--set-gtid-purged=OFF)
    "$dump" --defaults-file=<(database_options) --single-transaction --quick --skip-lock-tables \
        --no-tablespaces --hex-blob "${own[@]}" "$database" | gzip >"$1" || return
    gzip -cd "$1" | tail -n 1 | grep -q '^-- Dump completed' || fail "the dump has no end"
}

if [ $# != 1 ] || [ -z "${HOLDFAST_STORE:-}" ]; then fail "usage: HOLDFAST_STORE=... backup.sh FILE"; fi
database_parse "$HOLDFAST_STORE"
[ ! -e "$1" ] || fail "$1 is there already"
part=$1.part
trap 'rm -f "$part"' EXIT
rm -f "$part"
umask 077
"backup_$engine" "$part" || fail "no backup was made"
sync "$part"
mv "$part" "$1"
sync "$(dirname "$1")"
echo "backup.sh: $1, $(stat -c %s "$1") bytes"
