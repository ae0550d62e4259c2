// The program: parses the command line, runs one sub-command, and ends with its exit code.
//
// Exit codes: 0 done and clean; 1 findings, not ready or failed; 2 wrong usage or could not run.
// For `serve`, 1 means that starting again may help (its database does not answer, its port is
// taken), 2 that it will not. 128 plus the signal's number: ended by SIGTERM or SIGINT at once.
#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "commands/commands.h"
#include "config/config.h"
#include "store/db/db.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int print_version(const struct config *config)
{
    (void)config;
    printf("holdfast %s (%s)\n", HOLDFAST_VERSION, HOLDFAST_COMPILER);
    return EXIT_CLEAN;
}

struct command {
    const char *name, *usage, *help;
    int operands_max;         // own flags included
    const char *own_flags[4]; // ended by NULL
    // One of the two; the words after the command's name are left in argv.
    int (*run)(const struct config *config);
    int (*run_on_store)(const struct config *config, struct store *store, int argc, char **argv);
};

static const struct command commands[] = {
    {"serve", "serve",
     "Serve the HTTP API until SIGTERM or SIGINT. Exit 1: another start may succeed, because the "
     "database is away or the port is taken. Exit 2: it will not, because a setting is wrong or the "
     "schema is old.",
     .run = command_serve},
    {"migrate", "migrate up | down [STEPS] | status [--json] | belts-off | belts-on",
     "Apply, undo or list the schema's migrations. belts-off drops the database's unique keys and "
     "checks, for laboratory mode only; belts-on restores them.",
     .operands_max = 2, .own_flags = {"--json"}, .run_on_store = command_migrate},
    {"reconcile", "reconcile [--json] [--compensate FILE] | reconcile --apply FILE",
     "Check that counters, ledger, coupons, draws and reservations agree. Exit 1: they do not. "
     "--compensate writes proposals to a new file, one JSON object a line, and changes nothing. Read "
     "them and delete those that are wrong. --apply then carries out the others, unless their counters "
     "have moved. Exit 1: some have.",
     .operands_max = 3, .own_flags = {"--json", "--compensate", "--apply"},
     .run_on_store = command_reconcile},
    {"ready", "ready",
     "Ask the service that listens on `listen` whether it is ready. Exit 1: it is not.",
     .run = command_ready},
    {"config", "config", "Print the settings in force and where each came from.",
     .run = command_config},
    {"version", "version", "Print the version.", .run = print_version},
};

static void print_usage(const struct command *command)
{
    struct buffer help CLEANUP(buffer_release) = {0};
    buffer_append_wrapped(&help, command->help, 6, 100);
    printf("Usage: holdfast %s [settings]\n%s\n`holdfast --help` lists the settings.\n",
           command->usage, help.data);
}

static void print_help(void)
{
    struct buffer out CLEANUP(buffer_release) = {0};
    buffer_append_text(&out, "Usage: holdfast COMMAND [settings]\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        buffer_format(&out, "  %s\n", commands[i].usage);
        buffer_append_wrapped(&out, commands[i].help, 6, 100);
    }
    buffer_append_text(&out, "\nSettings come from, in this order:\n"
                             "  --name VALUE or --name=VALUE   on the command line\n"
                             "  HOLDFAST_NAME=VALUE            in the environment; _ for .\n"
                             "  HOLDFAST_NAME_FILE=PATH        the same, VALUE read from a file\n"
                             "  name = value                   in the file named by --config FILE\n"
                             "  the default\n\n");
    config_help(&out);
    if (!out.failed)
        (void)fwrite(out.data, 1, out.length, stdout);
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

static int run_on_store(const struct command *command, const struct config *config, int argc,
                        char **argv)
{
    char error[DB_ERROR_MAX];
    struct store *store = NULL;
    enum rc rc = store_open(config->store, &store, error);
    if (rc) {
        LOG_ERROR("cannot open the store: %s (%s)", error, rc_slug(rc));
        return EXIT_USAGE;
    }
    int code = command->run_on_store(config, store, argc, argv);
    store_close(store);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct config config;
    char error[CONFIG_ERROR_MAX];
    enum rc rc = config_load(&argc, argv, environ, command->own_flags, &config, error);
    if (!rc && argc > command->operands_max) {
        rc = RC_USAGE;
        (void)text_format(error, sizeof(error), "unexpected argument '%.80s'",
                          argv[command->operands_max]);
    }
    if (rc) {
        fprintf(stderr, "holdfast %s: %s\n", command->name, error);
        return EXIT_USAGE;
    }
    configure_log(&config);
    if (*config.passed_over)
        LOG_WARNING("not settings, and passed over: %s (environment)", config.passed_over);
    int code = command->run ? command->run(&config) : run_on_store(command, &config, argc, argv);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "holdfast %s: cannot write: %s\n", command->name, strerror(errno));
        return EXIT_USAGE;
    }
    return code;
}

static void end_at_once(int signal_number)
{
    _exit(128 + signal_number);
}

// The first process of a container (PID 1) ignores a signal for which it has no handler.
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = end_at_once};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

int main(int argc, char **argv)
{
    catch_signals();
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
