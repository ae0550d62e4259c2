#!/usr/bin/env bash
# Checks that arrows between rooms run one way. In service/, `rooms` below has the order: a room may
# include only itself and rooms before it. In loadtest/, which uses only base/ of the service:
# run -> report -> check -> history, measure. Also checks that SQL, HTTP and client libraries stay in
# their rooms. Prints each violation, and fails if there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../service"

status=0

complain() {
    echo "layering: $1"
    sed 's/^/    /'
    status=1
}

# may ROOM HEADER...: the project's headers that a room may include, as extended regular expressions.
may() {
    local room=$1 allowed found
    shift
    allowed=$(
        IFS='|'
        echo "$*"
    )
    [ -d "$room" ] || return 0
    found=$(grep -rnE --include='*.[ch]' '^#include "' "$room" | grep -vE "#include \"($allowed)\"" || true)
    [ -z "$found" ] || complain "$room/ may include only $allowed" <<<"$found"
}

# only_in ROOMS WHAT PATTERN: a pattern that may stand only in these rooms or files (a regular
# expression on the path). Comments do not count.
only_in() {
    local rooms=$1 what=$2 pattern=$3 found
    found=$(grep -rnE --include='*.[ch]' "$pattern" . | grep -vE "^\./($rooms)" |
        grep -vE '^[^:]+:[0-9]+: *(//|\*)' || true)
    [ -z "$found" ] || complain "$what only in $rooms" <<<"$found"
}

# `.` is main.c and app.c.
rooms='base domain store/db store/tables store/migrate store/reconcile guard guard/redis guard/zookeeper
    guard/etcd guard/strategy metrics config engine http/wire http http/api http/server commands .'

found=$(grep -rnE --include='*.[ch]' '^#include "' . | awk -v rooms="$rooms" '
    BEGIN { n = split(rooms, names); for (i = 1; i <= n; i++) place[names[i]] = i }
    function room(path) { return sub("/[^/]*$", "", path) ? path : "." }
    {
        split($0, quoted, "\"")
        file = $0; sub(":.*", "", file); sub("^[.]/", "", file)
        if (!(room(file) in place) || !(room(quoted[2]) in place) || place[room(quoted[2])] > place[room(file)])
            print
    }')
[ -z "$found" ] || complain "a room may include only itself and rooms before it" <<<"$found"

may domain 'domain/.*' 'base/.*'
may store 'store/.*' 'domain/.*' 'base/.*'
may guard 'guard/.*' 'store/(db/db|tables/lock_row)\.h' 'domain/.*' 'base/.*'
for server in redis zookeeper etcd; do
    may "guard/$server" "guard/$server/.*" 'guard/[a-z_]*\.h' 'domain/.*' 'base/.*'
done
may metrics 'metrics/.*' 'domain/.*' 'guard/(guard|strategy/registry)\.h' 'base/.*'
may engine 'engine/.*' 'domain/.*' 'guard/.*' 'store/.*' 'metrics/metrics\.h' 'base/.*'
may http 'http/.*' 'engine/engine\.h' 'domain/.*' 'guard/(guard|strategy/registry)\.h' 'store/.*' 'metrics/metrics\.h' 'base/.*'

only_in 'store/' 'SQL' '"[^"]*\b(SELECT .* FROM|INSERT INTO|UPDATE [a-z_]+ SET|DELETE FROM|CREATE TABLE)\b'
only_in 'store/' 'database clients' '#include <(mysql|mariadb|sqlite3)'
only_in 'http/|guard/etcd/client\.c' 'HTTP' '#include <microhttpd|\bMHD_|"(Idempotency-Key|Content-Type|Retry-After|Allow)'
only_in 'guard/' 'lock clients' '#include <(curl|hiredis|zookeeper)'
only_in 'main\.c' 'the end of the process' '(^|[^a-z_])_?exit\('
only_in 'nowhere' 'unbounded printing' '\bv?sprintf\('
if grep -nE '#include <(pthread|stdio|time|sys/|unistd|stdatomic)' domain/*.[ch]; then
    complain "domain/ is pure: no I/O, no clock, no threads" </dev/null
fi

cd ../loadtest
may measure 'measure/.*' 'base/.*'
may history 'history/.*' 'base/.*'
may control 'control/.*' 'history/history\.h' 'base/.*'
may check 'check/.*' 'control/http\.h' 'history/.*' 'base/.*'
may report 'report/.*' 'check/verdict\.h' 'measure/.*' 'history/.*' 'base/.*'
may run 'run/.*' 'report/.*' 'control/http\.h' 'measure/.*' 'history/.*' 'base/.*'
only_in 'control/|scorecard/' 'libcurl' '#include <curl'
only_in 'nowhere' 'unbounded printing' '\bv?sprintf\('

exit "$status"
