// Parses HTTP/1.1 responses (RFC 9112): the status line, the few fields that matter, and a body by
// length, in chunks, or up to the end of the connection. Chunks are joined in place, so that a body
// is always contiguous. Interim responses (1xx) are skipped.
//
// What breaks it: a server that folds field lines, which RFC 9112 no longer allows.
#include "run/response.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *at;
    size_t length;
};

static bool name_is(const struct span *name, const char *expected)
{
    return name->length == strlen(expected) && strncasecmp(name->at, expected, name->length) == 0;
}

static bool value_is(const struct span *value, const char *expected)
{
    return name_is(value, expected);
}

static bool read_number(const struct span *text, int64_t *ret_number)
{
    char digits[24];
    return text->length > 0 && isdigit((unsigned char)*text->at) &&
           text_format(digits, sizeof digits, "%.*s", (int)text->length, text->at) &&
           text_to_int64(digits, ret_number);
}

static bool take_field(struct response_parser *parser, const struct span *name,
                       const struct span *value)
{
    struct response *response = &parser->response;
    int64_t number;
    switch (*name->at | 0x20) {
    case 'c':
        if (name_is(name, "content-length")) {
            if (!read_number(value, &number) || (uint64_t)number > RESPONSE_MAX)
                return false;
            if (parser->framing != BODY_CHUNKED)
                parser->framing = BODY_LENGTH;
            parser->content_length = (size_t)number;
        } else if (name_is(name, "connection")) {
            response->close = value_is(value, "close");
        }
        return true;
    case 't':
        if (name_is(name, "transfer-encoding"))
            parser->framing = BODY_CHUNKED;
        return true;
    case 'r':
        if (name_is(name, "retry-after") && read_number(value, &number))
            response->retry_after_s = number;
        return true;
    case 'i':
        if (name_is(name, "idempotent-replayed"))
            response->replayed = value_is(value, "true");
        return true;
    default:
        return true;
    }
}

// "HTTP/1.1 200 OK"
static bool take_status(struct response_parser *parser, const char *line, size_t length)
{
    if (length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return false;
    int status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)line[i]))
            return false;
        status = status * 10 + (line[i] - '0');
    }
    parser->response.status = status;
    parser->response.close = line[7] == '0';
    return status >= 100 && status < 600;
}

static bool take_line(struct response_parser *parser, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    if (colon == NULL || colon == line)
        return false;
    struct span name = {line, (size_t)(colon - line)};
    struct span value = {colon + 1, length - name.length - 1};
    while (value.length > 0 && (*value.at == ' ' || *value.at == '\t')) {
        value.at++;
        value.length--;
    }
    while (value.length > 0 && strchr(" \t", value.at[value.length - 1]) != NULL)
        value.length--;
    return take_field(parser, &name, &value);
}

// Parses the head, which reaches from `at` to `end`, where the CRLF CRLF begins.
static bool parse_head(struct response_parser *parser, const char *at, const char *end)
{
    parser->response = (struct response){.retry_after_s = -1};
    parser->framing = BODY_UNKNOWN;
    parser->content_length = 0;
    bool first = true;
    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t length = feed != NULL ? (size_t)(feed - at) : (size_t)(end - at);
        size_t text = length > 0 && at[length - 1] == '\r' ? length - 1 : length;
        if (!(first ? take_status(parser, at, text) : take_line(parser, at, text)))
            return false;
        first = false;
        at += length + 1;
    }
    return !first;
}

static void choose_framing(struct response_parser *parser, bool head_only)
{
    int status = parser->response.status;
    if (head_only || status == 204 || status == 304) {
        parser->framing = BODY_LENGTH;
        parser->content_length = 0;
    } else if (parser->framing == BODY_UNKNOWN) {
        parser->framing = BODY_UNTIL_CLOSE;
        parser->response.close = true;
    }
}

static enum response_state find_head(struct response_parser *parser, char *bytes, size_t length,
                                     bool head_only)
{
    for (;;) {
        size_t begin = parser->body_at;
        size_t from = parser->scanned > begin + 3 ? parser->scanned - 3 : begin;
        const char *end = memmem(bytes + from, length - from, "\r\n\r\n", 4);
        if (end == NULL) {
            parser->scanned = length;
            return length - begin > RESPONSE_MAX ? RESPONSE_BAD : RESPONSE_PARTIAL;
        }
        if (!parse_head(parser, bytes + begin, end))
            return RESPONSE_BAD;
        parser->body_at = parser->scanned = (size_t)(end - bytes) + 4;
        if (parser->response.status >= 200)
            break;
        parser->framing = BODY_UNKNOWN; // an interim response: the final one follows
    }
    choose_framing(parser, head_only);
    return RESPONSE_DONE;
}

// The size line at `at`: how long it is, or 0 if it is not complete.
static size_t read_size(const char *at, size_t length, size_t *ret_size, bool *ret_bad)
{
    const char *feed = memchr(at, '\n', length);
    if (feed == NULL) {
        *ret_bad = length > 1024;
        return 0;
    }
    size_t size = 0;
    const char *digit = at;
    for (; isxdigit((unsigned char)*digit) && size <= RESPONSE_MAX; digit++)
        size = size * 16 + (size_t)(isdigit((unsigned char)*digit)
                                        ? *digit - '0'
                                        : tolower((unsigned char)*digit) - 'a' + 10);
    *ret_bad = digit == at || size > RESPONSE_MAX;
    *ret_size = size;
    return (size_t)(feed - at) + 1;
}

// Skips the trailer after the last chunk: field lines, then an empty line.
static enum response_state skip_trailer(struct response_parser *parser, const char *bytes,
                                        size_t length, size_t at, size_t *ret_consumed)
{
    while (at < length) {
        const char *feed = memchr(bytes + at, '\n', length - at);
        if (feed == NULL)
            break;
        size_t line = (size_t)(feed - (bytes + at)) + 1;
        at += line;
        if (line <= 2) {
            parser->response.body = bytes + parser->body_at;
            parser->response.body_length = parser->decoded;
            *ret_consumed = at;
            return RESPONSE_DONE;
        }
    }
    return RESPONSE_PARTIAL;
}

static enum response_state parse_chunks(struct response_parser *parser, char *bytes, size_t length,
                                        size_t *ret_consumed)
{
    for (;;) {
        size_t at = parser->scanned, size = 0;
        bool bad = false;
        size_t line = read_size(bytes + at, length - at, &size, &bad);
        if (bad || parser->decoded + size > RESPONSE_MAX)
            return RESPONSE_BAD;
        if (line == 0)
            return RESPONSE_PARTIAL;
        if (size == 0)
            return skip_trailer(parser, bytes, length, at + line, ret_consumed);
        if (length - at < line + size + 2)
            return RESPONSE_PARTIAL;
        memmove(bytes + parser->body_at + parser->decoded, bytes + at + line, size);
        parser->decoded += size;
        parser->scanned = at + line + size + 2;
    }
}

enum response_state response_parse(struct response_parser *parser, char *bytes, size_t length,
                                   bool ended, bool head_only, size_t *ret_consumed)
{
    if (parser->framing == BODY_UNKNOWN) {
        enum response_state state = find_head(parser, bytes, length, head_only);
        if (state != RESPONSE_DONE)
            return ended && state == RESPONSE_PARTIAL ? RESPONSE_BAD : state;
    }
    enum response_state state = RESPONSE_PARTIAL;
    size_t there = length - parser->body_at;
    if (parser->framing == BODY_CHUNKED) {
        state = parse_chunks(parser, bytes, length, ret_consumed);
    } else if (parser->framing == BODY_LENGTH ? there >= parser->content_length : ended) {
        parser->response.body = bytes + parser->body_at;
        parser->response.body_length =
            parser->framing == BODY_LENGTH ? parser->content_length : there;
        *ret_consumed = parser->body_at + parser->response.body_length;
        state = RESPONSE_DONE;
    }
    if (state == RESPONSE_PARTIAL && (ended || there > RESPONSE_MAX))
        return RESPONSE_BAD;
    return state;
}
