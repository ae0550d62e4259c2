// A growing array of counters with an index of their names. The array moves while it grows, so the
// index has copies of the names.
#include "history/counters.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

bool counters_init(struct counters *counters, struct history_head *head,
                   struct history_arena *arena, size_t expected)
{
    *counters = (struct counters){.head = head, .arena = arena};
    counters->capacity = expected > 0 ? expected : 1;
    head->counters = calloc(counters->capacity, sizeof *head->counters);
    return head->counters != NULL && index_init(&counters->index, expected);
}

void counters_release(struct counters *counters)
{
    index_release(&counters->index);
}

static bool grow(struct counters *counters)
{
    struct history_head *head = counters->head;
    if (head->n_counters < counters->capacity)
        return true;
    size_t larger = counters->capacity + counters->capacity / 2 + 64;
    void *grown = realloc(head->counters, larger * sizeof *head->counters);
    if (grown == NULL)
        return false;
    head->counters = grown;
    counters->capacity = larger;
    return true;
}

bool counters_add(struct counters *counters, const struct history_counter *counter, bool *ret_new)
{
    struct history_head *head = counters->head;
    uint32_t number = (uint32_t)head->n_counters, found;
    const char *name = arena_text(counters->arena, counter->name, strlen(counter->name));
    if (name == NULL || !grow(counters) || !index_put(&counters->index, name, number, &found))
        return false;
    *ret_new = found == number;
    if (*ret_new)
        head->counters[head->n_counters++] = *counter;
    return true;
}

// Whether the name is that of a counter that may begin: "hold/...".
static bool begins(const char *name, enum counter_kind *ret_kind)
{
    for (int i = 0; i < COUNTER_KIND_COUNT; i++) {
        enum counter_kind kind = (enum counter_kind)i;
        size_t length = strlen(counter_kind_name(kind));
        if (!counter_kind_begins(kind) || strncmp(name, counter_kind_name(kind), length) != 0 ||
            name[length] != '/' || name[length + 1] == '\0')
            continue;
        *ret_kind = kind;
        return true;
    }
    return false;
}

bool counters_find(struct counters *counters, const char *name, size_t *ret_counter)
{
    uint32_t found = index_find(&counters->index, name);
    struct history_counter counter = {0};
    bool is_new;
    *ret_counter = found != INDEX_NONE ? found : counters->head->n_counters;
    if (found != INDEX_NONE)
        return true;
    return begins(name, &counter.kind) && counters->head->n_counters < INDEX_NONE &&
           text_copy(counter.name, sizeof counter.name, name) &&
           counters_add(counters, &counter, &is_new);
}
