// An incremental HTTP/1.1 response parser that works in place. Each connection has one.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct response {
    int status;
    bool close;            // the server closes the connection after this answer
    bool replayed;         // Idempotent-Replayed: true
    bool json;             // Content-Type: application/json or application/problem+json
    int64_t retry_after_s; // -1: no such field, or it is a date
    const char *body;      // decoded; points into the caller's bytes
    size_t body_length;
};

enum response_state { RESPONSE_PARTIAL, RESPONSE_DONE, RESPONSE_BAD };

enum body_framing { BODY_UNKNOWN, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

// The state of a partial answer. Zero it for each new answer.
struct response_parser {
    enum body_framing framing;   // BODY_UNKNOWN: the head is incomplete
    size_t body_at;              // where the body begins
    size_t content_length;       // BODY_LENGTH
    size_t scanned;              // end of what was scanned of the head, or of the chunks
    size_t decoded;              // bytes of the body already joined at body_at
    int interim;                 // responses before the final one
    bool has_length, has_coding; // the head has a Content-Length, a Transfer-Encoding
    const char *wrong;           // RESPONSE_BAD: what the server did wrong; NULL: it closed early
    struct response response;
};

// Larger ones are RESPONSE_BAD. The head includes the interim responses (1xx) before it; a trailer
// has the same limit.
#define RESPONSE_HEAD_MAX ((size_t)64 * 1024)
#define RESPONSE_INTERIM_MAX 16 // interim responses before an answer

// Parses `length` bytes from the beginning of the answer. On RESPONSE_PARTIAL, call it again with
// more bytes (they may have moved). `ended`: the server has closed the connection. A body of more
// than body_max bytes, with its chunk lines, is RESPONSE_BAD. RESPONSE_DONE: parser->response is
// filled, and ret_consumed is where the next answer begins. RESPONSE_BAD: parser->wrong says why.
enum response_state response_parse(struct response_parser *parser, char *bytes, size_t length,
                                   bool ended, size_t body_max, size_t *ret_consumed);
