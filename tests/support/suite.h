// The end of every test program's main.
#pragma once

#include <check.h>

// Runs the suite as the environment asks (CK_VERBOSITY, CK_RUN_CASE, ...) and frees it. Returns the
// program's exit code.
int suite_run(Suite *suite);
