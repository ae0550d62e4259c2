// An incremental HTTP/1.1 response parser that works in place. Each connection has one.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct response {
    int status;
    bool close;            // the server closes the connection after this answer
    bool replayed;         // Idempotent-Replayed: true
    int64_t retry_after_s; // -1: no such field, or it is a date
    const char *body;      // decoded; points into the caller's bytes
    size_t body_length;
};

enum response_state { RESPONSE_PARTIAL, RESPONSE_DONE, RESPONSE_BAD };

enum body_framing { BODY_UNKNOWN, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

// The state of a partial answer. Zero it for each new answer.
struct response_parser {
    enum body_framing framing; // BODY_UNKNOWN: the head is incomplete
    size_t body_at;            // where the body begins
    size_t content_length;     // BODY_LENGTH
    size_t scanned;            // end of what was scanned of the head, or of the chunks
    size_t decoded;            // bytes of the body already joined at body_at
    struct response response;
};

#define RESPONSE_MAX ((size_t)16 * 1024 * 1024) // larger ones are RESPONSE_BAD

// Parses `length` bytes from the beginning of the answer. On RESPONSE_PARTIAL, call it again with
// more bytes (they may have moved). `ended`: the server has closed the connection. `head_only`: the
// answer to HEAD. RESPONSE_DONE: parser->response is filled, and ret_consumed is where the next
// answer begins.
enum response_state response_parse(struct response_parser *parser, char *bytes, size_t length,
                                   bool ended, bool head_only, size_t *ret_consumed);
