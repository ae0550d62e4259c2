// The report of a reconciliation as JSON, for the command and for HTTP.
#pragma once

#include <stdint.h>

struct buffer;
struct finding;
struct reconciliation;

// Written from left to right into the buffer, which may be emptied between any two calls.
struct reconcile_json {
    struct buffer *out;
    int64_t shown_max; // findings beyond so many are left out
    int64_t shown;     // so far
};

void reconcile_json_begin(struct reconcile_json *json);
void reconcile_json_finding(struct reconcile_json *json, const struct finding *finding);

// NULL: it could not be run to the end, and the report says so.
void reconcile_json_end(struct reconcile_json *json, const struct reconciliation *summary);
