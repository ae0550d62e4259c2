// Random numbers as a function of the run's seed, a stream and an index, so that a run can be
// repeated exactly, however its threads are scheduled. Not for secrets.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// What a number is used for. The same seed and n give unrelated numbers in two streams.
enum seeded_stream {
    SEEDED_KIND,
    SEEDED_SKU,
    SEEDED_ACCOUNT,
    SEEDED_PARTNER, // the other account of a transfer
    SEEDED_READ,    // of a product or of an account
    SEEDED_ARRIVAL,
    SEEDED_LINES, // how many a reservation has
    SEEDED_ORDER, // whether it spends points
    SEEDED_BACK,  // what its user does next
    SEEDED_THEN,  // what its user does next
    SEEDED_LEAVE, // whether the user of a reservation goes away
    SEEDED_PART,  // whether the user confirms a part of it
    SEEDED_CODE,  // whether an order has a coupon's code
    SEEDED_OWNER, // whether that code is of another user
    SEEDED_KEY_HIGH,
    SEEDED_KEY_LOW, // the halves of a UUID
    SEEDED_LINE,    // and the numbers above it, for each line but the first
    SEEDED_PLACEHOLDER =
        SEEDED_LINE + 64, // and the numbers above it: one stream for each piece of a template
};

// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit depends on every bit.
static inline uint64_t seeded_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static inline uint64_t seeded(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint64_t start = seeded_mix(seed + (stream + 1) * UINT64_C(0x9e3779b97f4a7c15));
    return seeded_mix(start + (n + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

// A number below the bound (bound > 0). The bias is at most bound / 2^64.
static inline uint64_t seeded_below(uint64_t random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random * bound) >> 64);
}

// Above 0, up to 1, so that its logarithm is finite.
static inline double seeded_unit(uint64_t random)
{
    return (double)((random >> 11) + 1) * 0x1p-53;
}

// Whether the n-th one is in a share (0 to 1) of all.
static inline bool seeded_share(uint64_t seed, uint64_t stream, int64_t n, double share)
{
    return seeded_unit(seeded(seed, stream, (uint64_t)n)) <= share;
}
