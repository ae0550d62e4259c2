// A hash table from texts to numbers, for a million keys and more: open addressing with linear
// probing, at most half full. Not thread-safe while it is filled.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index_slot {
    const char *text; // NULL: free
    uint32_t hash, number;
};

struct index {
    struct index_slot *slots;
    size_t capacity, count; // a power of two; how many are taken
};

// Room for `expected` texts; the index grows as needed. False: out of memory.
MUST_CHECK bool index_init(struct index *index, size_t expected);
void index_release(struct index *index); // a zeroed one is fine

// The text's number, or INDEX_NONE.
uint32_t index_find(const struct index *index, const char *text);

// ret_number is the text's number; a new text gets `number`. The text is borrowed for the life of
// the index. False: out of memory.
MUST_CHECK bool index_put(struct index *index, const char *text, uint32_t number,
                          uint32_t *ret_number);
