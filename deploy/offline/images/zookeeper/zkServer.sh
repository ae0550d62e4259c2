#!/bin/sh
# `zkServer.sh start-foreground` of the official image, for Debian's jars. ZK_SERVER_HEAP is in MiB.
set -eu
[ "${1:-}" = start-foreground ] || {
    echo "zkServer.sh: only start-foreground" >&2
    exit 2
}
jars=/usr/share/java
exec java -Xmx"${ZK_SERVER_HEAP:-1000}m" -Djava.io.tmpdir=/tmp \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
    -cp "$jars/zookeeper.jar:$jars/slf4j-simple.jar" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain /conf/zoo.cfg
