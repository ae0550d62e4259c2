// The program's commands. Each prints what it has to say and returns the exit code: 0 all is well,
// 1 a violation or an unmet requirement, 2 wrong usage or it could not be done, 130 ended by
// Ctrl-C.
#pragma once

enum { EXIT_FINE = 0, EXIT_NOT_FINE = 1, EXIT_COULD_NOT = 2, EXIT_INTERRUPTED = 130 };

// argv[0] is the command's name.
int command_run(int argc, char **argv);
int command_check(int argc, char **argv);
