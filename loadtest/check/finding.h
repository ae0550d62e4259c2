// How a rule reports: the invariant's line in the verdict, and its first violations with the
// requests and rows that prove them.
//
//     finding_open(check, "caps");
//     struct violation *violation = finding_add(check, "%s: ...", counter);
//     finding_row(check, violation, row);
//     finding_close(check, looked_at, "No total is exceeded: totals %s.", number(n).text);
#pragma once

#include "check/evidence.h"
#include "check/number.h"
#include "check/verdict.h"

struct check_options;

// What the rules share. `invariant` is the one that the current rule fills.
struct check {
    const struct evidence *evidence;
    const struct check_options *options;
    struct verdict *verdict;
    struct invariant *invariant;
};

// Allocates the violations that the verdict can show. False: out of memory.
MUST_CHECK bool finding_init(struct check *check);

// Begins an invariant's line. The slug is borrowed and must outlive the verdict.
void finding_open(struct check *check, const char *slug);

// Counts one more violation. Returns NULL if enough of this invariant are shown already;
// finding_attempt and finding_row accept NULL.
struct violation *finding_add(struct check *check, const char *format, ...) PRINTF_LIKE(2, 3);

// Adds the proof: an attempt or a ledger row, by index (NOTHING adds nothing). A row brings the
// request that wrote it, unless an attempt of that operation was added before. If two requests
// wrote the same version, the sentence says what both had read. Attempts are kept in the order in
// which they were sent, rows follow. Beyond VIOLATION_EVENTS_MAX nothing is added.
void finding_attempt(const struct check *check, struct violation *violation, uint32_t attempt);
void finding_row(const struct check *check, struct violation *violation, uint32_t row);

// Adds all rows of the operation.
void finding_effects(const struct check *check, struct violation *violation,
                     const struct operation *operation);

// Ends the invariant's line with a sentence: the rule, and how much there was to check.
void finding_close(struct check *check, int64_t looked_at, const char *format, ...)
    PRINTF_LIKE(3, 4);

static inline const char *finding_counter(const struct check *check, size_t counter)
{
    return check->evidence->history->head.counters[counter].name;
}
