// holdfast serve: runs the service until a signal stops it.
//
// SIGTERM and SIGINT are blocked before the first thread starts, so that all threads inherit the
// mask. A thread of its own receives them with sigwait. While the service starts, which may take as
// long as a name server or a database is silent, a signal ends the process at once. Once it serves,
// the first signal starts the drain and a second one ends the process; an alarm does the same if
// the drain hangs. Only that thread, the alarm's handler and main.c end the process.
//
// Every acknowledged request is in the ledger in each case. A drain only spares the clients that
// still wait for an answer.
#include "commands/commands.h"

#include "app.h"
#include "base/log.h"
#include "config/config.h"

#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DRAIN_LIMIT_S 9       // after drain.delay_ms; then the process ends, finished or not
#define ANSWERS_LIMIT_MS 3000 // for clients to read their answers
#define FILES_WANTED 65536
#define ARENAS_MAX 4 // of malloc: each keeps the memory of its busiest moment

// What the thread that receives the signals shares with the main thread.
struct signals {
    sigset_t received;
    pthread_t thread;
    atomic_bool serving;
    sem_t stop; // posted at the first signal
    int number; // of that signal
};

static void on_alarm(int signal_number)
{
    static const char late[] = "drain took too long, stopping\n";
    (void)signal_number;
    (void)!write(STDERR_FILENO, late, sizeof(late) - 1);
    _exit(EXIT_FAILED);
}

static void *receive_signals(void *arg)
{
    struct signals *signals = arg;
    int number = 0;
    for (bool draining = false;; draining = true) {
        while (sigwait(&signals->received, &number) != 0)
            ;
        if (draining || !atomic_load(&signals->serving)) {
            LOG_INFO("stopping at once signal=%s", number == SIGTERM ? "SIGTERM" : "SIGINT");
            _exit(128 + number);
        }
        signals->number = number;
        (void)sem_post(&signals->stop);
    }
}

static void prepare_process(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        rlim_t wanted = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
        if (files.rlim_cur < wanted) {
            files.rlim_cur = wanted;
            (void)setrlimit(RLIMIT_NOFILE, &files);
        }
    }
#ifdef M_ARENA_MAX
    (void)mallopt(M_ARENA_MAX, ARENAS_MAX);
#endif
}

static enum rc signals_begin(struct signals *signals)
{
    struct sigaction action = {.sa_handler = on_alarm};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGALRM, &action, NULL);
    (void)sigemptyset(&signals->received);
    (void)sigaddset(&signals->received, SIGTERM);
    (void)sigaddset(&signals->received, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals->received, NULL);
    (void)sem_init(&signals->stop, 0, 0);
    return pthread_create(&signals->thread, NULL, receive_signals, signals) == 0 ? RC_OK
                                                                                 : RC_NO_MEMORY;
}

static void signals_end(struct signals *signals)
{
    (void)pthread_cancel(signals->thread); // sigwait is where it waits, and a cancellation point
    (void)pthread_join(signals->thread, NULL);
    (void)sem_destroy(&signals->stop);
}

static int wait_and_drain(struct app *app, const struct config *config, struct signals *signals)
{
    atomic_store(&signals->serving, true);
    while (sem_wait(&signals->stop) != 0)
        ;
    int64_t delay_ms = config->drain_delay_ms;
    (void)alarm((unsigned)((delay_ms + 999) / 1000) + DRAIN_LIMIT_S);
    LOG_INFO("draining signal=%s delay_ms=%lld", signals->number == SIGTERM ? "SIGTERM" : "SIGINT",
             (long long)delay_ms);
    if (!app_drain(app, ANSWERS_LIMIT_MS))
        LOG_WARNING("some clients did not read their answers in time");
    app_free(app);
    LOG_INFO("stopped");
    return EXIT_CLEAN;
}

// Logs "127.0.0.1:0" with the port that was picked.
static void log_listening(const struct config *config, uint16_t port)
{
    const char *colon = strrchr(config->listen, ':');
    int host = colon ? (int)(colon - config->listen) : (int)strlen(config->listen);
    LOG_INFO("listening on %.*s:%u", host, config->listen, (unsigned)port);
}

static int serve(const struct config *config, struct signals *signals)
{
    struct app *app = NULL;
    char error[APP_ERROR_MAX];
    enum rc rc = app_open(config, &app, error);
    if (!rc)
        rc = app_prepare(app, error);
    if (!rc)
        rc = app_start(app, error);
    if (!rc) {
        log_listening(config, app_port(app));
        return wait_and_drain(app, config, signals);
    }
    LOG_ERROR("cannot serve: %s (%s)", error, rc_slug(rc));
    app_free(app);
    return rc == RC_USAGE || rc == RC_SCHEMA ? EXIT_USAGE : EXIT_FAILED;
}

int command_serve(const struct config *config)
{
    struct signals signals = {.number = 0};
    prepare_process();
    if (signals_begin(&signals) != RC_OK) {
        LOG_ERROR("cannot serve: cannot start a thread");
        return EXIT_FAILED;
    }
    int code = serve(config, &signals);
    signals_end(&signals);
    return code;
}
