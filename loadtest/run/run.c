// Starts the client threads together, watches them, and stops the run: when its time is over, when
// no operation is left, or at Ctrl-C. Requests in flight are then awaited as long as a request may
// take, and abandoned after that, so that a server that hangs cannot prevent the reports.
#include "run/run.h"

#include "base/clock.h"
#include "control/interrupt.h"
#include "measure/measure.h"
#include "report/report.h"
#include "run/arrival.h"
#include "run/client.h"
#include "run/context.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LATCH_SETTLE_NS (50 * NS_PER_MS) // the server reads all but the last bytes
#define TICK_NS (100 * NS_PER_MS)
#define LIVE_EVERY_NS (500 * NS_PER_MS)
#define SCHEDULE_SLACK_NS NS_PER_S // an open loop catches up with its schedule
#define GRACE_NS (2 * NS_PER_S)    // after the timeout of the last request
#define DRAIN_NS (1 * NS_PER_S)    // after Ctrl-C, for requests in flight

struct threads {
    struct run *run;
    struct client **clients;
    int64_t n;
};

// ---- the live line ------------------------------------------------------------------------------

struct live {
    bool wanted;
    int64_t last_ns;
    struct measure total, recent;
};

static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static double progress(const struct run *run, double elapsed_s, const struct measure *total)
{
    double by_time = run->plan->duration_ns > 0
                         ? elapsed_s * (double)NS_PER_S / (double)run->plan->duration_ns
                         : -1;
    double by_count =
        run->plan->requests > 0 ? (double)total->operations_done / (double)run->plan->requests : -1;
    return fmin(fmax(by_time, by_count), 1);
}

static void show_live(struct live *live, const struct threads *threads, int64_t now_ns)
{
    if (!live->wanted || now_ns - live->last_ns < LIVE_EVERY_NS)
        return;
    measure_clear(&live->total);
    measure_clear(&live->recent);
    for (int64_t i = 0; i < threads->n; i++)
        client_sample(threads->clients[i], &live->total, &live->recent);
    double elapsed_s = (double)(now_ns - threads->run->start_ns) / (double)NS_PER_S;
    struct buffer line CLEANUP(buffer_release) = {0};
    report_live(&live->recent, (double)(now_ns - live->last_ns) / (double)NS_PER_S, &live->total,
                elapsed_s, progress(threads->run, elapsed_s, &live->total), terminal_columns() - 1,
                &line);
    if (!line.failed && line.data != NULL)
        (void)fprintf(stderr, "\r%s\033[K", line.data);
    live->last_ns = now_ns;
}

static void clear_live(const struct live *live)
{
    if (live->wanted)
        (void)fputs("\r\033[K", stderr);
}

// ---- stopping -----------------------------------------------------------------------------------

struct stopper {
    int64_t deadline_ns; // of the next stop level, monotonic; INT64_MAX: none
    bool interrupted;
};

static void set_stop(struct run *run, enum stop_level level)
{
    atomic_store(&run->stop, (int)level);
}

// Waits for a signal, at most for a tick.
static void await_signal(struct run *run, struct stopper *stopper)
{
    if (!interrupt_take(TICK_NS))
        return;
    set_stop(run, stopper->interrupted ? STOP_AT_ONCE : STOP_NO_RETRY);
    stopper->interrupted = true;
    stopper->deadline_ns = clock_now_ns() + DRAIN_NS;
}

static void stop_if_due(struct run *run, struct stopper *stopper, int64_t now_ns)
{
    if (now_ns < stopper->deadline_ns)
        return;
    if (atomic_load(&run->stop) == STOP_NOT) {
        set_stop(run, STOP_NO_NEW);
        stopper->deadline_ns = now_ns + run->plan->timeout_ns + GRACE_NS;
    } else {
        set_stop(run, STOP_AT_ONCE);
        stopper->deadline_ns = INT64_MAX;
    }
}

static void watch(struct threads *threads, struct live *live, struct stopper *stopper)
{
    struct run *run = threads->run;
    const struct plan *plan = run->plan;
    // With a schedule the clients themselves stop at its end, and begin everything up to it.
    int64_t slack_ns = arrival_is_scheduled(plan) ? SCHEDULE_SLACK_NS : 0;
    stopper->deadline_ns =
        plan->duration_ns > 0 ? run->start_ns + plan->duration_ns + slack_ns : INT64_MAX;
    live->last_ns = run->start_ns;
    while (atomic_load(&run->finished) < threads->n) {
        await_signal(run, stopper);
        int64_t now_ns = clock_now_ns();
        stop_if_due(run, stopper, now_ns);
        show_live(live, threads, now_ns);
    }
    clear_live(live);
}

// ---- starting -----------------------------------------------------------------------------------

// A barrier has no timeout, so this thread does not look for signals before all threads have
// passed.
static bool begin_together(struct run *run)
{
    pthread_barrier_wait(&run->opened);
    if (run->failed[0] != '\0')
        return false;
    pthread_barrier_wait(&run->loaded);
    if (run->plan->arrival == ARRIVAL_LATCH)
        clock_sleep_ns(LATCH_SETTLE_NS);
    run->start_ns = clock_now_ns();
    pthread_barrier_wait(&run->go);
    return true;
}

static bool start_threads(struct threads *threads, char *ret_error)
{
    for (int64_t i = 0; i < threads->n; i++) {
        if (!client_new(threads->run, i, &threads->clients[i], ret_error))
            return false;
    }
    for (int64_t i = 0; i < threads->n; i++) {
        if (!client_start(threads->clients[i])) {
            // The threads already started wait at a barrier that will never be passed.
            (void)fprintf(stderr, "holdfast-load: cannot start a thread\n");
            abort();
        }
    }
    return true;
}

static bool prepare(struct run *run, char *ret_error)
{
    const struct plan *plan = run->plan;
    run->addresses = calloc(plan->n_targets, sizeof *run->addresses);
    if (run->addresses == NULL) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    for (size_t i = 0; i < plan->n_targets; i++) {
        if (!target_resolve(&plan->targets[i], &run->addresses[i], ret_error))
            return false;
    }
    unsigned parties = (unsigned)plan->threads + 1;
    pthread_barrier_init(&run->opened, NULL, parties);
    pthread_barrier_init(&run->loaded, NULL, parties);
    pthread_barrier_init(&run->go, NULL, parties);
    pthread_mutex_init(&run->mutex, NULL);
    return true;
}

static bool execute(struct threads *threads, struct stopper *stopper, struct live *live,
                    struct measure *ret_measure, char *ret_error)
{
    struct run *run = threads->run;
    if (!start_threads(threads, ret_error))
        return false;
    bool begun = begin_together(run);
    if (begun)
        watch(threads, live, stopper);
    for (int64_t i = 0; i < threads->n; i++) {
        client_join(threads->clients[i]);
        client_sample(threads->clients[i], ret_measure, NULL);
    }
    if (!begun)
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, run->failed);
    return begun;
}

static void free_threads(struct threads *threads)
{
    for (int64_t i = 0; threads->clients != NULL && i < threads->n; i++)
        client_free(threads->clients[i]);
    free(threads->clients);
    free(threads->run->addresses);
}

bool run_load(const struct plan *plan, const struct scenario *scenario,
              const struct history_head *head, struct history_writer *writer,
              struct measure *ret_measure, struct run_result *ret_result, char *ret_error)
{
    struct run run = {.plan = plan, .scenario = scenario, .head = head, .writer = writer};
    struct threads threads CLEANUP(free_threads) = {.run = &run, .n = plan->threads};
    struct stopper stopper = {.interrupted = false};
    struct live live = {.wanted = !plan->quiet && isatty(STDERR_FILENO) == 1};
    threads.clients = calloc((size_t)threads.n, sizeof *threads.clients);
    if (threads.clients == NULL || !measure_init(&live.total) || !measure_init(&live.recent)) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    interrupt_block();
    bool done =
        prepare(&run, ret_error) && execute(&threads, &stopper, &live, ret_measure, ret_error);
    int64_t last_ns = atomic_load(&run.last_answer_ns);
    if (last_ns == 0)
        last_ns = clock_now_ns() - run.start_ns;
    ret_result->duration_s = done ? (double)last_ns / (double)NS_PER_S : 0;
    ret_result->attempts = atomic_load(&run.attempts);
    ret_result->interrupted = stopper.interrupted;
    measure_release(&live.total);
    measure_release(&live.recent);
    return done;
}
