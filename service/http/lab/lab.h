// The laboratory: plays one run at a time, beside the shop, and lets clients watch it. It exists in
// laboratory mode only. The calls are in api/lab.c.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/guard.h"
#include "http/lab/scenario.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct call;
struct job;
struct lab;

struct lab_options {
    const char *store;           // scratch.h; "" for a temporary SQLite file
    struct guard_settings guard; // the addresses of the lock servers, and the instance's name
    // The router's: finds the route of a request that the laboratory makes (http/api/router.h).
    enum rc (*find_route)(struct call *call, bool lab);
};

// As a JSON object, with these names in POST /v1/lab/runs.
void lab_settings_write(const struct lab_settings *settings, const char *key, struct buffer *out);

// Starts a thread. The options' texts are borrowed until lab_free. RC_NO_MEMORY.
MUST_CHECK enum rc lab_new(const struct lab_options *options, struct lab **ret_lab);

// Cancels the run, finishes the jobs that wait, and takes no more. Any thread.
void lab_quiesce(struct lab *lab); // NULL is fine
void lab_free(struct lab *lab);    // NULL is fine

// Starts a run with a new id, which it writes into ret_id (ID_MAX + 1 bytes). RC_LAB_BUSY while
// another has not ended. RC_NO_MEMORY, RC_OVERLOADED once quiesced.
MUST_CHECK enum rc lab_start(struct lab *lab, const struct lab_scenario *scenario,
                             const struct lab_settings *settings, char *ret_id);

// Waits until there is something to tell. The caller owns the memory until the job is finished.
struct lab_wait {
    struct lab_wait *next; // the laboratory's
    struct job *job;
    const char *id;   // of the run
    int64_t after;    // events after this one
    int64_t actor;    // or, unless -1: until this actor has arrived at its next stop
    int64_t until_ns; // monotonic
    int state;        // of the run when the wait began; the laboratory's
};

// Finishes wait->job, on a thread of the laboratory, with RC_OK. RC_NOT_FOUND: there is no such
// run; RC_OVERLOADED once quiesced: the job is not finished.
MUST_CHECK enum rc lab_wait(struct lab *lab, struct lab_wait *wait);

// For a manual run: lets the actor go on. RC_NOT_FOUND: no such run; RC_INVALID_FIELD: the run has
// no such actor, or is not manual.
MUST_CHECK enum rc lab_step(struct lab *lab, const char *id, int64_t actor);

// Cancels a run that goes on. RC_NOT_FOUND.
MUST_CHECK enum rc lab_cancel(struct lab *lab, const char *id);

// Writes a run as a JSON object: `events` of them at most behind `after`, or none if negative.
// id NULL: the last run, or null. RC_NOT_FOUND.
MUST_CHECK enum rc lab_write(struct lab *lab, const char *id, int64_t after, int64_t events,
                             const char *key, struct buffer *out);
