// Writes problem details as JSON. `type` is a path on this server, not a full URL, so it stays the
// same under every host name, and a client can open it relative to the request.
#include "http/wire/problem.h"

#include "base/json_write.h"
#include "base/text.h"
#include "domain/operation.h"
#include "http/wire/problem_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum rc problem_set(struct problem *problem, enum rc rc, const char *detail, ...)
{
    problem->rc = rc;
    problem->field[0] = '\0';
    problem->expected[0] = '\0';
    va_list arguments;
    va_start(arguments, detail);
    vsnprintf(problem->detail, sizeof problem->detail, detail, arguments);
    va_end(arguments);
    return rc;
}

// Truncates after the last whole UTF-8 character that fits.
static void copy_name(char *target, size_t size, const char *name)
{
    if (text_copy(target, size, name))
        return;
    size_t length = size - 1;
    while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
        length--;
    target[length] = '\0';
}

enum rc problem_field(struct problem *problem, enum rc rc, const char *field, const char *expected,
                      ...)
{
    problem->rc = rc;
    copy_name(problem->field, sizeof problem->field, field);
    va_list arguments;
    va_start(arguments, expected);
    vsnprintf(problem->expected, sizeof problem->expected, expected, arguments);
    va_end(arguments);
    if (rc == RC_UNKNOWN_FIELD)
        text_format(problem->detail, sizeof problem->detail, "Unknown field `%s`.", problem->field);
    else
        text_format(problem->detail, sizeof problem->detail, "The field `%s` must be %s.",
                    problem->field, problem->expected);
    return rc;
}

// Refused because of a number, which is answered. A reservation is refused because of its state.
static bool is_refusal(enum rc rc)
{
    return rc >= RC_OUT_OF_STOCK && rc <= RC_REFUND_EXCEEDS_ORDER &&
           !(rc >= RC_RESERVATION_EXPIRED && rc <= RC_RESERVATION_LONGER);
}

static void write_release(int64_t next_release_ms, struct buffer *out)
{
    if (next_release_ms != 0)
        json_write_int(out, "next_release_at_ms", next_release_ms);
}

static const struct leg *leg_at(const struct operation *operation, size_t i)
{
    return i == 0 ? &operation->leg : &operation->more[i - 1];
}

// The number of the first leg that was refused, whose numbers are the outcome's; 0 if none was.
static size_t first_refused(const struct operation *operation)
{
    size_t i = 0;
    while (i < operation_n_legs(operation) && !leg_at(operation, i)->refused)
        i++;
    return i < operation_n_legs(operation) ? i : 0;
}

// Are the failing legs told? An operation of one leg has nothing to tell apart.
static bool names_legs(enum rc rc, const struct operation *operation)
{
    if (rc == RC_NOT_FOUND)
        return operation->n_more > 0 && leg_at(operation, first_refused(operation))->refused;
    return is_refusal(rc) && (operation->n_more > 0 || operation->leg.child != NULL);
}

// A line is a leg that takes stock. The others (an order's own, its code, its points, a buyer where
// reservations are limited) are none.
static bool is_line(const struct leg *leg)
{
    return strncmp(leg->counter, "stock/", 6) == 0;
}

// The legs that were refused; of a line its index among the lines.
static void write_failed(enum rc rc, const struct operation *operation, struct buffer *out)
{
    int64_t n_lines = 0;
    json_write_open(out, "failed", '[');
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const struct leg *leg = leg_at(operation, i);
        int64_t index = n_lines;
        n_lines += is_line(leg);
        if (!leg->refused)
            continue;
        json_write_open(out, NULL, '{');
        if (is_line(leg))
            json_write_int(out, "index", index);
        json_write_text(out, "counter", leg->counter);
        bool own = leg->refusal != RC_OK && rc != RC_NOT_FOUND;
        json_write_text(out, "type", rc_slug(own ? leg->refusal : rc));
        json_write_int(out, "remaining", leg->remaining);
        json_write_int(out, "version", leg->version);
        write_release(leg->next_release_ms, out);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

void problem_write(const struct problem *problem, const struct operation *operation,
                   struct buffer *out)
{
    const struct problem_info *info = problem_info(problem->rc);
    json_write_open(out, NULL, '{');
    buffer_append_text(out, "\"type\":\"/problems/");
    buffer_append_text(out, rc_slug(problem->rc));
    buffer_append_text(out, "\"");
    json_write_text(out, "title", info->title);
    json_write_int(out, "status", info->status);
    json_write_text(out, "detail", problem->detail[0] != '\0' ? problem->detail : info->remedy);
    if (problem->field[0] != '\0')
        json_write_text(out, "field", problem->field);
    if (problem->expected[0] != '\0')
        json_write_text(out, "expected", problem->expected);
    if (operation != NULL && operation->outcome.state != NULL)
        json_write_text(out, "state", operation->outcome.state);
    if (operation != NULL && names_legs(problem->rc, operation))
        write_failed(problem->rc, operation, out);
    if (operation != NULL && is_refusal(problem->rc)) {
        json_write_int(out, "remaining", operation->outcome.remaining);
        json_write_int(out, "version", operation->outcome.version);
        write_release(leg_at(operation, first_refused(operation))->next_release_ms, out);
    }
    json_write_close(out, '}');
}

void problem_send_raw(int fd, enum rc rc)
{
    const struct problem_info *info = problem_info(rc);
    char answer[512];
    text_format(answer, sizeof answer,
                "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
                "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
                "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d}",
                info->status, rc == RC_BODY_TOO_LARGE ? "Content Too Large" : "Request Timeout",
                rc_slug(rc), info->title, info->status);
    (void)!send(fd, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
}
