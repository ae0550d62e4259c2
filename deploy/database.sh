# shellcheck shell=bash disable=SC2034
# Functions shared by backup.sh and restore.sh: the parts of a store's address, and the client programs.
#
#     database_parse STORE      sets engine (sqlite or mysql); path, or user, password, database, host and port
#                               or socket, tls and ca
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

# scheme://user:password@host:port,host:port/database?option=value&..., as the setting `store`. The first / ?
# or # ends the hosts, the last @ in front of it the password.
database_parse_mysql() {
    local scheme=${1%%://*} rest=${1#*://} authority account="" options="" option value
    authority=${rest%%[/?#]*} rest=${rest#"${rest%%[/?#]*}"}
    [[ $rest == /?* && $rest != *[@#]* ]] || return 1
    [[ $rest != *\?* ]] || options=${rest#*\?}
    database=$(database_decode "${rest%%\?*}") database=${database#/}
    [[ $authority != *@* ]] || account=${authority%@*}
    hosts=${authority##*@} user=$(database_decode "${account%%:*}") password="" socket="" tls="" ca=""
    [[ $account != *:* ]] || password=$(database_decode "${account#*:}")
    while [ -n "$options" ]; do
        option=${options%%&*} options=${options#"$option"} options=${options#&}
        value=$(database_decode "${option#*=}") option=${option%%=*} option=${option,,}
        case ${option//_/-} in
        tls) tls=$value ;;
        ca) ca=$value ;;
        socket) socket=$value ;;
        connect-timeout) ;;
        *) return 1 ;;
        esac
    done
    [[ -n $tls || ($scheme != *s && -z $ca) ]] || tls=on
    [[ ${tls:-off} =~ ^(off|on|unverified|verify-ca|verify-full)$ ]] || return 1
    [[ -n $user && -n $database && (-n $hosts || -n $socket) && (-z $hosts || -z $socket) ]]
}

database_parse() {
    case $1 in
    sqlite:?*)
        engine=sqlite path=${1#sqlite:}
        ;;
    mysql://* | mysqls://* | mariadb://* | mariadbs://*)
        engine=mysql
        database_parse_mysql "$1" || fail "the store is not mysql://user:password@host:port/database" \
            "(with tls, ca, connect-timeout or socket behind a ?)"
        database_find
        ;;
    *) fail "the store is neither sqlite:PATH nor mysql://..." ;;
    esac
}

# Sets host and port to the first of the servers that answers, as the service chooses it.
database_find() {
    local list=$hosts, one program
    program=$(database_program mariadb mysql) || exit
    while [ -n "$list" ]; do
        one=${list%%,*} list=${list#*,} one=${one// /}
        port=3306
        [[ $one =~ :[0-9]+$ ]] && port=${one##*:} one=${one%:*}
        host=${one#[} host=${host%]}
        if [[ $hosts != *,* ]] ||
            "$program" --defaults-file=<(database_options) --connect-timeout=5 -e 'DO 0' "$database" 2>/dev/null; then
            return
        fi
    done
    [ -n "$socket" ] || fail "none of the store's servers lets the user in"
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

# MariaDB's programs from 11.4 on demand a signed certificate, unless they are told not to. So without TLS in
# the address, that check is switched off. MariaDB's and MySQL's options differ; `loose` lets the one pass over
# those of the other.
database_options() {
    printf '[client]\nuser=%s\npassword=%s\n' "$(database_quote "$user")" "$(database_quote "$password")"
    if [ -n "$socket" ]; then
        printf 'protocol=socket\nsocket=%s\n' "$(database_quote "$socket")"
    else
        printf 'protocol=tcp\nhost=%s\nport=%s\n' "$(database_quote "$host")" "$port"
    fi
    case $tls in
    on | verify-*)
        printf 'loose_ssl\nloose_ssl_verify_server_cert\n'
        if [ "$tls" = verify-ca ]; then
            printf 'loose_ssl_mode=VERIFY_CA\n'
        else
            printf 'loose_ssl_mode=VERIFY_IDENTITY\n'
        fi
        if [ -n "$ca" ]; then
            printf 'ssl_ca=%s\n' "$(database_quote "$ca")"
        else
            printf 'ssl_capath=/etc/ssl/certs\n'
        fi
        ;;
    unverified) printf 'loose_ssl\nloose_skip_ssl_verify_server_cert\nloose_ssl_mode=REQUIRED\n' ;;
    *) printf '[client-mariadb]\nloose_skip_ssl_verify_server_cert\n' ;;
    esac
}
