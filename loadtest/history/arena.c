// An arena of texts: blocks of 256 KiB, filled from the front. A table of 1,024 slots, chosen by
// hash, holds the text last stored for each slot. So frequent texts ("deduct", "redis-lock", a busy
// user) are rarely stored twice.
#include "history/arena.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (256u * 1024)
#define RECENT 1024 // a power of two

struct block {
    struct block *next;
    char bytes[];
};

struct history_arena {
    struct block *blocks;
    size_t used, size; // of the newest block, the first in the list
    const char *recent[RECENT];
};

struct history_arena *arena_new(void)
{
    return calloc(1, sizeof(struct history_arena));
}

void arena_free(struct history_arena *arena)
{
    if (arena == NULL)
        return;
    for (struct block *block = arena->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(arena);
}

static char *reserve(struct history_arena *arena, size_t length)
{
    if (arena->size - arena->used < length) {
        size_t size = length > BLOCK_SIZE ? length : BLOCK_SIZE;
        struct block *block = malloc(sizeof *block + size);
        if (block == NULL)
            return NULL;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->size = size;
        arena->used = 0;
    }
    char *place = arena->blocks->bytes + arena->used;
    arena->used += length;
    return place;
}

const char *arena_text(struct history_arena *arena, const char *text, size_t length)
{
    if (length == 0)
        return "";
    const char **recent = &arena->recent[text_hash(TEXT_HASH_START, text, length) % RECENT];
    if (*recent != NULL && strncmp(*recent, text, length) == 0 && (*recent)[length] == '\0')
        return *recent;
    char *copy = reserve(arena, length + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return *recent = copy;
}
