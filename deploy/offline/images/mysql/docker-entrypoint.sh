#!/bin/sh
# The entry point for MySQL and MariaDB. It handles MYSQL_ROOT_PASSWORD, MYSQL_DATABASE, MYSQL_USER and
# MYSQL_PASSWORD like the official images, as far as docker-compose.yml needs it. The data directory is made
# in a temporary folder and then moved, its mysql/ last, so an interrupted first start is repeated at the
# next start.
set -eu
defaults=--defaults-file=/usr/local/share/mysql-image/my.cnf
data=/var/lib/mysql
umask 077

if [ ! -d "$data/mysql" ]; then
    rm -rf "$data/.setup"
    mkdir "$data/.setup"
    if command -v mariadb-install-db >/dev/null; then
        mariadb-install-db "$defaults" --datadir="$data/.setup" --skip-test-db \
            --auth-root-authentication-method=normal >/dev/null
    else
        mysqld "$defaults" --initialize-insecure --datadir="$data/.setup"
    fi
    find "$data/.setup" -mindepth 1 -maxdepth 1 ! -name mysql -exec mv -t "$data" {} +
    mv "$data/.setup/mysql" "$data/mysql"
    rmdir "$data/.setup"
fi

# Read at every start: this completes an interrupted first start, and passwords can change.
users=/tmp/users.sql
cat >"$users" <<END
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%';
ALTER USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%';
END
shift # drop the command's name
exec "$(command -v mariadbd || command -v mysqld)" "$defaults" --init-file="$users" "$@"
