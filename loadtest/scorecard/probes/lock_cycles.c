// How many times a second several processes and threads can lock one hot key, and what that costs
// Redis.
//
//     lock_cycles STRATEGY [PROCESSES [THREADS [SECONDS [WAIT...]]]]
//
// By default 3 processes with 8 threads each, for 5 seconds a WAIT, `spin` and then `notify`; with
// two of them it prints the second's ratio to the first. Each thread enters and leaves a guard of
// its process as fast as it can; inside it only checks that it is alone. The servers
// are those of the tests: HOLDFAST_TEST_REDIS, HOLDFAST_TEST_ZOOKEEPER, HOLDFAST_TEST_ETCD.
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "guard/strategy/registry.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 16
#define THREADS_MAX 256
#define WAIT_MS 20000
#define KEY_MAX 40

// Shared by all processes.
struct shared {
    atomic_int inside, ready;
    atomic_bool go, over;
    atomic_llong collisions, failures;
    atomic_llong cycles[PROCESSES_MAX];
    atomic_llong longest_ns; // one wait
};

struct options {
    const char *strategy;
    int processes, threads, seconds;
    const char *waits[2];
};

struct process {
    struct shared *shared;
    struct guard *guard;
    const char *key;
    int number;
};

struct result {
    double rate, redis_cpu, slowest_share;
};

static void die(const char *what)
{
    fprintf(stderr, "lock_cycles: %s\n", what);
    exit(EXIT_FAILURE);
}

// ---- one process --------------------------------------------------------------------------------

static void note_longest(struct shared *shared, int64_t waited_ns)
{
    long long longest = shared->longest_ns;
    while (waited_ns > longest &&
           !atomic_compare_exchange_weak(&shared->longest_ns, &longest, waited_ns))
        continue;
}

static void *thread_main(void *arg)
{
    const struct process *process = arg;
    struct shared *shared = process->shared;
    shared->ready++;
    while (!shared->go)
        clock_sleep_ns(NS_PER_MS);
    while (!shared->over) {
        struct guard_hold hold;
        int64_t asked_ns = clock_now_ns();
        if (guard_enter(process->guard, NULL, &process->key, 1, asked_ns + WAIT_MS * NS_PER_MS,
                        &hold) != RC_OK) {
            shared->failures++;
            continue;
        }
        note_longest(shared, clock_now_ns() - asked_ns);
        if (atomic_fetch_add(&shared->inside, 1) != 0)
            shared->collisions++;
        atomic_fetch_sub(&shared->inside, 1);
        if (guard_leave(process->guard, NULL, &hold) != RC_OK)
            shared->failures++;
        shared->cycles[process->number]++;
    }
    return NULL;
}

static const char *server(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL ? value : "";
}

static void process_main(const struct options *options, const char *wait, const char *key,
                         int number, struct shared *shared)
{
    char instance[24], why[GUARD_ERROR_MAX] = "out of memory";
    text_format(instance, sizeof instance, "bench-%d", number);
    struct guard_settings settings = {.redis = server("HOLDFAST_TEST_REDIS"),
                                      .zookeeper = server("HOLDFAST_TEST_ZOOKEEPER"),
                                      .etcd = server("HOLDFAST_TEST_ETCD"),
                                      .lock_ttl_ms = 10000,
                                      .lock_wait_ms = WAIT_MS,
                                      .lock_max_hold_ms = 60000,
                                      .lock_wait = wait,
                                      .instance = instance};
    struct process process = {.shared = shared, .key = key, .number = number};
    if (guard_open(strategy_find(options->strategy), &settings, &process.guard, why) != RC_OK)
        die(why);
    pthread_t threads[THREADS_MAX];
    for (int i = 0; i < options->threads; i++)
        if (pthread_create(&threads[i], NULL, thread_main, &process) != 0)
            die("no more threads");
    for (int i = 0; i < options->threads; i++)
        pthread_join(threads[i], NULL);
    guard_close(process.guard);
}

// ---- all of them --------------------------------------------------------------------------------

// User and system time of the server so far, in seconds; 0 if there is none.
static double redis_cpu(void)
{
    char address[128];
    text_copy(address, sizeof address, server("HOLDFAST_TEST_REDIS"));
    char *colon = strrchr(address, ':');
    if (colon == NULL)
        return 0;
    *colon = '\0';
    redisContext *context = redisConnect(address, atoi(colon + 1));
    if (context == NULL || context->err != 0)
        die("Redis does not answer");
    redisReply *reply = redisCommand(context, "INFO cpu");
    double sum = 0;
    static const char *const names[] = {"used_cpu_sys:", "used_cpu_user:"};
    for (size_t i = 0; reply != NULL && reply->str != NULL && i < ARRAY_LENGTH(names); i++) {
        const char *at = strstr(reply->str, names[i]);
        sum += at != NULL ? atof(at + strlen(names[i])) : 0;
    }
    freeReplyObject(reply);
    redisFree(context);
    return sum;
}

static void start_processes(const struct options *options, const char *wait, const char *key,
                            struct shared *shared, pid_t *ret_pids)
{
    for (int i = 0; i < options->processes; i++) {
        ret_pids[i] = fork();
        if (ret_pids[i] < 0)
            die("no more processes");
        if (ret_pids[i] == 0) {
            process_main(options, wait, key, i, shared);
            _exit(EXIT_SUCCESS);
        }
    }
    while (shared->ready < options->processes * options->threads) {
        if (waitpid(-1, NULL, WNOHANG) != 0)
            die("a process ended early");
        clock_sleep_ns(NS_PER_MS);
    }
}

static struct result measure(const struct options *options, const char *wait)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("out of memory");
    uint64_t number;
    random_bytes(&number, sizeof number);
    char key[KEY_MAX];
    text_format(key, sizeof key, "stock/B%016lx", (unsigned long)number);
    pid_t pids[PROCESSES_MAX];
    start_processes(options, wait, key, shared, pids);
    double cpu = redis_cpu();
    int64_t begin_ns = clock_now_ns();
    shared->go = true;
    clock_sleep_ns(options->seconds * NS_PER_S);
    double seconds = (double)(clock_now_ns() - begin_ns) / (double)NS_PER_S;
    long long sum = 0, fewest = shared->cycles[0];
    for (int i = 0; i < options->processes; i++) {
        long long cycles = shared->cycles[i];
        sum += cycles;
        fewest = cycles < fewest ? cycles : fewest;
    }
    cpu = redis_cpu() - cpu;
    shared->over = true;
    for (int i = 0; i < options->processes; i++)
        waitpid(pids[i], NULL, 0);
    struct result result = {(double)sum / seconds, cpu / seconds,
                            (double)fewest * options->processes / (double)(sum > 0 ? sum : 1)};
    printf(
        "%s %s, %d x %d threads: %.0f acquisitions/s, Redis CPU %.1f %% (%.1f us each), "
        "slowest process %.2f of its share, longest wait %.0f ms, %lld failed, %lld collisions\n",
        options->strategy, wait, options->processes, options->threads, result.rate,
        100 * result.redis_cpu, 1e6 * result.redis_cpu / result.rate, result.slowest_share,
        (double)shared->longest_ns / (double)NS_PER_MS, (long long)shared->failures,
        (long long)shared->collisions);
    fflush(stdout);
    if (shared->collisions != 0)
        die("two holders were inside at once");
    munmap(shared, sizeof *shared);
    return result;
}

static int number_of(const char *text, int most)
{
    int64_t number;
    if (!text_to_int64(text, &number) || number < 1 || number > most)
        die("STRATEGY [PROCESSES [THREADS [SECONDS [WAIT...]]]]");
    return (int)number;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || argc > 7 || strategy_find(argv[1]) == NULL)
        die("STRATEGY [PROCESSES [THREADS [SECONDS [WAIT...]]]]");
    struct options options = {
        .strategy = argv[1],
        .processes = argc > 2 ? number_of(argv[2], PROCESSES_MAX) : 3,
        .threads = argc > 3 ? number_of(argv[3], THREADS_MAX) : 8,
        .seconds = argc > 4 ? number_of(argv[4], 3600) : 5,
        .waits = {argc > 5 ? argv[5] : "spin", argc > 6 ? argv[6] : (argc > 5 ? NULL : "notify")}};
    struct result first = measure(&options, options.waits[0]);
    if (options.waits[1] == NULL)
        return EXIT_SUCCESS;
    struct result second = measure(&options, options.waits[1]);
    printf("%s / %s: %.2f times the acquisitions, %.2f times the Redis CPU\n", options.waits[1],
           options.waits[0], second.rate / first.rate,
           first.redis_cpu > 0 ? second.redis_cpu / first.redis_cpu : 0);
    return EXIT_SUCCESS;
}
