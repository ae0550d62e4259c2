// Records rate and latency over time.
//
// Problem: the length of a run is not known beforehand, and memory must be fixed.
//
// Approach: a table of slots of equal width. When a time lies beyond the last slot, each two
// neighbours are merged and all widths double. Every width is therefore the first one times a power
// of two, and a slot of one timeline lies completely within one slot of any wider timeline.
//
// What breaks it: a single time far in the future makes all slots wide. Only timeline_clear makes
// them narrow again.
#include "measure/timeline.h"

#include <stdlib.h>
#include <string.h>

static void slot_merge(struct slot *into, const struct slot *other)
{
    for (size_t i = 0; i < ANSWER_CLASSES; i++)
        into->counts[i] += other->counts[i];
    histogram_merge(&into->latency, &other->latency);
}

static void slot_clear(struct slot *slot)
{
    memset(slot->counts, 0, sizeof slot->counts);
    histogram_clear(&slot->latency);
}

bool timeline_init(struct timeline *timeline)
{
    *timeline = (struct timeline){.slot_ns = TIMELINE_SLOT_NS};
    timeline->slots = calloc(TIMELINE_SLOTS, sizeof *timeline->slots);
    bool made = timeline->slots != NULL;
    for (size_t i = 0; made && i < TIMELINE_SLOTS; i++)
        made = histogram_init(&timeline->slots[i].latency, 1);
    if (!made)
        timeline_release(timeline);
    return made;
}

void timeline_release(struct timeline *timeline)
{
    for (size_t i = 0; timeline->slots != NULL && i < TIMELINE_SLOTS; i++)
        histogram_release(&timeline->slots[i].latency);
    free(timeline->slots);
    *timeline = (struct timeline){0};
}

// Swaps slots instead of copying them: each merged slot takes the place of an empty one, which
// moves to where the full one was.
static void widen(struct timeline *timeline)
{
    struct slot *slots = timeline->slots;
    for (size_t i = 0; 2 * i < timeline->n_slots; i++) {
        struct slot empty = slots[i];
        slots[i] = slots[2 * i];
        slots[2 * i] = empty;
        slot_merge(&slots[i], &slots[2 * i + 1]);
        slot_clear(&slots[2 * i + 1]);
    }
    timeline->n_slots = (timeline->n_slots + 1) / 2;
    timeline->slot_ns *= 2;
}

static struct slot *slot_at(struct timeline *timeline, int64_t at_ns)
{
    if (at_ns < 0)
        at_ns = 0;
    while (at_ns / timeline->slot_ns >= TIMELINE_SLOTS)
        widen(timeline);
    size_t slot = (size_t)(at_ns / timeline->slot_ns);
    if (slot >= timeline->n_slots)
        timeline->n_slots = slot + 1;
    return &timeline->slots[slot];
}

void timeline_add(struct timeline *timeline, int64_t at_ns, enum answer_class answer,
                  int64_t latency_ns)
{
    struct slot *slot = slot_at(timeline, at_ns);
    slot->counts[answer]++;
    histogram_add(&slot->latency, latency_ns);
}

void timeline_merge(struct timeline *into, const struct timeline *other)
{
    // Begins with the last slot, so that `into` gets its final width at once.
    for (size_t i = other->n_slots; i-- > 0;)
        slot_merge(slot_at(into, (int64_t)i * other->slot_ns), &other->slots[i]);
}

void timeline_clear(struct timeline *timeline)
{
    for (size_t i = 0; i < timeline->n_slots; i++)
        slot_clear(&timeline->slots[i]);
    timeline->n_slots = 0;
    timeline->slot_ns = TIMELINE_SLOT_NS;
}
