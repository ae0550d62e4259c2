// The common end of every test program: run the suite, return the exit code.
#pragma once

#include <check.h>

// Runs the suite under libcheck's environment variables (CK_VERBOSITY, CK_RUN_CASE, ...) and frees
// it. Returns the program's exit code.
int suite_run(Suite *suite);
