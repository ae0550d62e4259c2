// Writing down what a rule finds: the invariant's line, and its first violations with the requests
// and rows that prove them.
#pragma once

#include "check/evidence.h"
#include "check/number.h"
#include "check/verdict.h"

struct check_options;

// What the rules share. The rule at work fills the last invariant of the verdict.
struct check {
    const struct evidence *evidence;
    const struct check_options *options;
    struct verdict *verdict;
    struct invariant *invariant;
};

// Room in the verdict for what is shown. False: out of memory.
MUST_CHECK bool finding_init(struct check *check);

// Begins an invariant's line. The slug is kept as a pointer.
void finding_open(struct check *check, const char *slug);

// One more violation of it. NULL if enough are shown already; what follows takes that too.
struct violation *finding_add(struct check *check, const char *format, ...) PRINTF_LIKE(2, 3);

// What proves it: an attempt, a row (indices; NOTHING adds nothing). Attempts are kept in the order
// in which they were sent, rows behind them. Beyond VIOLATION_EVENTS_MAX nothing is added.
void finding_attempt(const struct check *check, struct violation *violation, uint32_t attempt);
void finding_row(const struct check *check, struct violation *violation, uint32_t row);

// Ends the line: what the rule is, and in numbers what was looked at.
void finding_close(struct check *check, int64_t looked_at, const char *format, ...)
    PRINTF_LIKE(3, 4);

static inline const char *finding_counter(const struct check *check, size_t counter)
{
    return check->evidence->history->head.counters[counter].name;
}
