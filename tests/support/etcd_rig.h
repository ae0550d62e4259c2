// What the tests of etcd-lock share.
#pragma once

#include "etcd_server.h"
#include "guard/etcd/queue.h"
#include "guards.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const struct subject etcd;

// The test stack's, or NULL (see scratch.h).
const char *etcd_test_server(void);

// How many stand in the line of the rig's first key.
size_t standing(const struct rig *rig);
bool standing_soon(const struct rig *rig, size_t n);
// The same for each of its keys.
bool all_standing_soon(const struct rig *rig, size_t n);
