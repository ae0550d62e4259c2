// Compiles request templates, and renders a request from a compiled one.
//
// Problem: the load tester sends hundreds of thousands of requests a second, each with another key
// and user. Users may write the request's shape themselves, and a mistake in it must be found
// before the run, not in the server's 400s.
//
// Approach: the compiler reads the text once, line by line, into pieces: literal bytes (neighbours
// merged) and placeholders. It rejects, with the line number, whatever servers could parse in two
// ways. Rendering walks over the pieces once. It computes the body's length from the pieces, so
// that Content-Length is written before the body and nothing has to be moved.
//
// What breaks it: servers that need anything but HTTP/1.1 with Content-Length, and values that need
// escaping, because they are inserted as they are.
#include "run/template.h"

#include "run/seeded.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD_NAME_CHARACTERS                                                                      \
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define PIECES_MAX 512

enum piece_kind {
    PIECE_LITERAL,
    PIECE_LENGTH, // the body's, in decimal digits
    PIECE_RESOURCE,
    PIECE_KEY,
    PIECE_USER,
    PIECE_QUANTITY,
    PIECE_N,
    PIECE_BODY,
    PIECE_RANDOM,
};

struct piece {
    enum piece_kind kind;
    size_t offset, length; // PIECE_LITERAL: within the literals
    uint64_t bound;        // PIECE_RANDOM: exclusive
};

struct template
{
    struct buffer literals;
    struct piece pieces[PIECES_MAX];
    size_t n_pieces;
    size_t body; // first piece of the body; n_pieces: no body
};

struct compiler {
    struct template *template;
    const char *fields; // that the load tester adds
    const char *at;     // the text that is not yet read
    int line;           // number of the last line read
    char *error;
};

static const struct {
    const char *name;
    enum piece_kind kind;
} placeholders[] = {
    {"resource", PIECE_RESOURCE}, {"key", PIECE_KEY}, {"user", PIECE_USER},
    {"quantity", PIECE_QUANTITY}, {"n", PIECE_N},     {"body", PIECE_BODY},
};

static const struct {
    const char *name, *why_not;
} reserved_fields[] = {
    {"Host", "the load tester adds it for each target"},
    {"Content-Length", "the load tester adds it from the body"},
    {"Transfer-Encoding", "the load tester always sends Content-Length"},
    {"Expect", "the load tester sends the body without waiting"},
};

static bool failed(struct compiler *compiler, const char *format, ...) PRINTF_LIKE(2, 3);

static bool failed(struct compiler *compiler, const char *format, ...)
{
    int used = snprintf(compiler->error, HISTORY_ERROR_MAX, "line %d: ", compiler->line);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(compiler->error + used, HISTORY_ERROR_MAX - (size_t)used, format, args);
    va_end(args);
    return false;
}

// ---- pieces -------------------------------------------------------------------------------------

static bool add_piece(struct compiler *compiler, struct piece piece)
{
    struct template *template = compiler->template;
    if (template->n_pieces == PIECES_MAX)
        return failed(compiler, "a template may have at most about %d placeholders",
                      PIECES_MAX / 2);
    template->pieces[template->n_pieces++] = piece;
    return true;
}

static bool add_literal(struct compiler *compiler, const char *text, size_t length)
{
    struct template *template = compiler->template;
    size_t offset = template->literals.length;
    if (length == 0)
        return true;
    buffer_append(&template->literals, text, length);
    struct piece *last = template->n_pieces > 0 ? &template->pieces[template->n_pieces - 1] : NULL;
    if (last == NULL || last->kind != PIECE_LITERAL || template->n_pieces == template->body)
        return add_piece(compiler,
                         (struct piece){.kind = PIECE_LITERAL, .offset = offset, .length = length});
    last->length += length;
    return true;
}

static bool add_text(struct compiler *compiler, const char *text)
{
    return add_literal(compiler, text, strlen(text));
}

// `text` is what stands between {{ and }}.
static bool add_placeholder(struct compiler *compiler, const char *text, size_t length)
{
    char word[32];
    if (text_format(word, sizeof word, "%.*s", (int)length, text)) {
        for (size_t i = 0; i < ARRAY_LENGTH(placeholders); i++) {
            if (strcmp(word, placeholders[i].name) == 0)
                return add_piece(compiler, (struct piece){.kind = placeholders[i].kind});
        }
        int64_t bound;
        if (strncmp(word, "random ", 7) == 0 && text_to_int64(word + 7, &bound) && bound > 0)
            return add_piece(compiler,
                             (struct piece){.kind = PIECE_RANDOM, .bound = (uint64_t)bound});
    }
    return failed(
        compiler,
        "{{%.*s}} is not a placeholder; use {{resource}}, {{key}}, {{user}}, {{quantity}}, "
        "{{n}} or {{random N}} with N from 1",
        length < 40 ? (int)length : 40, text);
}

// Literal text with placeholders in it.
static bool add_mixed(struct compiler *compiler, const char *text, size_t length)
{
    const char *end = text + length;
    for (;;) {
        const char *open = memmem(text, (size_t)(end - text), "{{", 2);
        if (open == NULL)
            return add_literal(compiler, text, (size_t)(end - text));
        for (const char *at = text; at < open; at++)
            compiler->line += *at == '\n';
        const char *close = memmem(open + 2, (size_t)(end - open - 2), "}}", 2);
        if (close == NULL)
            return failed(compiler, "a placeholder begins with {{ but has no closing }}");
        if (!add_literal(compiler, text, (size_t)(open - text)) ||
            !add_placeholder(compiler, open + 2, (size_t)(close - open - 2)))
            return false;
        text = close + 2;
    }
}

// ---- compiling, line by line --------------------------------------------------------------------

// Reads the next line of the head, without its line end. False at a character that is not allowed
// in a head.
static bool read_line(struct compiler *compiler, const char **ret_line, size_t *ret_length)
{
    const char *line = compiler->at;
    size_t length = strcspn(line, "\n");
    compiler->at += length + (line[length] == '\n');
    compiler->line++;
    if (line[length] == '\n' && length > 0 && line[length - 1] == '\r')
        length--;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c == '\r')
            return failed(compiler, "there is a carriage return in the middle of the line");
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return failed(compiler, "the control character 0x%02x is not allowed in a head", c);
    }
    *ret_line = line;
    *ret_length = length;
    return true;
}

// The length of a path: up to a space that is not inside a placeholder.
static size_t path_length(const char *path, size_t length)
{
    size_t at = 0;
    while (at < length && path[at] != ' ') {
        const char *close = at + 1 < length && path[at] == '{' && path[at + 1] == '{'
                                ? memmem(path + at, length - at, "}}", 2)
                                : NULL;
        at = close != NULL ? (size_t)(close - path) + 2 : at + 1;
    }
    return at;
}

static bool check_path(struct compiler *compiler, const char *path, size_t length)
{
    if (length == 0 || path[0] != '/')
        return failed(compiler, "the path after the method must begin with /");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c == '\t' || c == '#' || c > 0x7e)
            return failed(compiler,
                          "the character 0x%02x is not allowed in a path; write it as %%%02X", c,
                          c);
    }
    return true;
}

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool compile_request_line(struct compiler *compiler, const char *prefix,
                                 bool *ret_sends_body)
{
    const char *line = "";
    size_t length = 0;
    if (!read_line(compiler, &line, &length))
        return false;
    size_t method = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (method == 0 || method >= length || line[method] != ' ')
        return failed(compiler,
                      "expected a request line such as `POST /v1/stock/{{resource}}/deduct`");
    if (is_word(line, method, "HEAD"))
        return failed(
            compiler,
            "HEAD is not supported, because its answers have a length but no body; use GET");
    const char *path = line + method + 1;
    size_t rest = length - method - 1;
    size_t used = path_length(path, rest);
    if (rest != used && !is_word(path + used, rest - used, " HTTP/1.1"))
        return failed(compiler, "only HTTP/1.1 may follow the path; write a space in a path as "
                                "%%20");
    *ret_sends_body = is_word(line, method, "POST") || is_word(line, method, "PUT") ||
                      is_word(line, method, "PATCH");
    return check_path(compiler, path, used) && add_literal(compiler, line, method + 1) &&
           add_text(compiler, prefix) && add_mixed(compiler, path, used) &&
           add_text(compiler, " HTTP/1.1\r\n");
}

// Whether the load tester itself adds a field of this name.
static bool is_added_field(const char *fields, const char *name, size_t length)
{
    while (*fields != '\0') {
        if (strncasecmp(fields, name, length) == 0 && fields[length] == ':')
            return true;
        fields += strcspn(fields, "\n");
        fields += *fields == '\n';
    }
    return false;
}

static bool compile_field(struct compiler *compiler, const char *line, size_t length)
{
    size_t name = strspn(line, FIELD_NAME_CHARACTERS);
    if (name == 0 || name >= length || line[name] != ':')
        return failed(compiler, "expected a field such as `Content-Type: application/json`, or an "
                                "empty line before the body");
    for (size_t i = 0; i < ARRAY_LENGTH(reserved_fields); i++) {
        const char *reserved = reserved_fields[i].name;
        if (strlen(reserved) == name && strncasecmp(line, reserved, name) == 0)
            return failed(compiler, "leave out %s: %s", reserved, reserved_fields[i].why_not);
    }
    if (is_added_field(compiler->fields, line, name))
        return failed(compiler,
                      "leave out %.*s: the load tester already adds it, because of a flag or an "
                      "environment variable",
                      (int)name, line);
    return add_mixed(compiler, line, length) && add_text(compiler, "\r\n");
}

static bool compile_fields(struct compiler *compiler)
{
    while (*compiler->at != '\0') {
        const char *line = "";
        size_t length = 0;
        if (!read_line(compiler, &line, &length))
            return false;
        if (length == 0)
            return true;
        if (!compile_field(compiler, line, length))
            return false;
    }
    return true;
}

static bool compile_body(struct compiler *compiler, bool sends_body)
{
    struct template *template = compiler->template;
    const char *body = compiler->at;
    size_t length = strlen(body);
    if (length > 0 && body[length - 1] == '\n')
        length -= length > 1 && body[length - 2] == '\r' ? 2 : 1;
    compiler->line++;
    if (length > 0 || sends_body) {
        if (!add_text(compiler, "Content-Length: ") ||
            !add_piece(compiler, (struct piece){.kind = PIECE_LENGTH}) ||
            !add_text(compiler, "\r\n"))
            return false;
    }
    if (!add_text(compiler, "\r\n"))
        return false;
    template->body = template->n_pieces;
    return add_mixed(compiler, body, length);
}

static bool compile(struct compiler *compiler, const char *authority, const char *prefix)
{
    bool sends_body = false;
    return compile_request_line(compiler, prefix, &sends_body) && add_text(compiler, "Host: ") &&
           add_text(compiler, authority) && add_text(compiler, "\r\n") &&
           compile_fields(compiler) && add_text(compiler, compiler->fields) &&
           compile_body(compiler, sends_body);
}

bool template_compile(const char *text, const char *authority, const char *prefix,
                      const char *fields, struct template **ret_template, char *ret_error)
{
    struct template *template = calloc(1, sizeof *template);
    if (template == NULL) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    template->body = SIZE_MAX;
    struct compiler compiler = {
        .template = template, .fields = fields, .at = text, .error = ret_error};
    bool compiled = compile(&compiler, authority, prefix);
    if (compiled && template->literals.failed)
        compiled = failed(&compiler, "out of memory");
    if (!compiled) {
        template_free(template);
        return false;
    }
    *ret_template = template;
    return true;
}

void template_free(struct template *template)
{
    if (template == NULL)
        return;
    buffer_release(&template->literals);
    free(template);
}

// ---- rendering ----------------------------------------------------------------------------------

static int64_t random_value(const struct piece *piece, size_t index,
                            const struct template_values *values)
{
    uint64_t random = seeded(values->seed, SEEDED_PLACEHOLDER + index, (uint64_t)values->n);
    return (int64_t)seeded_below(random, piece->bound);
}

static size_t int_length(int64_t number)
{
    uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    size_t length = 1 + (number < 0);
    for (; magnitude >= 10; magnitude /= 10)
        length++;
    return length;
}

static size_t body_length(const struct template *template, const struct template_values *values)
{
    size_t length = 0;
    for (size_t i = template->body; i < template->n_pieces; i++) {
        const struct piece *piece = &template->pieces[i];
        switch (piece->kind) {
        case PIECE_LITERAL:
            length += piece->length;
            break;
        case PIECE_RESOURCE:
            length += strlen(values->resource);
            break;
        case PIECE_KEY:
            length += strlen(values->key);
            break;
        case PIECE_USER:
            length += strlen(values->user);
            break;
        case PIECE_QUANTITY:
            length += int_length(values->quantity);
            break;
        case PIECE_N:
            length += int_length(values->n);
            break;
        case PIECE_BODY:
            length += strlen(values->body);
            break;
        case PIECE_RANDOM:
            length += int_length(random_value(piece, i, values));
            break;
        case PIECE_LENGTH:
            break; // part of the head
        }
    }
    return length;
}

void template_render(const struct template *template, const struct template_values *values,
                     struct buffer *out)
{
    for (size_t i = 0; i < template->n_pieces; i++) {
        const struct piece *piece = &template->pieces[i];
        switch (piece->kind) {
        case PIECE_LITERAL:
            buffer_append(out, template->literals.data + piece->offset, piece->length);
            break;
        case PIECE_RESOURCE:
            buffer_append_text(out, values->resource);
            break;
        case PIECE_KEY:
            buffer_append_text(out, values->key);
            break;
        case PIECE_USER:
            buffer_append_text(out, values->user);
            break;
        case PIECE_QUANTITY:
            buffer_append_int(out, values->quantity);
            break;
        case PIECE_N:
            buffer_append_int(out, values->n);
            break;
        case PIECE_BODY:
            buffer_append_text(out, values->body);
            break;
        case PIECE_RANDOM:
            buffer_append_int(out, random_value(piece, i, values));
            break;
        case PIECE_LENGTH:
            buffer_append_int(out, (int64_t)body_length(template, values));
            break;
        }
    }
}
