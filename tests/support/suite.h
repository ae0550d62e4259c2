// The common end of every test program: run the suite, return the exit code.
#pragma once

#include <check.h>

// Adds a test case with a timeout for each of its tests. The suite owns it.
TCase *suite_case(Suite *suite, const char *name, double timeout_s);

// Runs the suite under libcheck's environment variables (CK_VERBOSITY, CK_RUN_CASE, ...) and frees
// it. Returns the program's exit code.
int suite_run(Suite *suite);
