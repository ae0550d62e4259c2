// Reads HTTP/1.1 answers as they arrive, in place. One parser a connection.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct response {
    int status;
    bool close;            // the server ends the connection behind this answer
    bool replayed;         // Idempotent-Replayed: true
    int64_t retry_after_s; // -1: no such field, or a date
    const char *body;      // decoded; valid until the bytes are given away
    size_t body_length;
};

enum response_state { RESPONSE_PARTIAL, RESPONSE_DONE, RESPONSE_BAD };

enum body_framing { BODY_UNKNOWN, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

// Where a partial answer was left. Zeroed for each new answer.
struct response_parser {
    enum body_framing framing; // BODY_UNKNOWN: the head is not complete
    size_t body_at;            // where the body begins
    size_t content_length;     // BODY_LENGTH
    size_t scanned;            // up to where chunks, or the head, were looked at
    size_t decoded;            // bytes of the body put in place behind body_at
    struct response response;
};

#define RESPONSE_MAX ((size_t)16 * 1024 * 1024) // larger ones are RESPONSE_BAD

// Looks at `length` bytes from the beginning of the answer; call again with more bytes while it is
// RESPONSE_PARTIAL (the bytes may have moved). `ended`: the server has closed. `head_only`: the
// answer to HEAD. RESPONSE_DONE: parser->response is filled, and ret_consumed says where the next
// answer begins.
enum response_state response_parse(struct response_parser *parser, char *bytes, size_t length,
                                   bool ended, bool head_only, size_t *ret_consumed);
