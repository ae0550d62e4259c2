// Writes the file of a history. A line is assembled on the stack and appended to the thread's
// buffer in one piece, or in one for each leg. Buffers are written whole under a lock, so lines
// never mix. The closing line comes last: a history without it was cut short.
#include "history/writer.h"

#include "base/text.h"
#include "history/line.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The literals need less than 200 bytes, and a line has at most 10 numbers.
#define LINE_MAX_BYTES                                                                             \
    (200 + 10 * LINE_INT_ROOM + 3 * LINE_TEXT_ROOM(HISTORY_TEXT_MAX) +                             \
     LINE_TEXT_ROOM(HISTORY_COUNTER_MAX))
#define LEG_MAX_BYTES (20 + 3 * LINE_INT_ROOM + LINE_TEXT_ROOM(HISTORY_COUNTER_MAX))

struct history_writer {
    int descriptor;
    pthread_mutex_t lock; // guards what follows, and the order of writes
    int error;            // errno of the first failure, or 0
};

static json_t *counter_json(const struct history_counter *counter)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:I}", "name", counter->name, "kind", counter_kind_name(counter->kind),
        "version", (json_int_t)counter->version, "remaining", (json_int_t)counter->remaining);
    if (counter_kind_has_total(counter->kind))
        json_object_set_new(json, "total", json_integer(counter->total));
    if (counter_kind_has_limit(counter->kind))
        json_object_set_new(json, "per_user_limit", json_integer(counter->per_user_limit));
    if (counter_kind_has_owner(counter->kind))
        json_object_set_new(json, "owner", json_string(counter->owner));
    return json;
}

// One line; the caller frees. NULL: out of memory, or a text that is not UTF-8.
static char *head_line(const struct history_head *head)
{
    json_t *targets = json_array(), *counters = json_array();
    for (size_t i = 0; i < head->n_targets; i++)
        json_array_append_new(targets, json_string(head->targets[i]));
    for (size_t i = 0; i < head->n_counters && !counter_kind_begins(head->counters[i].kind); i++)
        json_array_append_new(counters, counter_json(&head->counters[i]));
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:I, s:o, s:o}", "holdfast_history", HISTORY_FORMAT, "run",
                  head->run, "scenario", head->scenario, "started_at_ms",
                  (json_int_t)head->started_at_ms, "targets", targets, "counters", counters);
    if (head->proxied)
        json_object_set_new(json, "proxied", json_true());
    char *line = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return line;
}

static int open_unnamed(void)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];
    if (!text_format(path, sizeof path, "%s/holdfast-history-XXXXXX",
                     folder != NULL && folder[0] != '\0' ? folder : "/tmp")) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int descriptor = mkostemp(path, O_CLOEXEC);
    if (descriptor >= 0)
        unlink(path);
    return descriptor;
}

static int write_all(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(descriptor, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static bool write_head(struct history_writer *writer, const struct history_head *head)
{
    char *line CLEANUP(free_memory) = head_line(head);
    writer->error = line == NULL ? ENOMEM : write_all(writer->descriptor, line, strlen(line));
    if (writer->error == 0)
        writer->error = write_all(writer->descriptor, "\n", 1);
    return writer->error == 0;
}

bool history_create(const char *path, const struct history_head *head,
                    struct history_writer **ret_writer, char *ret_error)
{
    const char *name = path != NULL ? path : "a temporary file";
    int descriptor =
        path != NULL ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : open_unnamed();
    if (descriptor < 0) {
        text_format(ret_error, HISTORY_ERROR_MAX, "The history %.300s cannot be created: %s.", name,
                    strerror(errno));
        return false;
    }
    struct history_writer *writer = calloc(1, sizeof *writer);
    if (writer != NULL) {
        writer->descriptor = descriptor;
        pthread_mutex_init(&writer->lock, NULL);
    }
    if (writer == NULL || !write_head(writer, head)) {
        text_format(ret_error, HISTORY_ERROR_MAX, "The history %.300s cannot be written: %s.", name,
                    strerror(writer != NULL ? writer->error : ENOMEM));
        if (writer != NULL)
            history_free(writer);
        else
            close(descriptor);
        return false;
    }
    *ret_writer = writer;
    return true;
}

static char *put_request(char *at, const struct history_head *head, const struct attempt *attempt)
{
    at = LINE_PUT(at, "{\"op\":");
    at = line_int(at, attempt->op);
    at = LINE_PUT(at, ",\"attempt\":");
    at = line_int(at, attempt->attempt);
    at = LINE_PUT(at, ",\"kind\":");
    at = line_text(at, attempt_kind_name(attempt->kind), HISTORY_TEXT_MAX);
    if (attempt->counter != SIZE_MAX || attempt->counter_name != NULL) {
        at = LINE_PUT(at, ",\"counter\":");
        at = line_text(at,
                       attempt->counter_name != NULL ? attempt->counter_name
                                                     : head->counters[attempt->counter].name,
                       HISTORY_COUNTER_MAX);
    }
    at = LINE_PUT(at, ",\"target\":");
    at = line_int(at, (int64_t)attempt->target);
    if (attempt->key[0] != '\0') {
        at = LINE_PUT(at, ",\"key\":");
        at = line_text(at, attempt->key, HISTORY_TEXT_MAX);
    }
    if (attempt->user[0] != '\0') {
        at = LINE_PUT(at, ",\"user\":");
        at = line_text(at, attempt->user, HISTORY_TEXT_MAX);
    }
    if (attempt_kind_has_quantity(attempt->kind) &&
        (attempt->quantity > 0 || !attempt_kind_may_lack_quantity(attempt->kind))) {
        at = LINE_PUT(at, ",\"quantity\":");
        at = line_int(at, attempt->quantity);
    }
    at = LINE_PUT(at, ",\"invoke_ns\":");
    return line_int(at, attempt->invoke_ns);
}

static char *put_answer(char *at, const struct attempt *attempt)
{
    at = LINE_PUT(at, ",\"complete_ns\":");
    at = attempt->complete_ns != HISTORY_NEVER ? line_int(at, attempt->complete_ns)
                                               : LINE_PUT(at, "null");
    at = LINE_PUT(at, ",\"outcome\":");
    at = line_text(at, attempt_outcome_name(attempt->outcome), HISTORY_TEXT_MAX);
    at = LINE_PUT(at, ",\"status\":");
    at = line_int(at, attempt->status);
    if (attempt->version.known) {
        at = LINE_PUT(at, ",\"version\":");
        at = line_int(at, attempt->version.value);
    }
    if (attempt->remaining.known) {
        at = LINE_PUT(at, ",\"remaining\":");
        at = line_int(at, attempt->remaining.value);
    }
    if (attempt->expires_at_ms.known) {
        at = LINE_PUT(at, ",\"expires_at_ms\":");
        at = line_int(at, attempt->expires_at_ms.value);
    }
    if (attempt->replayed)
        at = LINE_PUT(at, ",\"replayed\":true");
    if (attempt->detail[0] != '\0') {
        at = LINE_PUT(at, ",\"detail\":");
        at = line_text(at, attempt->detail, HISTORY_TEXT_MAX);
    }
    return at;
}

static char *put_maybe(char *at, struct maybe number)
{
    at = LINE_PUT(at, ",");
    return number.known ? line_int(at, number.value) : LINE_PUT(at, "null");
}

static void append_more(struct buffer *buffer, const struct history_head *head,
                        const struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->n_more; i++) {
        const struct attempt_leg *leg = &attempt->more[i];
        char text[LEG_MAX_BYTES], *at = text;
        at = i == 0 ? LINE_PUT(at, ",\"more\":[[") : LINE_PUT(at, ",[");
        at = line_text(at, leg->name != NULL ? leg->name : head->counters[leg->counter].name,
                       HISTORY_COUNTER_MAX);
        at = LINE_PUT(at, ",");
        at = line_int(at, leg->amount);
        at = put_maybe(at, leg->version);
        at = put_maybe(at, leg->remaining);
        at = LINE_PUT(at, "]");
        buffer_append(buffer, text, (size_t)(at - text));
    }
}

void history_line(struct buffer *buffer, const struct history_head *head,
                  const struct attempt *attempt)
{
    char line[LINE_MAX_BYTES];
    char *end = put_answer(put_request(line, head, attempt), attempt);
    if (attempt->n_more == 0) {
        end = LINE_PUT(end, "}\n");
        buffer_append(buffer, line, (size_t)(end - line));
        return;
    }
    buffer_append(buffer, line, (size_t)(end - line));
    append_more(buffer, head, attempt);
    buffer_append_text(buffer, "]}\n");
}

void history_flush(struct history_writer *writer, struct buffer *buffer)
{
    pthread_mutex_lock(&writer->lock);
    if (writer->error == 0)
        writer->error =
            buffer->failed ? ENOMEM : write_all(writer->descriptor, buffer->data, buffer->length);
    pthread_mutex_unlock(&writer->lock);
    if (buffer->failed)
        buffer_release(buffer);
    else
        buffer_clear(buffer);
}

bool history_finish(struct history_writer *writer, int64_t attempts, char *ret_error)
{
    char line[64];
    text_format(line, sizeof line, "{\"end\":true,\"attempts\":%lld}\n", (long long)attempts);
    if (writer->error == 0)
        writer->error = write_all(writer->descriptor, line, strlen(line));
    // A pipe or another special file cannot be synced, and need not be.
    if (writer->error == 0 && fsync(writer->descriptor) != 0 && errno != EINVAL && errno != EROFS)
        writer->error = errno;
    if (writer->error != 0)
        text_format(ret_error, HISTORY_ERROR_MAX,
                    "The history is incomplete, because writing it failed: %s.",
                    strerror(writer->error));
    return writer->error == 0;
}

int history_descriptor(const struct history_writer *writer)
{
    return writer->descriptor;
}

void history_free(struct history_writer *writer)
{
    if (writer == NULL)
        return;
    close(writer->descriptor);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}
