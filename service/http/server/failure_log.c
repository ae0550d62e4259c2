// Keeps a fault from filling the log, where the line with its cause would be rotated away, and from
// blocking the HTTP threads in write(2): thousands of requests a second fail in the same way.
//
// A line carries what leads to one request: the client's or the proxy's X-Request-Id, the counter,
// the idempotency key. /metrics has the exact numbers.
//
// What breaks it: more than FAILURE_KINDS_MAX kinds; the rest share the last one.
#include "http/server/failure_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/api/router.h"
#include "http/call.h"
#include "http/wire/problem_table.h"

#include <microhttpd.h>

#include <inttypes.h>
#include <string.h>

#define INTERVAL_NS (10 * NS_PER_S)
#define NAMES_MAX 320
#define REQUEST_ID_MAX 64

void failure_log_init(struct failure_log *log)
{
    memset(log, 0, sizeof *log);
    atomic_init(&log->due_ns, INT64_MAX);
    pthread_mutex_init(&log->mutex, NULL);
}

static void log_suppressed(const struct failure_kind *kind)
{
    if (kind->suppressed > 0)
        LOG_WARNING("%s failed %" PRIu64 " more times: %s", kind->operation, kind->suppressed,
                    kind->slug);
}

void failure_log_release(struct failure_log *log)
{
    for (size_t i = 0; i < log->n; i++)
        log_suppressed(&log->kinds[i]);
    pthread_mutex_destroy(&log->mutex);
}

// With the mutex held.
static struct failure_kind *find(struct failure_log *log, const char *operation, const char *slug)
{
    for (size_t i = 0; i < log->n; i++) {
        struct failure_kind *kind = &log->kinds[i];
        if (strcmp(kind->operation, operation) == 0 && strcmp(kind->slug, slug) == 0)
            return kind;
    }
    if (log->n == FAILURE_KINDS_MAX)
        return &log->kinds[FAILURE_KINDS_MAX - 1];
    struct failure_kind *kind = &log->kinds[log->n++];
    *kind = (struct failure_kind){.operation = operation, .slug = slug};
    return kind;
}

// Returns whether a line is due, and how many calls had none since the last one.
static bool take_turn(struct failure_log *log, const char *operation, const char *slug,
                      uint64_t *ret_suppressed)
{
    int64_t now_ns = clock_now_ns();
    pthread_mutex_lock(&log->mutex);
    struct failure_kind *kind = find(log, operation, slug);
    bool due = kind->logged_ns == 0 || now_ns - kind->logged_ns >= INTERVAL_NS;
    *ret_suppressed = kind->suppressed;
    kind->suppressed = due ? 0 : kind->suppressed + 1;
    if (due)
        kind->logged_ns = now_ns;
    else if (atomic_load_explicit(&log->due_ns, memory_order_relaxed) == INT64_MAX)
        atomic_store_explicit(&log->due_ns, kind->logged_ns + INTERVAL_NS, memory_order_relaxed);
    pthread_mutex_unlock(&log->mutex);
    return due;
}

void failure_log_tick(struct failure_log *log, int64_t now_ns)
{
    if (now_ns < atomic_load_explicit(&log->due_ns, memory_order_relaxed))
        return;
    int64_t next_ns = INT64_MAX;
    pthread_mutex_lock(&log->mutex);
    for (size_t i = 0; i < log->n; i++) {
        struct failure_kind *kind = &log->kinds[i];
        int64_t due_ns = kind->logged_ns + INTERVAL_NS;
        if (kind->suppressed > 0 && now_ns >= due_ns) {
            log_suppressed(kind);
            kind->suppressed = 0;
            kind->logged_ns = now_ns;
        } else if (kind->suppressed > 0 && due_ns < next_ns) {
            next_ns = due_ns;
        }
    }
    atomic_store_explicit(&log->due_ns, next_ns, memory_order_relaxed);
    pthread_mutex_unlock(&log->mutex);
}

static void append_name(char *names, const char *label, const char *value)
{
    size_t used = strlen(names);
    if (value != NULL && value[0] != '\0')
        (void)text_format(names + used, NAMES_MAX - used, " %s=%s", label, value);
}

// What leads to the request: " request=... counter=... key=...".
static void describe(const struct call *call, char *ret_names)
{
    char request[REQUEST_ID_MAX + 1] = "";
    const char *sent =
        MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "X-Request-Id");
    ret_names[0] = '\0';
    (void)text_copy(request, sizeof request, sent != NULL ? sent : "");
    append_name(ret_names, "request", request);
    const struct route *route = call->route;
    if (route == NULL)
        return;
    if (route->operates && call->operation.leg.counter[0] != '\0')
        append_name(ret_names, "counter", call->operation.leg.counter);
    else
        append_name(ret_names, "id", call->id);
    if ((route->flags & ROUTE_KEY) != 0)
        append_name(ret_names, "key", call->operation.request_key);
}

void failure_log_note(struct failure_log *log, const struct call *call, const char *operation)
{
    const struct problem *problem = &call->problem;
    const char *slug = problem->rc != RC_OK ? rc_slug(problem->rc) : "";
    char names[NAMES_MAX];
    uint64_t suppressed;
    if (!take_turn(log, operation, slug, &suppressed))
        return;
    describe(call, names);
    if (suppressed > 0)
        LOG_WARNING("%s failed %" PRIu64 " more times: %s; now:%s", operation, suppressed, slug,
                    names);
    else if (problem->rc != RC_OK)
        LOG_WARNING("%s answered with %d: %s: %s%s", operation, call->status, slug,
                    problem->detail[0] != '\0' ? problem->detail : problem_info(problem->rc)->title,
                    names);
    else if (call->reply.data != NULL) // /readyz, whose body names the cause
        LOG_WARNING("%s answered with %d: %.*s", operation, call->status, (int)call->reply.length,
                    call->reply.data);
}
