// The sub-commands that look after the database. They print for people (or, with json, for
// machines) on standard output, and a sentence on standard error when they could not run.
#pragma once

#include <stdbool.h>

struct store;

// `up`, `down [STEPS]`, `status [--json]`, `belts-off`, `belts-on`: the words after `migrate`.
// 0 done, 1 status has something other than applied migrations, 2 could not run.
int command_migrate(struct store *store, int argc, char **argv);

// 0 clean, 1 findings, 2 could not run.
int command_reconcile(struct store *store, bool json);
