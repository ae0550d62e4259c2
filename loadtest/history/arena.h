// An arena for the texts of a history or a ledger: allocated one after the other, freed all at
// once. Without it, a million keys cost a million allocations and as many 16-byte headers.
#pragma once

#include <stddef.h>

struct history_arena;

struct history_arena *arena_new(void);        // NULL: out of memory
void arena_free(struct history_arena *arena); // NULL is fine

// Returns a terminated copy, owned by the arena; equal texts may share one. NULL: out of memory.
// Not thread-safe.
const char *arena_text(struct history_arena *arena, const char *text, size_t length);
