// The sub-commands. Each prints its result on standard output and, if it could not run, a sentence
// on standard error. It returns the exit code with which main.c ends the process.
#pragma once

struct config;
struct db;
struct store;

// EXIT_FAILED: the command ran, and the answer is no: findings, migrations not applied, not ready.
// For `serve` it means that starting again may help, because its database does not answer or its
// port is taken; EXIT_USAGE means that it will not.
enum { EXIT_CLEAN = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

// Serves until SIGTERM or SIGINT. One that comes before it serves, or a second one, ends the
// process.
int command_serve(const struct config *config);

// The words after `migrate`: up, down [STEPS], status [--json], belts-off, belts-on.
int command_migrate(const struct config *config, struct store *store, int argc, char **argv);

// The words after `reconcile`: [--json] [--compensate FILE], or --apply FILE.
int command_reconcile(const struct config *config, struct store *store, int argc, char **argv);

// Carries out the proposals that `reconcile --compensate` has written. EXIT_FAILED: some were
// refused, because their counters have moved. EXIT_USAGE: the file is not one of proposals; then
// nothing was changed.
int command_compensate(struct db *db, const char *path);

// Asks the service at the setting `listen` for /readyz and prints its answer. For container health
// checks and scripts without an HTTP client. EXIT_FAILED: not ready, no answer within two seconds,
// connection refused, or not HTTP. EXIT_USAGE: not a usable address.
int command_ready(const struct config *config);

// Prints the settings in force.
int command_config(const struct config *config);
