// Begins the threads together, watches them, and ends the run: when its time is over, when there is
// nothing left to do, or at Ctrl-C. What has been sent is awaited as long as a request may take,
// and then given up, so that a server that stands still cannot keep the reports from being written.
#include "run/run.h"

#include "base/clock.h"
#include "report/report.h"
#include "run/client.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LATCH_SETTLES_NS (50 * NS_PER_MS) // for the server to read all but the last bytes
#define TICK_NS (100 * NS_PER_MS)
#define LIVE_EVERY_NS (500 * NS_PER_MS)
#define SCHEDULE_SLACK_NS NS_PER_S // for an open loop to catch up with what is overdue
#define GRACE_NS (2 * NS_PER_S)    // behind the timeout of the last request
#define DRAIN_NS (1 * NS_PER_S)    // behind Ctrl-C

struct threads {
    struct run *run;
    struct client **clients;
    int64_t n;
};

// ---- the live line -----------------------------------------------------------------------------

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

// ---- the end -----------------------------------------------------------------------------------

struct ending {
    sigset_t signals;
    int64_t deadline_ns; // monotonic: when the next level begins; INT64_MAX: never
    bool interrupted;
};

static void stop(struct run *run, enum stop_level level)
{
    atomic_store(&run->stop, (int)level);
}

// Takes a signal, or lets a tick pass.
static void await_tick(struct run *run, struct ending *ending)
{
    const struct timespec tick = {.tv_nsec = TICK_NS};
    if (sigtimedwait(&ending->signals, NULL, &tick) < 0)
        return;
    stop(run, ending->interrupted ? STOP_AT_ONCE : STOP_NO_RETRY);
    ending->interrupted = true;
    ending->deadline_ns = clock_now_ns() + DRAIN_NS;
}

static void judge_time(struct run *run, struct ending *ending, int64_t now_ns)
{
    if (now_ns < ending->deadline_ns)
        return;
    if (atomic_load(&run->stop) == STOP_NOT) {
        stop(run, STOP_NO_NEW);
        ending->deadline_ns = now_ns + run->plan->timeout_ns + GRACE_NS;
    } else {
        stop(run, STOP_AT_ONCE);
        ending->deadline_ns = INT64_MAX;
    }
}

static void watch(struct threads *threads, struct live *live, struct ending *ending)
{
    struct run *run = threads->run;
    const struct plan *plan = run->plan;
    // In an open loop the clients themselves see to it that their schedule ends, and is whole.
    bool open = plan->arrival != ARRIVAL_CLOSED && plan->arrival != ARRIVAL_LATCH;
    ending->deadline_ns = plan->duration_ns > 0
                              ? run->start_ns + plan->duration_ns + (open ? SCHEDULE_SLACK_NS : 0)
                              : INT64_MAX;
    live->last_ns = run->start_ns;
    while (atomic_load(&run->finished) < threads->n) {
        await_tick(run, ending);
        int64_t now_ns = clock_now_ns();
        judge_time(run, ending, now_ns);
        show_live(live, threads, now_ns);
    }
    clear_live(live);
}

// ---- the beginning -----------------------------------------------------------------------------

// Barriers have no time limit, so a thread that waits for a signal here would wait for ever:
// signals are looked at only once the threads are through.
static bool begin_together(struct run *run)
{
    pthread_barrier_wait(&run->opened);
    if (run->failed[0] != '\0')
        return false;
    pthread_barrier_wait(&run->loaded);
    if (run->plan->arrival == ARRIVAL_LATCH)
        clock_sleep_ns(LATCH_SETTLES_NS);
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
            // Those that run already wait at a barrier that will never be passed.
            (void)fprintf(stderr, "holdfast-load: no thread could be started\n");
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
        if (!address_resolve(&plan->targets[i], &run->addresses[i], ret_error))
            return false;
    }
    unsigned parties = (unsigned)plan->threads + 1;
    pthread_barrier_init(&run->opened, NULL, parties);
    pthread_barrier_init(&run->loaded, NULL, parties);
    pthread_barrier_init(&run->go, NULL, parties);
    pthread_mutex_init(&run->mutex, NULL);
    return true;
}

static bool carry_out(struct threads *threads, struct ending *ending, struct live *live,
                      struct measure *ret_measure, char *ret_error)
{
    struct run *run = threads->run;
    if (!start_threads(threads, ret_error))
        return false;
    bool begun = begin_together(run);
    if (begun)
        watch(threads, live, ending);
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
    struct ending ending = {.interrupted = false};
    struct live live = {.wanted = !plan->quiet && isatty(STDERR_FILENO) == 1};
    threads.clients = calloc((size_t)threads.n, sizeof *threads.clients);
    if (threads.clients == NULL || !measure_init(&live.total) || !measure_init(&live.recent)) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    sigset_t before;
    (void)sigemptyset(&ending.signals);
    (void)sigaddset(&ending.signals, SIGINT);
    (void)sigaddset(&ending.signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &ending.signals, &before);
    bool done =
        prepare(&run, ret_error) && carry_out(&threads, &ending, &live, ret_measure, ret_error);
    int64_t last_ns = atomic_load(&run.last_answer_ns);
    if (last_ns == 0)
        last_ns = clock_now_ns() - run.start_ns;
    ret_result->duration_s = done ? (double)last_ns / (double)NS_PER_S : 0;
    ret_result->attempts = atomic_load(&run.attempts);
    ret_result->interrupted = ending.interrupted;
    measure_release(&live.total);
    measure_release(&live.recent);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return done;
}
