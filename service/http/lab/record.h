// The record of a run: what its requests have done, in the order in which they did it.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum lab_step {
    LAB_SUBMIT,  // the request is queued
    LAB_LOCK,    // inside the guard: the section begins
    LAB_READ,    // decided; version and remaining as read
    LAB_SAVE,    // committed; version and remaining as written
    LAB_LEAVE,   // about to leave the guard
    LAB_ANSWER,  // rc, and version and remaining as answered
    LAB_EXPIRED, // the lock's lease has ended while its holder was inside
    LAB_STEP_COUNT
};

extern const char *const lab_step_names[LAB_STEP_COUNT];

struct lab_event {
    int64_t t_us; // since the start of the run
    int64_t version, remaining;
    size_t actor;
    enum lab_step step;
    enum rc rc; // of LAB_ANSWER: RC_COUNT if the answer was lost
};

struct record {
    struct lab_event *events;
    size_t capacity;
    _Atomic size_t n; // events[0..n) do not change any more
    _Atomic size_t dropped;
    int64_t start_ns;      // monotonic
    pthread_mutex_t mutex; // held while one is added
};

// RC_NO_MEMORY.
MUST_CHECK enum rc record_init(struct record *record, size_t capacity);
void record_release(struct record *record); // only after record_init has returned RC_OK

// Sets the time. Beyond the capacity an event is counted as dropped. Any thread.
void record_add(struct record *record, struct lab_event event);
