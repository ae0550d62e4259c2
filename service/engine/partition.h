// Partitions (lock.partitions): one lock for many counters.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct guard;

// Whether this guard's locks are those of partitions. `partitions`: how many there are, on every
// instance; 0: none. Only locks that instances share are: other guards cost nothing a counter.
bool partition_applies(size_t partitions, const struct guard *guard);

// The name under which the counter is locked and queued: its own, or that of its partition, which
// is then written to ret_name (COUNTER_NAME_MAX + 1 bytes). Valid as long as both arguments are.
const char *partition_name(size_t partitions, const struct guard *guard, const char *counter,
                           char *ret_name);
