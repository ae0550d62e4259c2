// Problem: hundreds of thousands of requests a second, each with another key and user, of a shape
// that users can write themselves; and a mistake in that shape must be found before the run, not in
// a server's 400s.
//
// Approach: the text is read once, line by line, into pieces: literal bytes (neighbours merged) and
// holes. What servers could read in two ways is refused, with its line. Putting values into the
// holes is in template_render.c.
//
// What breaks it: servers that want anything but HTTP/1.1 with Content-Length.
#include "run/template_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_CHARACTERS                                                                            \
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct compiler {
    struct template *template;
    const char *fields; // of the load tester
    const char *at;     // not yet read
    int line;           // the number of the last line that was read
    char *error;
};

static const struct {
    const char *name;
    enum piece_kind kind;
} holes[] = {
    {"resource", PIECE_RESOURCE}, {"key", PIECE_KEY}, {"user", PIECE_USER},
    {"quantity", PIECE_QUANTITY}, {"n", PIECE_N},
};

static const struct {
    const char *name, *why_not;
} reserved_fields[] = {
    {"Host", "the load tester adds it, one for each target"},
    {"Content-Length", "the load tester adds it when it knows the body"},
    {"Transfer-Encoding", "the load tester sends the body whole, with Content-Length"},
    {"Expect", "the load tester sends the body at once"},
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

// ---- pieces

static bool add_piece(struct compiler *compiler, struct piece piece)
{
    struct template *template = compiler->template;
    if (template->n_pieces == PIECES_MAX)
        return failed(compiler, "a template has at most about %d holes", PIECES_MAX / 2);
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

// What stands between {{ and }}.
static bool add_hole(struct compiler *compiler, const char *text, size_t length)
{
    char word[32];
    if (text_format(word, sizeof word, "%.*s", (int)length, text)) {
        for (size_t i = 0; i < ARRAY_LENGTH(holes); i++) {
            if (strcmp(word, holes[i].name) == 0)
                return add_piece(compiler, (struct piece){.kind = holes[i].kind});
        }
        int64_t bound;
        if (strncmp(word, "random ", 7) == 0 && text_to_int64(word + 7, &bound) && bound > 0)
            return add_piece(compiler,
                             (struct piece){.kind = PIECE_RANDOM, .bound = (uint64_t)bound});
    }
    return failed(compiler,
                  "{{%.*s}} is no hole; there are {{resource}}, {{key}}, {{user}}, {{quantity}}, "
                  "{{n}} and {{random N}} with N from 1",
                  length < 40 ? (int)length : 40, text);
}

// Literal text with holes in it.
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
            return failed(compiler, "a hole begins with {{ but no }} ends it");
        if (!add_literal(compiler, text, (size_t)(open - text)) ||
            !add_hole(compiler, open + 2, (size_t)(close - open - 2)))
            return false;
        text = close + 2;
    }
}

// ---- lines

// The next line of the head, without its end. False at a character that no head can have.
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
            return failed(compiler, "a carriage return stands in the middle of the line");
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return failed(compiler, "the control character 0x%02x cannot be sent in a head", c);
    }
    *ret_line = line;
    *ret_length = length;
    return true;
}

// The length of a path: up to a blank that is not inside a hole.
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
        return failed(compiler, "the path behind the method must begin with /");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c == '\t' || c == '#' || c > 0x7e)
            return failed(compiler,
                          "the character 0x%02x cannot stand in a path; write it as %%%02X", c, c);
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
        return failed(compiler,
                      "HEAD is not possible: its answers have a length but no body; use GET");
    const char *path = line + method + 1;
    size_t rest = length - method - 1;
    size_t used = path_length(path, rest);
    if (rest != used && !is_word(path + used, rest - used, " HTTP/1.1"))
        return failed(compiler, "behind the path may stand HTTP/1.1 and nothing else; a blank in a "
                                "path is written as %%20");
    *ret_sends_body = is_word(line, method, "POST") || is_word(line, method, "PUT") ||
                      is_word(line, method, "PATCH");
    return check_path(compiler, path, used) && add_literal(compiler, line, method + 1) &&
           add_text(compiler, prefix) && add_mixed(compiler, path, used) &&
           add_text(compiler, " HTTP/1.1\r\n");
}

// Whether the load tester's own fields have one of this name.
static bool is_added(const char *fields, const char *name, size_t length)
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
    size_t name = strspn(line, NAME_CHARACTERS);
    if (name == 0 || name >= length || line[name] != ':')
        return failed(compiler, "expected a field such as `Content-Type: application/json`, or an "
                                "empty line before the body");
    for (size_t i = 0; i < ARRAY_LENGTH(reserved_fields); i++) {
        const char *reserved = reserved_fields[i].name;
        if (strlen(reserved) == name && strncasecmp(line, reserved, name) == 0)
            return failed(compiler, "leave out %s: %s", reserved, reserved_fields[i].why_not);
    }
    if (is_added(compiler->fields, line, name))
        return failed(compiler,
                      "leave out %.*s: a flag or the environment of the load tester has "
                      "one already",
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
