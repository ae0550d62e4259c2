// ZooKeeper's own header, without its `struct buffer`, which is not ours.
#pragma once

#define buffer zookeeper_jute_buffer
#include <zookeeper/zookeeper.h>
#undef buffer
