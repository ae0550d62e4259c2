// Helpers for the etcd-lock tests: the test server, and the length of a lock's queue in etcd.
#pragma once

#include "etcd_server.h"
#include "guard/etcd/queue.h"
#include "guards.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const struct subject etcd;

// The address of the test stack's etcd, or NULL (see scratch_server).
const char *etcd_test_server(void);

// The length of the queue for the rig's first key.
size_t queued(const struct rig *rig);
// Waits for up to 3 s until that length is n.
bool queued_soon(const struct rig *rig, size_t n);
// Waits for up to 3 s until the queue of every key has this length.
bool all_queued_soon(const struct rig *rig, size_t n);
