#!/usr/bin/env bash
# Restores a backup of backup.sh into an empty database, and reconciles it.
#
#     HOLDFAST_STORE=mysql://... deploy/restore.sh FILE
#
# The database must exist and have no tables; for SQLite the file must not exist. Nothing is ever
# overwritten. Stop all instances on it first. At the end `holdfast reconcile` checks all of it; HOLDFAST
# names the program if it is not in PATH. Exit code 1: restored, but reconciliation has findings; 2: not
# restored. An interrupted restore leaves tables behind: drop the database and start again.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=deploy/database.sh
. "$here/database.sh"

restore_sqlite() {
    local name
    for name in "$path" "$path-wal" "$path-shm"; do
        [ ! -e "$name" ] || fail "$name already exists"
    done
    trap 'rm -f "$path.part"' EXIT
    cp "$1" "$path.part" && sync "$path.part" && mv "$path.part" "$path" && sync "$(dirname "$path")"
}

client() {
    local program
    program=$(database_program mariadb mysql) || exit
    "$program" --defaults-file=<(database_options) --batch \
        --skip-column-names "$@" "$database"
}

restore_mysql() {
    local tables
    gzip -t "$1" || fail "$1 is damaged"
    gzip -cd "$1" | tail -n 1 | grep -q '^-- Dump completed' || fail "$1 is incomplete"
    tables=$(client -e "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()") ||
        return
    [ "$tables" = 0 ] || fail "the database already has $tables tables"
    gzip -cd "$1" | client
}

if [ $# != 1 ] || [ -z "${HOLDFAST_STORE:-}" ]; then fail "usage: HOLDFAST_STORE=... restore.sh FILE"; fi
[ -f "$1" ] || fail "$1 does not exist"
database_parse "$HOLDFAST_STORE"
umask 077
"restore_$engine" "$1" || fail "not restored"
echo "restore.sh: restored $1; reconciling"
exec "${HOLDFAST:-holdfast}" reconcile
