// What the files of a client thread share. An operation has one or more shots: the requests that
// are sent for it. A line is a connection with the shot that it carries.
#pragma once

#include "run/answer.h"
#include "run/arrival.h"
#include "run/client.h"
#include "run/scenario.h"
#include "run/template.h"
#include "run/timers.h"

struct operation {
    int64_t n;
    struct task task;
    char key[HISTORY_TEXT_MAX + 1], user[24];
    int64_t begun_ns;     // its intended start, since the run began
    int64_t shots, alive; // shots made so far, and those not yet finished
    int64_t retries_left;
    bool ok;
    struct operation *next; // in the pool
};

struct shot {
    struct timer timer; // until it is due
    struct operation *operation;
    int64_t number;      // of the operation's shots
    int64_t intended_ns; // since the run began; -1: when it is sent
    int64_t invoke_ns;   // since the run began
    int64_t queued_ns;   // monotonic
    struct shot *next;   // in the ready queue, or in the pool
};

struct line {
    struct connection connection;
    size_t target;
    struct shot *shot;
    struct timer reopen;
    int64_t backoff_ns;
    int64_t deadline_ns;        // monotonic; of opening or of the answer
    struct line *older, *newer; // among those with a deadline, which all have the same patience
    struct line *idle_next;
    bool watched, idle;
};

struct client {
    struct run *run;
    const struct plan *plan;
    int64_t number;
    pthread_t thread;
    int epoll;
    int64_t now_ns; // monotonic, as of the last look
    struct line *lines;
    size_t n_lines, n_up;
    struct line *idle_first, *idle_last;
    struct line *oldest, *newest;
    struct timers due, reopening; // of shots, of lines
    struct shot *ready_first, *ready_last;
    struct shot *spare_shots;
    struct operation *spare_operations;
    int64_t alive;               // shots that are not finished
    bool exhausted;              // no operations are left to begin
    struct template **templates; // of each target and kind of request
    size_t n_requests;
    struct arrival arrival;
    int64_t next_arrival_ns; // since the run began
    uint64_t random;
    bool failed_to_allocate;
    int64_t last_answer_ns; // since the run began

    pthread_mutex_t mutex; // over the three below
    struct measure measure;
    struct measure recent;
    struct buffer history;
};

static inline int client_stop(const struct client *client)
{
    return atomic_load_explicit(&client->run->stop, memory_order_relaxed);
}

// ---- client_begin.c ----------------------------------------------------------------------------

void client_open_all(struct client *client);   // or the run has failed
bool client_run_failed(struct client *client); // and says why
void client_load_latch(struct client *client); // all requests but for their last bytes
void client_begin(struct client *client);      // the run has begun: the first operations

// ---- lines.c -----------------------------------------------------------------------------------

void line_idle(struct client *client, struct line *line);
struct line *line_take(struct client *client); // an idle one that is up, or NULL
void line_open(struct client *client, struct line *line);

// Renders the shot's request, ready to be sent; line_invoke sends it: from then on it may have its
// effect.
void line_load(struct client *client, struct line *line, struct shot *shot);
void line_invoke(struct client *client, struct line *line);

// Closes it, opens it again later, and ends its shot, if it has one, as not answered.
void line_broken(struct client *client, struct line *line, const char *why);

void line_event(struct client *client, struct line *line, uint32_t events);
void lines_pump(struct client *client); // ready shots onto idle lines

// ---- operations.c ------------------------------------------------------------------------------

// Begins the next operation: a shot, or two, into the ready queue, or later if there is to be time
// to think. False if none is left. intended_ns since the run began, or -1 for "when it is sent".
bool operation_begin(struct client *client, int64_t intended_ns, bool think);

// Its first shot is about to go out: counts it, and notes when it was meant to.
void operation_mark_begun(struct client *client, const struct shot *shot);

// The shot is over. Counts it, writes its history line if it was sent (at a target), and sees to
// what follows: a retry, the end of the operation, the user's next one. Frees the shot.
void shot_finish(struct client *client, struct shot *shot, const struct answer *answer,
                 size_t target);
void shot_never_sent(struct client *client, struct shot *shot, const char *why);
void shot_forget(struct client *client, struct shot *shot); // as if it had not been wanted

void ready_push(struct client *client, struct shot *shot);
struct shot *ready_pop(struct client *client); // NULL if there is none

// Shots whose moment has come go to the ready queue; when stopping, those that need not be sent go.
void shots_due(struct client *client);
void shots_drop(struct client *client); // all that are not on a line

void pools_release(struct client *client);

// ---- record.c ----------------------------------------------------------------------------------

#define NOT_SENT SIZE_MAX

// Counts what came of a shot, and writes its line. target NOT_SENT: it never went out.
void record_shot(struct client *client, const struct shot *shot, const struct answer *answer,
                 size_t target);
void record_begin(struct client *client);
void record_end(struct client *client, const struct operation *operation);
void record_sent(struct client *client, size_t bytes);
void record_connect_failure(struct client *client, const char *why);
void record_flush(struct client *client, bool all);
