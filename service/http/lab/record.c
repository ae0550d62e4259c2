#include "http/lab/record.h"

#include "base/clock.h"

#include <stdlib.h>

const char *const lab_step_names[LAB_STEP_COUNT] = {
    [LAB_SUBMIT] = "submit",   [LAB_LOCK] = "lock",   [LAB_READ] = "read",
    [LAB_SAVE] = "save",       [LAB_LEAVE] = "leave", [LAB_ANSWER] = "answer",
    [LAB_EXPIRED] = "expired",
};

enum rc record_init(struct record *record, size_t capacity)
{
    *record = (struct record){.capacity = capacity, .start_ns = clock_now_ns()};
    record->events = calloc(capacity, sizeof *record->events);
    if (record->events == NULL)
        return RC_NO_MEMORY;
    pthread_mutex_init(&record->mutex, NULL);
    return RC_OK;
}

void record_release(struct record *record)
{
    pthread_mutex_destroy(&record->mutex);
    free(record->events);
}

void record_add(struct record *record, struct lab_event event)
{
    pthread_mutex_lock(&record->mutex);
    size_t n = atomic_load_explicit(&record->n, memory_order_relaxed);
    if (n == record->capacity) {
        atomic_fetch_add(&record->dropped, 1);
    } else {
        event.t_us = (clock_now_ns() - record->start_ns) / 1000;
        record->events[n] = event;
        atomic_store_explicit(&record->n, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&record->mutex);
}
