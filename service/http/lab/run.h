// One run of the laboratory: a crowd of requests on engines of its own, over a database of its own,
// and what reconciliation says of that database afterwards.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/guard.h"
#include "http/call.h"
#include "http/lab/lab.h"
#include "http/lab/record.h"
#include "http/lab/scenario.h"
#include "http/lab/scratch.h"
#include "http/route.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_INSTANCES_MAX 2
#define RUN_FINDINGS_MAX 20

// Ended states come last.
enum run_state { RUN_PREPARING, RUN_RUNNING, RUN_CHECKING, RUN_ENDED, RUN_CANCELLED, RUN_FAILED };

struct run;

// Sends the requests of one buyer, one after the other. With duplicates a buyer has several actors.
// The runner's thread owns it, except the call while an engine has its job. A hook runs on that
// engine's worker meanwhile.
struct actor {
    struct run *run;
    size_t number, buyer;
    const struct lab_act *act; // the request that is next or under way
    struct actor *next;        // in the list of those that an engine has finished with
    struct call call;
    char key[REQUEST_KEY_MAX + 1];
    char reservation[RESERVATION_ID_MAX + 1]; // $r
    size_t instance, tries;
    bool submitted, done;

    // Under the run's mutex.
    size_t permits; // manual: steps granted and not used
    bool waiting;   // manual: stands at a stop
    bool left;      // it is in no section
    bool slept;
    bool holds; // the misplaced lock, by `hold`
    struct guard_hold hold;
    enum lab_step at; // the last step
};

struct run_finding {
    char check[40], where[256], what[256];
};

struct run_verdict {
    int64_t sold, limit, n_findings;
    int64_t remaining; // of the row to watch; for points the sum of all accounts
    size_t n;
    struct run_finding findings[RUN_FINDINGS_MAX];
    char sentence[200];
};

struct run {
    char id[ID_MAX + 1];
    const struct lab_scenario *scenario;
    struct lab_settings settings;
    const struct lab_options *options;
    struct record record;
    struct lab_scratch scratch;
    struct guard_settings guards;
    struct metrics *metrics[RUN_INSTANCES_MAX];
    struct engine *engines[RUN_INSTANCES_MAX];
    struct guard *guard; // of the misplaced lock; NULL if there is none
    struct http_context context;
    struct actor *actors;
    size_t n_actors;
    struct actor clerk; // makes what the run begins with; its number is SIZE_MAX
    _Atomic bool cancelled;
    pthread_t thread;
    bool started; // the thread

    pthread_mutex_t mutex; // protects everything below
    pthread_cond_t changed;
    struct actor *finished;
    enum run_state state;
    size_t n_answered, n_accepted, n_refused, n_failed, n_replayed;
    int64_t ended_ns;            // monotonic; 0: it goes on
    char why[SCRATCH_ERROR_MAX]; // of RUN_FAILED
    struct run_verdict verdict;  // of RUN_ENDED
};

// run.c. Starts the run's thread. The options are borrowed until run_free. RC_NO_MEMORY.
MUST_CHECK enum rc run_new(const struct lab_options *options, const char *id,
                           const struct lab_scenario *scenario, const struct lab_settings *settings,
                           struct run **ret_run);
void run_cancel(struct run *run); // does not wait
void run_free(struct run *run);   // cancels, and waits for the thread; NULL is fine

// Manual runs: lets an actor go to its next stop. False if there is no such actor.
bool run_step(struct run *run, size_t actor);
// Whether it stands at a stop, or is done and has left the guard.
bool run_has_arrived(struct run *run, size_t actor);
// With the run's mutex held, or on its thread.
bool run_is_over(const struct run *run);

// actor.c: requests without HTTP. On the run's thread.
//
// Begins the actor's next request, or submits it if it was begun before.
void actor_start(struct actor *actor);
// After an engine has finished with its job. False: the request needs another step, which was
// submitted. True: it is answered, with actor->call.rc.
bool actor_resume(struct actor *actor);
// Sends one request to the first engine, and waits. RC_OK or the refusal.
MUST_CHECK enum rc actor_do(struct run *run, const struct lab_act *act);
void actor_release(struct actor *actor);

// hooks.c: what happens at the pause points of the run's engines.
struct engine_hooks run_hooks(struct run *run);
void run_note(struct actor *actor, struct lab_event event);
// The operation's leg of the scenario's counter, so that the record has the versions of one counter.
size_t run_leg(const struct run *run, struct operation *operation);

// verdict.c. After the engines have drained. RC_OK, or a sentence in run->why.
MUST_CHECK enum rc run_judge(struct run *run);

// write.c: JSON. With the run's mutex held.
struct run_view {
    int64_t after, limit; // events
    bool events;
};
void run_write(struct run *run, const struct run_view *view, struct buffer *out);
