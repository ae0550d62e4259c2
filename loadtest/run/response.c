// Parses HTTP/1.1 responses (RFC 9112): the status line, the few fields that matter, and a body by
// length, in chunks, or up to the end of the connection. Chunks are joined in place, so that a body
// is always contiguous. Interim responses (1xx) are skipped.
//
// The server may be broken or hostile. A response whose end is ambiguous is refused, because a
// proxy could find another end: two lengths, a length beside chunks, an unknown coding. All that a
// server may send is bounded: interim responses, heads, chunk lines, trailers and bodies.
#include "run/response.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define CHUNK_LINE_MAX 1024

// Each is counted as a problem of its own.
#define WRONG_STATUS_LINE "malformed answer: status line"
#define WRONG_FIELD "malformed answer: header field"
#define WRONG_LENGTH "malformed answer: Content-Length"
#define WRONG_TWO_LENGTHS "malformed answer: two lengths"
#define WRONG_CODING "malformed answer: transfer coding"
#define WRONG_CHUNK "malformed answer: chunk"
#define WRONG_NO_BODY "malformed answer: body not allowed"
#define WRONG_UPGRADE "malformed answer: 101 unasked"
#define WRONG_INTERIM "malformed answer: endless 1xx"
#define WRONG_HEAD_SIZE "malformed answer: head too large"
#define WRONG_BODY_SIZE "malformed answer: body too large"

struct span {
    const char *at;
    size_t length;
};

// Notes the first thing that is wrong. Returns false.
static bool refuse(struct response_parser *parser, const char *wrong)
{
    if (parser->wrong == NULL)
        parser->wrong = wrong;
    return false;
}

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

// "application/json; charset=utf-8"
static bool is_json_type(const struct span *value)
{
    const char *end = memchr(value->at, ';', value->length);
    struct span type = {value->at, end != NULL ? (size_t)(end - value->at) : value->length};
    return value_is(&type, "application/json") || value_is(&type, "application/problem+json");
}

static bool take_length(struct response_parser *parser, const struct span *value)
{
    int64_t number;
    if (parser->has_length || parser->has_coding)
        return refuse(parser, WRONG_TWO_LENGTHS);
    if (!read_number(value, &number))
        return refuse(parser, WRONG_LENGTH);
    parser->has_length = true;
    parser->framing = BODY_LENGTH;
    parser->content_length = (size_t)number;
    return true;
}

static bool take_coding(struct response_parser *parser, const struct span *value)
{
    if (parser->has_length || parser->has_coding)
        return refuse(parser, WRONG_TWO_LENGTHS);
    if (!value_is(value, "chunked"))
        return refuse(parser, WRONG_CODING);
    parser->has_coding = true;
    parser->framing = BODY_CHUNKED;
    return true;
}

static bool take_field(struct response_parser *parser, const struct span *name,
                       const struct span *value)
{
    struct response *response = &parser->response;
    int64_t number;
    switch (*name->at | 0x20) {
    case 'c':
        if (name_is(name, "content-length"))
            return take_length(parser, value);
        if (name_is(name, "content-type"))
            response->json = is_json_type(value);
        else if (name_is(name, "connection"))
            response->close = value_is(value, "close");
        return true;
    case 't':
        return !name_is(name, "transfer-encoding") || take_coding(parser, value);
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
    if (length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)line[7]) ||
        line[8] != ' ' || (length > 12 && line[12] != ' '))
        return refuse(parser, WRONG_STATUS_LINE);
    int status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)line[i]))
            return refuse(parser, WRONG_STATUS_LINE);
        status = status * 10 + (line[i] - '0');
    }
    parser->response.status = status;
    parser->response.close = line[7] == '0';
    return (status >= 100 && status < 600) || refuse(parser, WRONG_STATUS_LINE);
}

// Whether the text has a control character, or, with `spaces`, a space or a tab.
static bool has_control(const struct span *text, bool spaces)
{
    for (size_t i = 0; i < text->length; i++) {
        unsigned char c = (unsigned char)text->at[i];
        if (c == ' ' || c == '\t' ? spaces : c < ' ' || c == 0x7f)
            return true;
    }
    return false;
}

static bool take_line(struct response_parser *parser, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    if (colon == NULL || colon == line)
        return refuse(parser, WRONG_FIELD);
    struct span name = {line, (size_t)(colon - line)};
    struct span value = {colon + 1, length - name.length - 1};
    while (value.length > 0 && (*value.at == ' ' || *value.at == '\t')) {
        value.at++;
        value.length--;
    }
    while (value.length > 0 && strchr(" \t", value.at[value.length - 1]) != NULL)
        value.length--;
    if (has_control(&name, true) || has_control(&value, false))
        return refuse(parser, WRONG_FIELD);
    return take_field(parser, &name, &value);
}

// Parses the head, which reaches from `at` to `end`, where the CRLF CRLF begins.
static bool parse_head(struct response_parser *parser, const char *at, const char *end)
{
    parser->response = (struct response){.retry_after_s = -1};
    parser->framing = BODY_UNKNOWN;
    parser->content_length = 0;
    parser->has_length = parser->has_coding = false;
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
    return !first || refuse(parser, WRONG_STATUS_LINE);
}

// Decides how the body ends. False if the response may have no body, but announces one.
static bool choose_framing(struct response_parser *parser, size_t body_max)
{
    int status = parser->response.status;
    if (status == 101)
        return refuse(parser, WRONG_UPGRADE);
    if ((status < 200 || status == 204) && (parser->has_coding || parser->content_length > 0))
        return refuse(parser, WRONG_NO_BODY);
    if (status < 200) {
        parser->framing = BODY_UNKNOWN; // an interim response: the final one follows
    } else if (status == 204 || status == 304) {
        parser->framing = BODY_LENGTH;
        parser->content_length = 0;
    } else if (parser->framing == BODY_UNKNOWN) {
        parser->framing = BODY_UNTIL_CLOSE;
        parser->response.close = true;
    }
    return parser->content_length <= body_max || refuse(parser, WRONG_BODY_SIZE);
}

static enum response_state find_head(struct response_parser *parser, char *bytes, size_t length,
                                     size_t body_max)
{
    do {
        size_t begin = parser->body_at;
        size_t from = parser->scanned > begin + 3 ? parser->scanned - 3 : begin;
        const char *end = memmem(bytes + from, length - from, "\r\n\r\n", 4);
        if ((end != NULL ? (size_t)(end - bytes) : length) > RESPONSE_HEAD_MAX) {
            refuse(parser, WRONG_HEAD_SIZE);
            return RESPONSE_BAD;
        }
        if (end == NULL) {
            parser->scanned = length;
            return RESPONSE_PARTIAL;
        }
        if (!parse_head(parser, bytes + begin, end) || !choose_framing(parser, body_max))
            return RESPONSE_BAD;
        parser->body_at = parser->scanned = (size_t)(end - bytes) + 4;
        if (parser->response.status < 200 && ++parser->interim > RESPONSE_INTERIM_MAX) {
            refuse(parser, WRONG_INTERIM);
            return RESPONSE_BAD;
        }
    } while (parser->response.status < 200);
    return RESPONSE_DONE;
}

// The size line at `at`: how long it is, or 0 if it is not complete.
static size_t read_size(const char *at, size_t length, size_t body_max, size_t *ret_size,
                        bool *ret_bad)
{
    const char *feed = memchr(at, '\n', length);
    size_t line = feed != NULL ? (size_t)(feed - at) + 1 : 0;
    *ret_bad = (feed != NULL ? line : length) > CHUNK_LINE_MAX;
    if (feed == NULL || *ret_bad)
        return 0;
    size_t size = 0;
    const char *digit = at;
    for (; isxdigit((unsigned char)*digit) && size <= body_max; digit++)
        size = size * 16 + (size_t)(isdigit((unsigned char)*digit)
                                        ? *digit - '0'
                                        : tolower((unsigned char)*digit) - 'a' + 10);
    const char *after = digit + strspn(digit, " \t"); // the line feed ends it
    *ret_bad = digit == at || size > body_max || strchr(";\r\n", *after) == NULL;
    *ret_size = size;
    return line;
}

// Skips the trailer after the last chunk: field lines, then an empty line.
static enum response_state skip_trailer(struct response_parser *parser, const char *bytes,
                                        size_t length, size_t at, size_t *ret_consumed)
{
    size_t begin = at;
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
    return length - begin > RESPONSE_HEAD_MAX ? RESPONSE_BAD : RESPONSE_PARTIAL;
}

static enum response_state parse_chunks(struct response_parser *parser, char *bytes, size_t length,
                                        size_t body_max, size_t *ret_consumed)
{
    for (;;) {
        size_t at = parser->scanned, size = 0;
        bool bad = false;
        size_t line = read_size(bytes + at, length - at, body_max, &size, &bad);
        if (bad || parser->decoded + size > body_max)
            return RESPONSE_BAD;
        if (line == 0)
            return RESPONSE_PARTIAL;
        if (size == 0)
            return skip_trailer(parser, bytes, length, at + line, ret_consumed);
        if (length - at < line + size + 2)
            return RESPONSE_PARTIAL;
        if (memcmp(bytes + at + line + size, "\r\n", 2) != 0)
            return RESPONSE_BAD;
        memmove(bytes + parser->body_at + parser->decoded, bytes + at + line, size);
        parser->decoded += size;
        parser->scanned = at + line + size + 2;
    }
}

enum response_state response_parse(struct response_parser *parser, char *bytes, size_t length,
                                   bool ended, size_t body_max, size_t *ret_consumed)
{
    if (parser->framing == BODY_UNKNOWN) {
        enum response_state state = find_head(parser, bytes, length, body_max);
        if (state != RESPONSE_DONE)
            return ended && state == RESPONSE_PARTIAL ? RESPONSE_BAD : state;
    }
    enum response_state state = RESPONSE_PARTIAL;
    size_t there = length - parser->body_at;
    if (parser->framing == BODY_CHUNKED) {
        state = parse_chunks(parser, bytes, length, body_max, ret_consumed);
        if (state == RESPONSE_BAD)
            refuse(parser, WRONG_CHUNK);
    } else if (parser->framing == BODY_LENGTH ? there >= parser->content_length : ended) {
        parser->response.body = bytes + parser->body_at;
        parser->response.body_length =
            parser->framing == BODY_LENGTH ? parser->content_length : there;
        *ret_consumed = parser->body_at + parser->response.body_length;
        state = RESPONSE_DONE;
    }
    if (state == RESPONSE_PARTIAL && there > body_max)
        refuse(parser, WRONG_BODY_SIZE);
    return state == RESPONSE_PARTIAL && (ended || parser->wrong != NULL) ? RESPONSE_BAD : state;
}
