// `--require 'p99<20ms'`: METRIC OPERATOR NUMBER[UNIT]. Metrics: p50 p90 p95 p99 p99.9 p99.99 max
// mean of the latencies of 2xx answers (units us, ms, s), rate, ok_rate (a second), requests,
// operations, ok, refused, errors, unknown, retries, duplicates, replays, timeouts, malformed,
// violations, error_share (a number or %). Operators: < <= > >= == !=.
#pragma once

#include "base/cleanup.h"
#include "report/summary.h"

struct metric;

enum comparison {
    LESS_OR_EQUAL,
    GREATER_OR_EQUAL,
    EQUAL,
    UNEQUAL,
    LESS,
    GREATER,
};

struct requirement {
    const char *text, *unit;     // text: borrowed
    const struct metric *metric; // a row of the table
    enum comparison comparison;
    double bound; // in the unit
    double scale; // nanoseconds in the unit; for error_share 100 if it is in per cent; else 1
};

// Borrows the text. False with a sentence that lists the valid values, in ret_error
// (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool requirement_parse(const char *text, struct requirement *ret_requirement,
                                  char *ret_error);

// A requirement on a value that was not measured does not hold: `violations` if the verdict is
// missing or not done, a latency if there was no 2xx, a share if there was no request.
struct requirement_result requirement_judge(const struct requirement *requirement,
                                            const struct summary *summary);

// For --help: one line a metric.
void requirement_help(FILE *out);
