// Where the texts of a history or a ledger live: allocated one after the other, freed all at once.
// A million keys would else cost a million allocations and as many 16-byte headers.
#pragma once

#include <stddef.h>

struct history_arena;

struct history_arena *arena_new(void);        // NULL: out of memory
void arena_free(struct history_arena *arena); // NULL is fine

// A terminated copy that lives as long as the arena; the same text may give the same pointer. NULL:
// out of memory. One thread.
const char *arena_text(struct history_arena *arena, const char *text, size_t length);
