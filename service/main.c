// The program: sub-commands, signals and exit codes. The only file that ends the process.
//
// Stopping: SIGTERM and SIGINT are blocked before the first thread starts, so that all threads
// inherit that, and taken by the main thread with sigwait. The first one drains; a second one ends
// the process at once, and so does the alarm if the drain hangs. What was answered is in the ledger
// in each case; a drain is only kinder to those who still wait for an answer.
//
// Exit codes: 0 done and clean, 1 findings or failed, 2 wrong usage or could not run. For `serve`,
// 1 means that to start it again may help (its database is not there yet), 2 that it will not.
#include "app.h"
#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "commands/commands.h"
#include "commands/ready.h"
#include "config/config.h"
#include "store/db/db.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_CLEAN = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define DRAIN_LIMIT_S 9       // after drain.delay_ms; then the process ends, finished or not
#define ANSWERS_LIMIT_MS 3000 // for clients that do not take their answers
#define FILES_WANTED 65536
#define ARENAS_MAX 4 // malloc's: each keeps what its busiest moment needed

static void print_buffer(struct buffer *buffer)
{
    if (buffer->data)
        (void)fwrite(buffer->data, 1, buffer->length, stdout);
}

// ---- serve
// -----------------------------------------------------------------------------------------

static void end_at_once(int signal_number)
{
    static const char hurried[] = "stopping at once\n", late[] = "drain took too long, stopping\n";
    if (signal_number == SIGALRM)
        (void)!write(STDERR_FILENO, late, sizeof(late) - 1);
    else
        (void)!write(STDERR_FILENO, hurried, sizeof(hurried) - 1);
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
        LOG_WARNING("some clients did not take their answers in time");
    app_free(app);
    LOG_INFO("stopped");
    return EXIT_CLEAN;
}

// "127.0.0.1:0" with the port that was picked.
static void log_listening(const struct config *config, uint16_t port)
{
    const char *colon = strrchr(config->listen, ':');
    int host = colon ? (int)(colon - config->listen) : (int)strlen(config->listen);
    LOG_INFO("listening on %.*s:%u", host, config->listen, (unsigned)port);
}

static int serve(const struct config *config)
{
    struct app *app = NULL;
    char error[APP_ERROR_MAX];
    prepare_process();
    enum rc rc = app_open(config, &app, error);
    if (!rc) {
        sigset_t stop;
        catch_signals(&stop);
        rc = app_start(app, error);
        if (!rc) {
            log_listening(config, app_port(app));
            return wait_and_drain(app, config, &stop);
        }
    }
    LOG_ERROR("cannot serve: %s (%s)", error, rc_slug(rc));
    app_free(app);
    return rc == RC_USAGE || rc == RC_SCHEMA ? EXIT_USAGE : EXIT_FAILED;
}

// ---- the other sub-commands
// ------------------------------------------------------------------------

struct arguments {
    int count; // operands and own flags after the sub-command's name
    char **values;
};

static int run_serve(const struct config *config, const struct arguments *arguments)
{
    (void)arguments;
    return serve(config);
}

static int run_config(const struct config *config, const struct arguments *arguments)
{
    (void)arguments;
    struct buffer out CLEANUP(buffer_release) = {0};
    config_print(config, &out);
    print_buffer(&out);
    return EXIT_CLEAN;
}

static int run_version(const struct config *config, const struct arguments *arguments)
{
    (void)config;
    (void)arguments;
    printf("holdfast %s (%s)\n", HOLDFAST_VERSION, HOLDFAST_COMPILER);
    return EXIT_CLEAN;
}

static int run_ready(const struct config *config, const struct arguments *arguments)
{
    (void)arguments;
    return command_ready(config->listen);
}

static struct store *open_store(const struct config *config)
{
    char error[DB_ERROR_MAX];
    struct store *store = NULL;
    enum rc rc = store_open(config->store, &store, error);
    if (rc)
        LOG_ERROR("cannot open the store: %s (%s)", error, rc_slug(rc));
    return rc ? NULL : store;
}

static int run_migrate(const struct config *config, const struct arguments *arguments)
{
    struct store *store = open_store(config);
    if (!store)
        return EXIT_USAGE;
    int code = command_migrate(store, arguments->count, arguments->values);
    store_close(store);
    return code;
}

static int run_reconcile(const struct config *config, const struct arguments *arguments)
{
    struct store *store = open_store(config);
    if (!store)
        return EXIT_USAGE;
    int code = command_reconcile(store, arguments->count > 0);
    store_close(store);
    return code;
}

struct command {
    const char *name, *usage, *help;
    int operands_max;         // own flags included
    const char *own_flags[4]; // ended by NULL
    int (*run)(const struct config *config, const struct arguments *arguments);
};

static const struct command commands[] = {
    {"serve", "serve", "Serve the HTTP API until SIGTERM or SIGINT.", 0, {NULL}, run_serve},
    {"migrate",
     "migrate up | down [STEPS] | status [--json] | belts-off | belts-on",
     "Apply, take back or list the schema's migrations; belts: for laboratory mode.",
     2,
     {"--json", NULL},
     run_migrate},
    {"reconcile",
     "reconcile [--json]",
     "Prove that counters, ledger, coupons and draws agree. Exit 1: they do not.",
     1,
     {"--json", NULL},
     run_reconcile},
    {"ready",
     "ready",
     "Ask the service that serves on `listen` whether it is ready. Exit 1: it is not.",
     0,
     {NULL},
     run_ready},
    {"config",
     "config",
     "Print the settings in force and where each came from.",
     0,
     {NULL},
     run_config},
    {"version", "version", "Print the version.", 0, {NULL}, run_version},
};

static void print_usage(const struct command *command)
{
    printf("Usage: holdfast %s [settings]\n  %s\n\n`holdfast --help` lists the settings.\n",
           command->usage, command->help);
}

static void print_help(void)
{
    struct buffer out CLEANUP(buffer_release) = {0};
    buffer_append_text(&out, "Usage: holdfast COMMAND [settings]\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        buffer_format(&out, "  %s\n      %s\n", commands[i].usage, commands[i].help);
    buffer_append_text(
        &out, "\nSettings: --name VALUE or --name=VALUE, else HOLDFAST_NAME in the environment "
              "(capitals,\n"
              "_ for .), else `name = value` in the file of --config FILE, else the default.\n\n");
    config_help(&out);
    print_buffer(&out);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void configure_log(const struct config *config)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    enum log_level level = LOG_LEVEL_DEBUG;
    while (level < LOG_LEVEL_ERROR && strcmp(levels[level], config->log_level) != 0)
        level++;
    bool json = strcmp(config->log_format, "json") == 0;
    log_configure(level, json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct config config;
    char error[CONFIG_ERROR_MAX];
    enum rc rc = config_load(&argc, argv, environ, command->own_flags, &config, error);
    if (!rc && argc > command->operands_max) {
        rc = RC_USAGE;
        (void)text_format(error, sizeof(error), "'%.80s' is one argument too many",
                          argv[command->operands_max]);
    }
    if (rc) {
        fprintf(stderr, "holdfast %s: %s\n", command->name, error);
        return EXIT_USAGE;
    }
    configure_log(&config);
    struct arguments arguments = {.count = argc, .values = argv};
    int code = command->run(&config, &arguments);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "holdfast %s: cannot write: %s\n", command->name, strerror(errno));
        return EXIT_USAGE;
    }
    return code;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0)
        name = "version";
    const struct command *command = find_command(name);
    if (command && wants_help(argc - 2, argv + 2)) {
        print_usage(command);
        return EXIT_CLEAN;
    }
    if (command)
        return run(command, argc - 2, argv + 2);
    if (wants_help(argc - 1, argv + 1) || strcmp(name, "help") == 0) {
        print_help();
        return EXIT_CLEAN;
    }
    fprintf(stderr, "holdfast: %s%s%s; see `holdfast --help`\n", *name ? "'" : "",
            *name ? name : "a command is missing", *name ? "' is not a command" : "");
    return EXIT_USAGE;
}
