#!/bin/sh
# What the official images' entries do with MYSQL_ROOT_PASSWORD, MYSQL_DATABASE, MYSQL_USER and
# MYSQL_PASSWORD, in the little that docker-compose.yml needs of it, for MySQL and for MariaDB. The data
# directory is made aside and moved, its mysql/ last: a first start that was cut short begins again at
# the next.
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

# Read at every start: that makes good a first start that ended here, and passwords can change.
users=/tmp/users.sql
cat >"$users" <<END
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%';
ALTER USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%';
END
shift # the command's own name
exec "$(command -v mariadbd || command -v mysqld)" "$defaults" --init-file="$users" "$@"
