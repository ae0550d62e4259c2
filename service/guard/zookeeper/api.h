// The header of ZooKeeper's C client. Its `struct buffer` is renamed, because base/text.h has one.
#pragma once

#define buffer zookeeper_jute_buffer
#include <zookeeper/zookeeper.h>
#undef buffer
