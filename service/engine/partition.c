// The lock's name of a counter.
//
// Problem: a section over twenty counters takes twenty locks. Where a lock is a node or a key that
// a quorum writes to disk, the locks cost more than the transaction that they guard.
//
// Approach: lock striping. A hash of the counter's name chooses one of N partitions, and the lock
// is the partition's. Lanes have the lock's name too, so jobs of one partition stand in one lane,
// in order of arrival, and a section over the lane needs one lock.
//
// Why it is safe: all counters of a partition are behind its one lock, which is only coarser than a
// lock for each. The fence stays in each row: a section saves with the token of its partition's
// lock, and a row that has seen a higher one (from the time when it had a lock of its own) makes
// the guard lift it, as after a lock server's loss of memory. An operation on several counters
// takes the locks of all their partitions, each once, in the order of their names.
//
// What breaks it: instances with different N do not exclude each other. Each then finds rows that
// have moved, and fences above its tokens: its saves are refused and repeated. No sale is lost or
// made twice, but it is slow. A stuck row holds up its whole partition.
#include "engine/partition.h"

#include "base/text.h"
#include "domain/ids.h"
#include "guard/guard.h"

#include <string.h>

bool partition_applies(size_t partitions, const struct guard *guard)
{
    return partitions > 0 && strategy_is_lock(guard->strategy);
}

const char *partition_name(size_t partitions, const struct guard *guard, const char *counter,
                           char *ret_name)
{
    if (!partition_applies(partitions, guard))
        return counter;
    uint64_t hash = text_hash(TEXT_HASH_START, counter, strlen(counter));
    hash ^= hash >> 32; // the low bits alone know little of the name
    text_format(ret_name, COUNTER_NAME_MAX + 1, "partition/%zu", (size_t)(hash % partitions));
    return ret_name;
}
