# shellcheck shell=bash
# A private MariaDB, Redis, ZooKeeper and etcd on loopback, with all their state in one directory.
# Sourced by ./dev. Several stacks can run in parallel, because each has its own directory and ports. A
# stack stops only processes that it started, identified by process id and start time.
#
#     stack_up DIR        starts the servers that do not run, waits until they answer
#     stack_down DIR      stops the running servers, waits until they have exited
#     stack_status DIR    one line per server; fails unless all are running
#     stack_wipe DIR      stops the servers, deletes DIR
#     stack_load DIR      sets STACK_MYSQL_PORT, STACK_REDIS_PORT, STACK_ZOOKEEPER_PORT, STACK_ETCD_PORT,
#                         STACK_PASSWORD

stack_servers=(mysql redis zookeeper etcd)

stack_say() {
    echo "stack: $*"
}

# ---- processes ---------------------------------------------------------------------------------------

# Prints the start time of a running process (field 22 of its stat). Fails for a zombie.
stack_start_time() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    stat=${stat##*) }
    local fields
    read -r -a fields <<<"$stat"
    [ "${fields[0]}" != Z ] || return 1
    echo "${fields[19]}"
}

# Prints the process id if the server of this name runs.
stack_pid() {
    local pid started
    [ -r "$1/$2.pid" ] || return 1
    read -r pid started <"$1/$2.pid"
    [ "$(stack_start_time "$pid")" = "$started" ] || return 1
    echo "$pid"
}

# Runs a server in its own session, so that Ctrl-C ends the script but not the server.
stack_spawn() {
    local dir=$1 name=$2 pid
    shift 2
    (cd "$dir/$name" && exec setsid "$@") >>"$dir/$name.log" 2>&1 </dev/null 9>&- &
    pid=$!
    disown "$pid"
    echo "$pid $(stack_start_time "$pid" || echo gone)" >"$dir/$name.pid"
}

# ---- ports -------------------------------------------------------------------------------------------

stack_port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The start of the port search depends on the directory, so that two checkouts do not collide.
stack_first_port() {
    local sum
    sum=$(cksum <<<"$1" | cut -d' ' -f1)
    echo $((${HOLDFAST_STACK_PORT:-24000} + sum % 400 * 10))
}

stack_free_port() {
    local port=$1 try
    for ((try = 0; try < 500; try++, port++)); do
        if stack_port_is_free "$port"; then
            echo "$port"
            return
        fi
    done
    stack_say "no free port from $1 on" >&2
    return 1
}

stack_load() {
    [ -r "$1/settings" ] || return 1
    # shellcheck source=/dev/null
    . "$1/settings"
}

stack_save() {
    cat >"$1/settings" <<EOF
STACK_MYSQL_PORT=$STACK_MYSQL_PORT
STACK_REDIS_PORT=$STACK_REDIS_PORT
STACK_ZOOKEEPER_PORT=$STACK_ZOOKEEPER_PORT
STACK_ETCD_PORT=$STACK_ETCD_PORT
STACK_PASSWORD=$STACK_PASSWORD
EOF
}

stack_init() {
    local first
    mkdir -p "$1"/{mysql,redis,zookeeper,etcd}
    chmod 700 "$1"
    first=$(stack_first_port "$1")
    STACK_ETCD_PORT=$((first + 3)) # for settings saved before etcd was added
    stack_load "$1" && return
    STACK_MYSQL_PORT=$first STACK_REDIS_PORT=$((first + 1)) STACK_ZOOKEEPER_PORT=$((first + 2))
    STACK_PASSWORD=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    stack_save "$1"
}

# ---- the servers ---------------------------------------------------------------------------------------

stack_sql() {
    MYSQL_PWD=$STACK_PASSWORD mariadb --no-defaults --protocol=tcp -h 127.0.0.1 \
        -P "$STACK_MYSQL_PORT" -u root "$@"
}

# Makes root over TCP with a password, and the databases. The server reads the file at every start.
stack_mysql_init() {
    cat >"$1/mysql.sql" <<EOF
CREATE USER IF NOT EXISTS root@'127.0.0.1';
ALTER USER root@'127.0.0.1' IDENTIFIED BY '$STACK_PASSWORD';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
ALTER USER root@'localhost' IDENTIFIED BY '$STACK_PASSWORD';
CREATE DATABASE IF NOT EXISTS holdfast CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS holdfast_test CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS holdfast_lab CHARACTER SET utf8mb4;
EOF
    # A private folder, because a starting server deletes the temporary tables of all servers in it.
    mkdir -p "$1/mysql-tmp"
    if [ -d "$1/mysql/mysql" ]; then return; fi
    # --force: works even if the machine's host name cannot be resolved.
    TMPDIR=$1/mysql-tmp mariadb-install-db --no-defaults --force --user="$(id -un)" \
        --datadir="$1/mysql" --skip-test-db --auth-root-authentication-method=normal >"$1/mysql-install.log" 2>&1 || {
        cat "$1/mysql-install.log" >&2
        rm -rf "$1/mysql"
        return 1
    }
}

# Every commit is flushed to disk, as in production. The socket path is relative to the data
# directory, because an absolute path can exceed the length limit of a socket's name.
stack_start_mysql() {
    stack_mysql_init "$1" || return 1
    stack_spawn "$1" mysql mariadbd --no-defaults --user="$(id -un)" --datadir="$1/mysql" \
        --tmpdir="$1/mysql-tmp" --bind-address=127.0.0.1 --port="$STACK_MYSQL_PORT" \
        --socket=mysql.sock --pid-file="$1/mysql/server.pid" --init-file="$1/mysql.sql" --skip-name-resolve \
        --innodb-flush-log-at-trx-commit=1 --innodb-buffer-pool-size=256M \
        --innodb-log-file-size=256M --max-connections=600 --performance-schema=OFF
}

stack_check_mysql() {
    stack_sql -e 'USE holdfast_test' >/dev/null 2>&1
}

stack_start_redis() {
    stack_spawn "$1" redis redis-server --bind 127.0.0.1 --port "$STACK_REDIS_PORT" \
        --dir "$1/redis" --save '' --appendonly no --daemonize no --enable-debug-command local
}

# Sends one line to a port and compares the start of the answer.
stack_ask() {
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf '%s' "$2" >&3
    read -r -t 2 -N "${#3}" answer <&3 || true
    [ "$answer" = "$3" ]
}

stack_check_redis() {
    (stack_ask "$STACK_REDIS_PORT" $'PING\r\n' +PONG) 2>/dev/null
}

# A short tick allows the short session timeouts that expiry tests need.
stack_start_zookeeper() {
    cat >"$1/zookeeper.cfg" <<EOF
dataDir=$1/zookeeper
clientPortAddress=127.0.0.1
clientPort=$STACK_ZOOKEEPER_PORT
tickTime=500
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=ruok,srvr,mntr,cons
forceSync=yes
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
EOF
    stack_spawn "$1" zookeeper java -Xms32m -Xmx192m -XX:+UseSerialGC \
        -Dzookeeper.preAllocSize=1024 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
        -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar \
        org.apache.zookeeper.server.ZooKeeperServerMain "$1/zookeeper.cfg"
}

stack_check_zookeeper() {
    (stack_ask "$STACK_ZOOKEEPER_PORT" ruok imok) 2>/dev/null
}

# A cluster of one. Its unused peer address is a socket in its own directory.
stack_start_etcd() {
    local url=http://127.0.0.1:$STACK_ETCD_PORT peer=unix://127.0.0.1:0
    stack_spawn "$1" etcd etcd --name holdfast --data-dir "$1/etcd/data" \
        --listen-client-urls "$url" --advertise-client-urls "$url" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "holdfast=$peer" --logger zap --log-outputs stderr --log-level warn \
        --auto-compaction-mode revision --auto-compaction-retention 10000
}

stack_check_etcd() {
    (stack_ask "$STACK_ETCD_PORT" $'GET /health HTTP/1.0\r\n\r\n' 'HTTP/1.0 200') 2>/dev/null
}

# ---- all of them -----------------------------------------------------------------------------------------

stack_port_variable() {
    local upper=${1^^}
    echo "STACK_${upper}_PORT"
}

# Starts one server on its port, or on the next free one if that is taken.
stack_launch() {
    local dir=$1 name=$2 variable port
    variable=$(stack_port_variable "$name")
    port=$(stack_free_port "${!variable}") || return 1
    printf -v "$variable" %s "$port"
    stack_save "$dir"
    "stack_start_$name" "$dir"
}

# Waits until the server answers. Fails if it exits, because then another process gave the answer.
stack_await() {
    local dir=$1 name=$2 try
    for ((try = 0; try < 600; try++)); do
        stack_pid "$dir" "$name" >/dev/null || break
        if "stack_check_$name"; then
            stack_pid "$dir" "$name" >/dev/null && return
        fi
        sleep 0.1
    done
    return 1
}

stack_up() {
    local dir=$1 name try started
    stack_init "$dir"
    for try in 1 2 3; do
        started=()
        for name in "${stack_servers[@]}"; do
            stack_pid "$dir" "$name" >/dev/null && continue
            stack_launch "$dir" "$name" || return 1
            started+=("$name")
        done
        for name in "${stack_servers[@]}"; do
            stack_await "$dir" "$name" && continue
            stack_pid "$dir" "$name" >/dev/null && break 2
            continue 2
        done
        [ ${#started[@]} = 0 ] || stack_say "started ${started[*]} in $dir"
        return 0
    done
    stack_say "$name does not start; the end of $dir/$name.log:" >&2
    tail -n 20 "$dir/$name.log" >&2
    return 1
}

stack_down() {
    local dir=$1 name pid try stopped=()
    for name in "${stack_servers[@]}"; do
        pid=$(stack_pid "$dir" "$name") || continue
        kill -TERM "$pid" 2>/dev/null || true
        stopped+=("$name")
    done
    for name in "${stopped[@]}"; do
        for ((try = 0; try < 300; try++)); do
            pid=$(stack_pid "$dir" "$name") || break
            [ "$try" != 200 ] || kill -KILL "$pid" 2>/dev/null || true
            sleep 0.1
        done
        rm -f "$dir/$name.pid"
    done
    [ ${#stopped[@]} = 0 ] || stack_say "stopped ${stopped[*]}"
}

stack_status() {
    local dir=$1 name variable pid all=0
    if ! stack_load "$dir"; then
        stack_say "not set up"
        return 1
    fi
    for name in "${stack_servers[@]}"; do
        variable=$(stack_port_variable "$name")
        if pid=$(stack_pid "$dir" "$name") && "stack_check_$name"; then
            stack_say "$name running, process $pid, port ${!variable}"
        else
            stack_say "$name down"
            all=1
        fi
    done
    return "$all"
}

stack_wipe() {
    stack_down "$1"
    rm -rf "$1"
}
