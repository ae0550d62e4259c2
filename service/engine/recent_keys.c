// A table of hashes. Each key has two places; a new key takes the first, and moves what was there to
// the second. So a key is forgotten when two others have taken its places, after about SLOTS keys,
// which is several seconds at full speed. With one place each, a thousand keys that repeat would
// lose one of theirs to new keys in nearly every batch.
#include "engine/recent_keys.h"

#include "base/text.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define SLOTS (1 << 18)

struct recent_keys {
    _Atomic uint32_t hashes[SLOTS]; // 0: empty
};

struct recent_keys *recent_keys_new(void)
{
    return calloc(1, sizeof(struct recent_keys));
}

void recent_keys_free(struct recent_keys *recent)
{
    free(recent);
}

// The first of the key's two places. ret_hash: of bits that do not choose the place.
static _Atomic uint32_t *places_of(struct recent_keys *recent, const char *key, uint32_t *ret_hash)
{
    uint64_t hash = text_hash_text(TEXT_HASH_START, key);
    *ret_hash = (uint32_t)(hash >> 32) | 1;
    return &recent->hashes[hash % (SLOTS / 2) * 2];
}

void recent_keys_add(struct recent_keys *recent, const char *key)
{
    uint32_t hash;
    _Atomic uint32_t *places = places_of(recent, key, &hash);
    uint32_t first = atomic_load_explicit(&places[0], memory_order_relaxed);
    if (first == hash)
        return;
    // Another thread's key may be lost in between.
    atomic_store_explicit(&places[1], first, memory_order_relaxed);
    atomic_store_explicit(&places[0], hash, memory_order_relaxed);
}

bool recent_keys_have(struct recent_keys *recent, const char *key)
{
    uint32_t hash;
    _Atomic uint32_t *places = places_of(recent, key, &hash);
    return atomic_load_explicit(&places[0], memory_order_relaxed) == hash ||
           atomic_load_explicit(&places[1], memory_order_relaxed) == hash;
}
