// One job at a time aside from the workers, on a thread and a database connection of its own that
// last as long as the job: for what may run for hours. A worker's connection gives up a statement
// after seconds, and there are few workers.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct aside;
struct job;
struct store;

// The store is borrowed. RC_NO_MEMORY.
MUST_CHECK enum rc aside_new(struct store *store, struct aside **ret_aside);

// Stops, then frees. NULL is fine.
void aside_free(struct aside *aside);

// Runs job->run, without a deadline; job->finished is called on that thread and must not submit
// another. Any thread; never waits for I/O. RC_RECONCILIATION_RUNNING while another job is under
// way (reconciliations are all that runs here), RC_OVERLOADED once stopped, RC_NO_MEMORY if there
// is no thread to be had: the job was not taken.
MUST_CHECK enum rc aside_submit(struct aside *aside, struct job *job);

// Takes no more jobs, cancels the one under way and waits until it is finished: a moment, or as
// long as it takes to give up a connect that is not answered. Unless it was done already it is
// finished with RC_OVERLOADED. NULL is fine.
void aside_stop(struct aside *aside);
