// A hash table from texts to numbers. Texts are compared only if 32 bits of their hashes are equal,
// so a look-up usually touches one slot and one text.
#include "history/index.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static uint32_t hash_of(const char *text)
{
    uint64_t hash = text_hash(TEXT_HASH_START, text, strlen(text));
    return (uint32_t)(hash ^ (hash >> 32));
}

bool index_init(struct index *index, size_t expected)
{
    size_t capacity = 16;
    while (capacity < 2 * expected)
        capacity *= 2;
    *index = (struct index){.slots = calloc(capacity, sizeof *index->slots), .capacity = capacity};
    return index->slots != NULL;
}

void index_release(struct index *index)
{
    free(index->slots);
    *index = (struct index){0};
}

// The text's slot, or the free one where it belongs.
static struct index_slot *find_slot(const struct index *index, const char *text, uint32_t hash)
{
    size_t at = hash & (index->capacity - 1);
    for (;;) {
        struct index_slot *slot = &index->slots[at];
        if (slot->text == NULL || (slot->hash == hash && strcmp(slot->text, text) == 0))
            return slot;
        at = (at + 1) & (index->capacity - 1);
    }
}

uint32_t index_find(const struct index *index, const char *text)
{
    const struct index_slot *slot = find_slot(index, text, hash_of(text));
    return slot->text != NULL ? slot->number : INDEX_NONE;
}

static bool grow(struct index *index)
{
    struct index larger;
    if (!index_init(&larger, index->capacity))
        return false;
    for (size_t i = 0; i < index->capacity; i++) {
        const struct index_slot *slot = &index->slots[i];
        if (slot->text != NULL)
            *find_slot(&larger, slot->text, slot->hash) = *slot;
    }
    larger.count = index->count;
    index_release(index);
    *index = larger;
    return true;
}

bool index_put(struct index *index, const char *text, uint32_t number, uint32_t *ret_number)
{
    if (2 * index->count >= index->capacity && !grow(index))
        return false;
    uint32_t hash = hash_of(text);
    struct index_slot *slot = find_slot(index, text, hash);
    if (slot->text == NULL) {
        *slot = (struct index_slot){text, hash, number};
        index->count++;
    }
    *ret_number = slot->number;
    return true;
}
