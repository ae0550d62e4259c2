// Runs one long job at a time, on a thread and a database connection that last as long as the job.
// For jobs that may run for hours, such as reconciliation: a worker's connection times out a
// statement after seconds, and there are few workers.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct background;
struct job;
struct store;

// The store is borrowed. RC_NO_MEMORY.
MUST_CHECK enum rc background_new(struct store *store, struct background **ret_background);

// Stops, then frees. NULL is fine.
void background_free(struct background *background);

// Runs job->run without a deadline; job->finished is called on that thread and must not submit
// another job. Any thread; never blocks on I/O. RC_RECONCILIATION_RUNNING while another job runs
// (reconciliations are the only such jobs), RC_OVERLOADED once stopped, RC_NO_MEMORY if no thread
// can be started: the job was not taken.
MUST_CHECK enum rc background_submit(struct background *background, struct job *job);

// Takes no more jobs, cancels the running job and waits until it is finished: a moment, or until an
// unanswered connect times out. A job that had not succeeded by then finishes with RC_OVERLOADED.
// NULL is fine.
void background_stop(struct background *background);
