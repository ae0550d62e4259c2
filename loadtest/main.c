// The program holdfast-load: runs one of its two commands.
#include "base/version.h"
#include "commands.h"
#include "run/options.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void usage(FILE *out)
{
    fputs(
        "Usage: holdfast-load run [URL ...] [FLAGS]     put load on a service, measure and check "
        "it\n"
        "       holdfast-load check HISTORY [FLAGS]     check a recorded history again\n"
        "       holdfast-load --version\n"
        "\n"
        "`holdfast-load run --help` and `holdfast-load check --help` list the flags.\n"
        "Exit codes: 0 success, 1 a violation, an unmet requirement, a malformed answer, or that\n"
        "nothing succeeded, 2 wrong usage or an error, 130 interrupted by Ctrl-C.\n",
        out);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "run") == 0)
        return command_run(argc - 1, argv + 1);
    if (strcmp(command, "check") == 0)
        return command_check(argc - 1, argv + 1);
    if (strcmp(command, "--version") == 0) {
        puts("holdfast-load " HOLDFAST_VERSION);
        return EXIT_OK;
    }
    bool help = strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
                strcmp(command, "help") == 0;
    if (!help && argc > 1)
        (void)fprintf(stderr, "holdfast-load: unknown command '%s'\n", command);
    usage(help ? stdout : stderr);
    return help ? EXIT_OK : EXIT_ERROR;
}
