// Generates the history and the ledger of a correct run, with everything that the checker examines:
// sales, coupons, draws and reservations, readings, refusals for every reason, retries, duplicates,
// and requests that got no answer.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct generated_file {
    char **lines; // without their line feeds
    size_t n;
};

struct generated_run {
    struct generated_file history, ledger; // as the load tester writes them
};

// Equal seeds give equal runs. Fails the test if a file cannot be written. The caller releases.
void generated_run_init(struct generated_run *run, uint64_t seed);
void generated_run_release(struct generated_run *run);

// A pseudo-random number below `bound`. Advances the state.
uint64_t generated_below(uint64_t *state, uint64_t bound);
