#!/usr/bin/env bash
# Writes a backup of the database into a new file, while the service runs.
#
#     HOLDFAST_STORE=mysql://... deploy/backup.sh FILE
#
# The backup is consistent: MySQL, MariaDB and SQLite read it in one transaction, so counters, ledger,
# coupons and draws agree. Do not run it during `holdfast migrate`, because a dump's transaction does not
# cover the schema. FILE appears only when it is complete and on disk; a failed run leaves no file. For
# SQLite it is a database file, otherwise gzipped SQL. Exit code 2: no backup was made.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=deploy/database.sh
. "$here/database.sh"

backup_sqlite() {
    [ -f "$path" ] || fail "$path does not exist"
    local program
    program=$(database_program sqlite3) || exit
    "$program" -bail "$path" "PRAGMA busy_timeout = 10000" "VACUUM INTO '${1//\'/\'\'}'" >/dev/null
}

# Dumps one snapshot of InnoDB, streamed row by row, without locks that block writers.
backup_mysql() {
    local dump own=()
    dump=$(database_program mariadb-dump mysqldump) || exit
    [[ $("$dump" --version) == *MariaDB* ]] || own=(--set-gtid-purged=OFF)
    "$dump" --defaults-file=<(database_options) --single-transaction --quick --skip-lock-tables \
        --no-tablespaces --hex-blob "${own[@]}" "$database" | gzip >"$1" || return
    gzip -cd "$1" | tail -n 1 | grep -q '^-- Dump completed' || fail "the dump is incomplete"
}

if [ $# != 1 ] || [ -z "${HOLDFAST_STORE:-}" ]; then fail "usage: HOLDFAST_STORE=... backup.sh FILE"; fi
database_parse "$HOLDFAST_STORE"
[ ! -e "$1" ] || fail "$1 already exists"
part=$1.part
trap 'rm -f "$part"' EXIT
rm -f "$part"
umask 077
"backup_$engine" "$part" || fail "no backup was made"
sync "$part"
mv "$part" "$1"
sync "$(dirname "$1")"
echo "backup.sh: $1, $(stat -c %s "$1") bytes"
