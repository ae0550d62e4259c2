// A binary heap. Each timer knows its place, so that it can be moved and removed.
#include "run/timers.h"

#include <stdlib.h>

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place - 1] = timer;
    timer->place = place;
}

static struct timer *at(const struct timers *timers, size_t place)
{
    return timers->heap[place - 1];
}

static void sift_up(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    for (; place > 1 && at(timers, place / 2)->due_ns > timer->due_ns; place /= 2)
        put(timers, place, at(timers, place / 2));
    put(timers, place, timer);
}

static void sift_down(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    for (;;) {
        size_t child = 2 * place;
        if (child + 1 <= timers->n && at(timers, child + 1)->due_ns < at(timers, child)->due_ns)
            child++;
        if (child > timers->n || at(timers, child)->due_ns >= timer->due_ns)
            break;
        put(timers, place, at(timers, child));
        place = child;
    }
    put(timers, place, timer);
}

bool timers_set(struct timers *timers, struct timer *timer, int64_t due_ns)
{
    timers_cancel(timers, timer);
    if (timers->n == timers->capacity) {
        size_t capacity = timers->capacity > 0 ? 2 * timers->capacity : 64;
        struct timer **grown = realloc(timers->heap, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        timers->heap = grown;
        timers->capacity = capacity;
    }
    timer->due_ns = due_ns;
    put(timers, ++timers->n, timer);
    sift_up(timers, timer);
    return true;
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (timer->place == 0)
        return;
    struct timer *last = at(timers, timers->n--);
    if (last != timer) {
        put(timers, timer->place, last);
        sift_up(timers, last);
        sift_down(timers, last);
    }
    timer->place = 0;
}

struct timer *timers_pop(struct timers *timers, int64_t now_ns)
{
    if (timers->n == 0 || at(timers, 1)->due_ns > now_ns)
        return NULL;
    struct timer *first = at(timers, 1);
    timers_cancel(timers, first);
    return first;
}

int64_t timers_next(const struct timers *timers)
{
    return timers->n > 0 ? at(timers, 1)->due_ns : INT64_MAX;
}

void timers_release(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}
