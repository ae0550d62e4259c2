# shellcheck shell=bash disable=SC2034
# What backup.sh and restore.sh share: the parts of a store's address, and the database's own programs.
#
#     database_parse STORE      sets engine (sqlite or mysql); path, or user, password, host, port, database
#     database_program NAME ... the first of these programs that is installed
#     database_options          the options of MariaDB's and MySQL's programs, as a file's text: a password
#                               on a command line is everybody's to read

fail() {
    echo "${0##*/}: $*" >&2
    exit 2
}

# %40 is @, as in the address.
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

# MariaDB's programs of 11.4 and later demand a certificate that somebody has signed, and go neither to a
# server without TLS nor to MySQL with the certificate that it made for itself. They are told not to: where
# there is TLS nobody listens in, but it is not proven who answers, so let it be over a network of your own.
database_options() {
    printf '[client]\nprotocol=tcp\nhost=%s\nport=%s\nuser=%s\npassword=%s\n' \
        "$(database_quote "$host")" "$port" "$(database_quote "$user")" "$(database_quote "$password")"
    printf '[client-mariadb]\nloose_skip_ssl_verify_server_cert\n'
}
