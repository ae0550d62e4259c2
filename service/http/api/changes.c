// The feed of changes: waits until a counter is past the version that the client knows, and answers
// with the rows of the ledger behind it.
//
// The answer holds the query of the next request, so that a client only has to pass it on. A row
// has what a storefront shows. The change's user, order and request key are for operators,
// who read it from GET /v1/ledger.
#include "http/api/handlers.h"

#include "base/json_write.h"
#include "engine/feed.h"
#include "http/call.h"
#include "store/tables/ledger.h"

#include <string.h>

#define ROWS_DEFAULT 100 // one of each counter, if there are as many as allowed
#define WAIT_MS_DEFAULT 10000
#define WAIT_MS_MAX 30000

_Static_assert(ROWS_DEFAULT >= FEED_COUNTERS_MAX, "the default must fit any number of counters");

struct wait {
    struct feed_request request;
    struct buffer *out;
    struct feed_counter counters[FEED_COUNTERS_MAX];
    char names[]; // of the counters, one behind the other
};

static void on_row(struct feed_request *request, const struct ledger_row *row)
{
    struct buffer *out = CONTAINER_OF(request, struct wait, request)->out;
    json_write_open(out, NULL, '{');
    json_write_text(out, "counter", row->counter);
    json_write_int(out, "version", row->version);
    json_write_int(out, "delta", row->delta);
    json_write_int(out, "remaining", row->remaining);
    json_write_text(out, "reason", row->reason);
    json_write_int(out, "created_at_ms", row->created_at_ms);
    json_write_close(out, '}');
}

static bool is_named(const struct feed_request *request, const char *name)
{
    for (size_t i = 0; i < request->n; i++) {
        if (strcmp(request->counters[i].name, name) == 0)
            return true;
    }
    return false;
}

// Cuts the list at its commas. False unless it has 1 to FEED_COUNTERS_MAX different names.
static bool read_counters(struct feed_request *request, char *names)
{
    for (char *name = names; name != NULL;) {
        char *comma = strchr(name, ',');
        if (comma != NULL)
            *comma = '\0';
        if (request->n == FEED_COUNTERS_MAX || !counter_name_is_valid(name) ||
            is_named(request, name))
            return false;
        request->counters[request->n++].name = name;
        name = comma != NULL ? comma + 1 : NULL;
    }
    return true;
}

// False unless the list has a version for each counter.
static bool read_versions(struct feed_request *request, const char *versions)
{
    for (size_t i = 0; i < request->n; i++) {
        char version[24];
        size_t length = strcspn(versions, ",");
        bool last = i + 1 == request->n;
        if (!text_format(version, sizeof version, "%.*s", (int)length, versions) ||
            !text_to_int64(version, &request->counters[i].after) ||
            request->counters[i].after < 0 || (versions[length] == '\0') != last)
            return false;
        versions += length + 1;
    }
    return true;
}

enum rc changes_prepare(struct call *call)
{
    const char *names = call_parameter(call, "counters");
    const char *versions = call_parameter(call, "after");
    size_t size = names != NULL ? strlen(names) + 1 : 1;
    struct wait *wait = call_input(call, sizeof *wait + size);
    if (wait == NULL)
        return call->problem.rc;
    struct feed_request *request = &wait->request;
    *request = (struct feed_request){.counters = wait->counters,
                                     .max_rows = ROWS_DEFAULT,
                                     .wait_ms = WAIT_MS_DEFAULT,
                                     .on_row = on_row};
    wait->out = &call->reply;
    text_copy(wait->names, size, names != NULL ? names : "");
    if (!read_counters(request, wait->names))
        return problem_field(&call->problem, RC_INVALID_FIELD, "counters",
                             "1 to %d different names of counters, such as stock/SKU-1, separated "
                             "by commas",
                             FEED_COUNTERS_MAX);
    if (versions == NULL || !read_versions(request, versions))
        return problem_field(&call->problem, RC_INVALID_FIELD, "after",
                             "one version for each counter, 0 or more, separated by commas");
    enum rc rc =
        call_int_parameter(call, "limit", (int64_t)request->n, FEED_ROWS_MAX, &request->max_rows);
    if (rc == RC_OK)
        rc = call_int_parameter(call, "wait_ms", 0, WAIT_MS_MAX, &request->wait_ms);
    if (rc != RC_OK)
        return rc;
    call->job.feed = request;
    json_write_open(wait->out, NULL, '{');
    json_write_open(wait->out, "changes", '[');
    return RC_OK;
}

// A text of comma-separated values, one for each counter.
static void write_list(struct buffer *out, const char *key, const struct feed_request *request,
                       void (*write)(struct buffer *list, const struct feed_counter *counter))
{
    struct buffer list CLEANUP(buffer_release) = {0};
    for (size_t i = 0; i < request->n; i++) {
        if (i > 0)
            buffer_append_text(&list, ",");
        write(&list, &request->counters[i]);
    }
    out->failed |= list.failed;
    if (!out->failed)
        json_write_text(out, key, list.data);
}

static void write_name(struct buffer *list, const struct feed_counter *counter)
{
    buffer_append_text(list, counter->name);
}

static void write_after(struct buffer *list, const struct feed_counter *counter)
{
    buffer_append_int(list, counter->after);
}

void changes_answer(struct call *call)
{
    const struct feed_request *request = call->job.feed;
    struct buffer *out = &call->reply;
    json_write_close(out, ']');
    json_write_bool(out, "more", request->more);
    json_write_open(out, "next", '{');
    write_list(out, "counters", request, write_name);
    write_list(out, "after", request, write_after);
    json_write_int(out, "limit", request->max_rows);
    json_write_int(out, "wait_ms", request->wait_ms);
    json_write_close(out, '}');
    json_write_close(out, '}');
    call->status = 200;
}
