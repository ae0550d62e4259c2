// holdfast serve: runs the service until a signal stops it.
//
// SIGTERM and SIGINT are blocked before the first thread starts, so that all threads inherit the
// mask, and the main thread receives them with sigwait. The first signal starts the drain. A second
// one ends the process at once; an alarm does the same if the drain hangs. Only that signal handler
// and main.c end the process.
//
// Every acknowledged request is in the ledger in each case. A drain only spares the clients that
// still wait for an answer.
#include "commands/commands.h"

#include "app.h"
#include "base/log.h"
#include "config/config.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DRAIN_LIMIT_S 9       // after drain.delay_ms; then the process ends, finished or not
#define ANSWERS_LIMIT_MS 3000 // for clients to read their answers
#define FILES_WANTED 65536
#define ARENAS_MAX 4 // of malloc: each keeps the memory of its busiest moment

static void end_at_once(int signal_number)
{
    static const char second[] = "stopping at once\n", late[] = "drain took too long, stopping\n";
    if (signal_number == SIGALRM)
        (void)!write(STDERR_FILENO, late, sizeof(late) - 1);
    else
        (void)!write(STDERR_FILENO, second, sizeof(second) - 1);
    _exit(signal_number == SIGALRM ? EXIT_FAILED : 128 + signal_number);
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

static void catch_signals(sigset_t *ret_stop)
{
    struct sigaction action = {.sa_handler = end_at_once};
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(ret_stop);
    (void)sigaddset(ret_stop, SIGTERM);
    (void)sigaddset(ret_stop, SIGINT);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGALRM, &action, NULL);
    (void)pthread_sigmask(SIG_BLOCK, ret_stop, NULL);
}

static int wait_and_drain(struct app *app, const struct config *config, const sigset_t *stop)
{
    int signal_number = 0;
    while (sigwait(stop, &signal_number) != 0)
        ;
    (void)pthread_sigmask(SIG_UNBLOCK, stop, NULL);
    int64_t delay_ms = config->drain_delay_ms;
    (void)alarm((unsigned)((delay_ms + 999) / 1000) + DRAIN_LIMIT_S);
    LOG_INFO("draining signal=%s delay_ms=%lld", signal_number == SIGTERM ? "SIGTERM" : "SIGINT",
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

int command_serve(const struct config *config)
{
    struct app *app = NULL;
    char error[APP_ERROR_MAX];
    prepare_process();
    sigset_t stop;
    catch_signals(&stop);
    enum rc rc = app_open(config, &app, error);
    if (!rc) {
        // A signal ends the process while this thread may wait for the database.
        (void)pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
        rc = app_prepare(app, error);
        (void)pthread_sigmask(SIG_BLOCK, &stop, NULL);
    }
    if (!rc)
        rc = app_start(app, error);
    if (!rc) {
        log_listening(config, app_port(app));
        return wait_and_drain(app, config, &stop);
    }
    LOG_ERROR("cannot serve: %s (%s)", error, rc_slug(rc));
    app_free(app);
    return rc == RC_USAGE || rc == RC_SCHEMA ? EXIT_USAGE : EXIT_FAILED;
}
