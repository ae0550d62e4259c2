// Writes an answer as HTTP/1.1. The header fields come from the library's response object, so an
// answer has the same fields on both ways.
#include "http/wire/raw_answer.h"

#include "base/text.h"

#include <microhttpd.h>
#include <sys/socket.h>

static enum MHD_Result append_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    buffer_format(cls, "%s: %s\r\n", name, value);
    return MHD_YES;
}

void raw_answer_send(int fd, int status, struct MHD_Response *response, struct slice body,
                     bool is_head)
{
    struct buffer answer = {0};
    buffer_format(&answer, "HTTP/1.1 %d %s\r\n", status,
                  MHD_get_reason_phrase_for((unsigned)status));
    MHD_get_response_headers(response, append_field, &answer);
    buffer_format(&answer, "Content-Length: %zu\r\n\r\n", body.length);
    if (!is_head)
        buffer_append(&answer, body.text, body.length);
    if (!answer.failed)
        (void)!send(fd, answer.data, answer.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    buffer_release(&answer);
}
