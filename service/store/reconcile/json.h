// A reconciliation's report as JSON, for `holdfast reconcile --json` and for HTTP.
#pragma once

#include <stdint.h>

struct buffer;
struct finding;
struct reconciliation;

// The report is written from left to right into the buffer, which may be emptied between any two
// calls.
struct reconcile_json {
    struct buffer *out;
    int64_t shown_max; // further findings are left out
    int64_t shown;     // so far
};

void reconcile_json_begin(struct reconcile_json *json);
void reconcile_json_finding(struct reconcile_json *json, const struct finding *finding);

// summary = NULL: the reconciliation failed; the report then says `complete: false`.
void reconcile_json_end(struct reconcile_json *json, const struct reconciliation *summary);
