// Numbers for the names of keys, the lowest first, each used by one stay at a time and then again.
//
// etcd remembers every name that was ever used until it is compacted, and listing a line walks over
// all of them. With a name of its own for every lock a hot line is soon slow to list.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define ETCD_SLOT_WORDS 64 // of 64 slots; more stays than that are never under way

struct etcd_slots {
    _Atomic uint64_t used[ETCD_SLOT_WORDS];
};

// -1: all are taken. Any thread.
static inline int etcd_slots_take(struct etcd_slots *slots)
{
    for (int i = 0; i < ETCD_SLOT_WORDS; i++) {
        uint64_t used = atomic_load(&slots->used[i]);
        while (~used != 0) {
            int bit = __builtin_ctzll(~used);
            if (atomic_compare_exchange_weak(&slots->used[i], &used, used | UINT64_C(1) << bit))
                return i * 64 + bit;
        }
    }
    return -1;
}

// Only when nothing with this number is in etcd any more, nor will be.
static inline void etcd_slots_give(struct etcd_slots *slots, int slot)
{
    atomic_fetch_and(&slots->used[slot / 64], ~(UINT64_C(1) << (slot % 64)));
}
