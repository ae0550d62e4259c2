// The program's commands. Each prints its own output and returns the exit code: 0 success, 1 a
// violation, an unmet requirement or a malformed answer, 2 wrong usage or an error, 130 interrupted
// by Ctrl-C.
#pragma once

enum { EXIT_OK = 0, EXIT_VIOLATION = 1, EXIT_ERROR = 2, EXIT_INTERRUPTED = 130 };

// argv[0] is the command's name.
int command_run(int argc, char **argv);
int command_check(int argc, char **argv);
