# shellcheck shell=bash disable=SC2034
# Functions shared by backup.sh and restore.sh: the parts of a store's address, and the client programs.
#
#     database_parse STORE      sets engine (sqlite or mysql); path, or user, password, host, port, database
#     database_program NAME ... prints the first of these programs that is installed
#     database_options          prints an option file for MariaDB's and MySQL's programs, because every
#                               user can read a password on a command line

fail() {
    echo "${0##*/}: $*" >&2
    exit 2
}

# Decodes percent encoding: %40 is @.
database_decode() {
    local text=${1//\\/\\\\}
    printf '%b' "${text//%/\\x}"
}

# mysql://user:password@host:port/database; the last @ ends the password.
database_parse_mysql() {
    local rest=${1#mysql://} account server
    [[ $rest == *@*/* ]] || return 1
    account=${rest%@*} server=${rest##*@}
    user=$(database_decode "${account%%:*}") password=
    [[ $account != *:* ]] || password=$(database_decode "${account#*:}")
    database=$(database_decode "${server#*/}") server=${server%%/*}
    if [[ $server == \[*\]* ]]; then
        host=${server%%]*} host=${host#[} server=${server##*]}
    else
        host=${server%%:*}
    fi
    port=3306
    [[ $server != *:* ]] || port=${server##*:}
    [ -n "$user" ] && [ -n "$host" ] && [ -n "$database" ]
}

database_parse() {
    case $1 in
    sqlite:?*)
        engine=sqlite path=${1#sqlite:}
        ;;
    mysql://*)
        engine=mysql
        database_parse_mysql "$1" || fail "the store is not mysql://user:password@host:port/database"
        ;;
    *) fail "the store is neither sqlite:PATH nor mysql://..." ;;
    esac
}

database_program() {
    local name
    for name in "$@"; do
        if command -v "$name"; then return; fi
    done
    fail "none of these is installed: $*"
}

database_quote() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# MariaDB's programs from 11.4 on demand a signed certificate. They refuse a server without TLS, and MySQL
# with its self-signed certificate. This switches that check off. TLS then still protects against
# eavesdropping, but does not prove the identity of the server, so use a private network.
database_options() {
    printf '[client]\nprotocol=tcp\nhost=%s\nport=%s\nuser=%s\npassword=%s\n' \
        "$(database_quote "$host")" "$port" "$(database_quote "$user")" "$(database_quote "$password")"
    printf '[client-mariadb]\nloose_skip_ssl_verify_server_cert\n'
}
