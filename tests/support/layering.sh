#!/usr/bin/env bash
# Arrows between the rooms run one way. In service/: http -> engine -> domain, guard, store -> base. In
# loadtest/, which knows nothing of the service but base: run -> report -> check -> history, measure.
# Prints each line that breaks this, and fails.
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

may base 'base/.*'
may config 'config/.*' 'base/.*' 'guard/guard\.h'
may domain 'domain/.*' 'base/.*'
may store 'store/.*' 'domain/.*' 'guard/guard\.h' 'base/.*'
may guard 'guard/.*' 'store/(db|lock_row)\.h' 'domain/.*' 'metrics/metrics\.h' 'base/.*'
may metrics 'metrics/.*' 'domain/operation\.h' 'guard/guard\.h' 'base/.*'
may engine 'engine/.*' 'domain/.*' 'guard/.*' 'store/.*' 'metrics/metrics\.h' 'base/.*'
may http 'http/.*' 'engine/engine\.h' 'domain/.*' 'guard/guard\.h' 'store/.*' 'metrics/metrics\.h' 'base/.*'

only_in 'store/' 'SQL' '"[^"]*\b(SELECT .* FROM|INSERT INTO|UPDATE [a-z_]+ SET|DELETE FROM|CREATE TABLE)\b'
only_in 'store/' 'database clients' '#include <(mysql|mariadb|sqlite3)'
only_in 'http/|guard/etcd_client\.c' 'HTTP' '#include <microhttpd|\bMHD_|"(Idempotency-Key|Content-Type|Retry-After|Allow)'
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
may report 'report/.*' 'check/(number|verdict)\.h' 'measure/.*' 'history/.*' 'base/.*'
may run 'run/.*' 'report/.*' 'control/http\.h' 'measure/.*' 'history/.*' 'base/.*'
only_in 'control/|scorecard/' 'libcurl' '#include <curl'
only_in 'nowhere' 'unbounded printing' '\bv?sprintf\('

exit "$status"
