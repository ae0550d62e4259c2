// A ledger in memory, and in a file for checking later and elsewhere.
//
// In memory: an array of rows that grows by half, and an arena for the texts; about 110 bytes a
// row. The file is JSON lines: a head, a line for each counter's final values, a line for each row,
// and a closing line with the number of rows. A file without the closing line was cut short and is
// refused.
#include "check/ledger.h"

#include "base/text.h"
#include "history/arena.h"
#include "history/flat_json.h"
#include "history/index.h"
#include "history/line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_FORMAT 1
#define TEXT_MAX HISTORY_COUNTER_MAX
#define LINE_MAX_BYTES (200 + 6 * LINE_INT_ROOM + 5 * LINE_TEXT_ROOM(TEXT_MAX))

// ---- building -----------------------------------------------------------------------------------

bool ledger_builder_init(struct ledger_builder *builder, struct ledger *ledger, size_t n_counters)
{
    *builder = (struct ledger_builder){.ledger = ledger};
    *ledger = (struct ledger){.arena = arena_new()};
    ledger->finals = calloc(n_counters > 0 ? n_counters : 1, sizeof *ledger->finals);
    if (ledger->arena == NULL || ledger->finals == NULL) {
        ledger_release(ledger);
        return false;
    }
    for (size_t i = 0; i < n_counters; i++)
        ledger->finals[i] = (struct ledger_final){HISTORY_NONE, LEDGER_UNREAD};
    return true;
}

static bool grow(struct ledger_builder *builder)
{
    if (builder->ledger->n_rows < builder->capacity)
        return true;
    size_t capacity = builder->capacity > 0 ? builder->capacity + builder->capacity / 2 : 1024;
    void *grown = realloc(builder->ledger->rows, capacity * sizeof *builder->ledger->rows);
    if (grown == NULL)
        return false;
    builder->ledger->rows = grown;
    builder->capacity = capacity;
    return true;
}

static const char *keep(struct ledger *ledger, const char *text)
{
    return arena_text(ledger->arena, text, strlen(text));
}

bool ledger_builder_add(struct ledger_builder *builder, const struct ledger_row *row)
{
    if (!grow(builder))
        return false;
    struct ledger *ledger = builder->ledger;
    struct ledger_row *kept = &ledger->rows[ledger->n_rows];
    *kept = *row;
    kept->key = keep(ledger, row->key);
    kept->user = keep(ledger, row->user);
    kept->reason = keep(ledger, row->reason);
    kept->strategy = keep(ledger, row->strategy);
    if (kept->key == NULL || kept->user == NULL || kept->reason == NULL || kept->strategy == NULL)
        return false;
    ledger->n_rows++;
    return true;
}

void ledger_release(struct ledger *ledger)
{
    arena_free(ledger->arena);
    free(ledger->rows);
    free(ledger->finals);
    *ledger = (struct ledger){0};
}

// ---- saving -------------------------------------------------------------------------------------

static char *put_text(char *at, const char *name, const char *text)
{
    at = LINE_PUT(at, ",");
    at = line_text(at, name, TEXT_MAX);
    at = LINE_PUT(at, ":");
    return line_text(at, text, TEXT_MAX);
}

static char *put_int(char *at, const char *name, int64_t number)
{
    at = LINE_PUT(at, ",");
    at = line_text(at, name, TEXT_MAX);
    at = LINE_PUT(at, ":");
    return line_int(at, number);
}

static void write_final(FILE *file, const char *counter, const struct ledger_final *final)
{
    char line[LINE_MAX_BYTES], *at = LINE_PUT(line, "{\"final\":");
    at = line_text(at, counter, TEXT_MAX);
    if (final->version != HISTORY_NONE)
        at = put_int(at, "version", final->version);
    at = put_int(at, "remaining", final->remaining);
    at = LINE_PUT(at, "}\n");
    fwrite(line, 1, (size_t)(at - line), file);
}

static void write_row(FILE *file, const char *counter, const struct ledger_row *row)
{
    char line[LINE_MAX_BYTES], *at = LINE_PUT(line, "{\"counter\":");
    at = line_text(at, counter, TEXT_MAX);
    at = put_int(at, "version", row->version);
    at = put_int(at, "delta", row->delta);
    at = put_int(at, "remaining", row->remaining);
    at = put_int(at, "leg", row->leg);
    at = put_int(at, "token", row->token);
    at = put_text(at, "key", row->key);
    at = put_text(at, "user", row->user);
    at = put_text(at, "reason", row->reason);
    at = put_text(at, "strategy", row->strategy);
    at = LINE_PUT(at, "}\n");
    fwrite(line, 1, (size_t)(at - line), file);
}

bool ledger_save(const struct ledger *ledger, const struct history_head *head, FILE *file,
                 char *ret_error)
{
    fprintf(file, "{\"holdfast_ledger\":%d,\"run\":\"%s\"}\n", LEDGER_FORMAT, head->run);
    for (size_t i = 0; i < head->n_counters; i++)
        write_final(file, head->counters[i].name, &ledger->finals[i]);
    for (size_t i = 0; i < ledger->n_rows; i++)
        write_row(file, head->counters[ledger->rows[i].counter].name, &ledger->rows[i]);
    fprintf(file, "{\"end\":true,\"rows\":%zu}\n", ledger->n_rows);
    if (fflush(file) == 0 && !ferror(file))
        return true;
    text_format(ret_error, HISTORY_ERROR_MAX, "The ledger cannot be saved: %s.", strerror(errno));
    return false;
}

// ---- loading ------------------------------------------------------------------------------------

enum member {
    MEMBER_HEAD,
    MEMBER_RUN,
    MEMBER_FINAL,
    MEMBER_COUNTER,
    MEMBER_VERSION,
    MEMBER_DELTA,
    MEMBER_REMAINING,
    MEMBER_LEG,
    MEMBER_TOKEN,
    MEMBER_KEY,
    MEMBER_USER,
    MEMBER_REASON,
    MEMBER_STRATEGY,
    MEMBER_END,
    MEMBER_ROWS,
    MEMBER_COUNT
};

static const char *const names[MEMBER_COUNT] = {
    [MEMBER_HEAD] = "holdfast_ledger",
    [MEMBER_RUN] = "run",
    [MEMBER_FINAL] = "final",
    [MEMBER_COUNTER] = "counter",
    [MEMBER_VERSION] = "version",
    [MEMBER_DELTA] = "delta",
    [MEMBER_REMAINING] = "remaining",
    [MEMBER_LEG] = "leg",
    [MEMBER_TOKEN] = "token",
    [MEMBER_KEY] = "key",
    [MEMBER_USER] = "user",
    [MEMBER_REASON] = "reason",
    [MEMBER_STRATEGY] = "strategy",
    [MEMBER_END] = "end",
    [MEMBER_ROWS] = "rows",
};

struct load {
    const struct history_head *head;
    struct index counters;
    struct ledger_builder builder;
    struct flat_member values[MEMBER_COUNT];
    enum flat_kind kinds[MEMBER_COUNT];
    size_t line;
    bool closed;
    char *ret_error;
};

static bool fail(const struct load *load, const char *what)
{
    text_format(load->ret_error, HISTORY_ERROR_MAX, "line %zu: %s", load->line, what);
    return false;
}

static bool gather(struct load *load, const char *text, size_t length)
{
    struct flat_json json = flat_json_open(text, length);
    struct flat_member found;
    enum flat_kind kind;
    for (int i = 0; i < MEMBER_COUNT; i++)
        load->kinds[i] = FLAT_END;
    while ((kind = flat_json_next(&json, &found)) != FLAT_END) {
        if (kind == FLAT_ERROR)
            return fail(load, "not a JSON object");
        size_t i = 0;
        while (i < MEMBER_COUNT && !flat_member_is(&found, names[i]))
            i++;
        if (i == MEMBER_COUNT)
            return fail(load, "unknown member");
        load->values[i] = found;
        load->kinds[i] = kind;
    }
    return true;
}

static bool read_int(const struct load *load, enum member member, int64_t *ret_number)
{
    *ret_number = load->values[member].number;
    if (load->kinds[member] == FLAT_INT)
        return true;
    text_format(load->ret_error, HISTORY_ERROR_MAX, "line %zu: `%s` must be a whole number",
                load->line, names[member]);
    return false;
}

static bool read_text(const struct load *load, enum member member, char *text)
{
    if (load->kinds[member] == FLAT_TEXT &&
        flat_text_copy(text, TEXT_MAX + 1, &load->values[member]))
        return true;
    text_format(load->ret_error, HISTORY_ERROR_MAX,
                "line %zu: `%s` must be a text of at most %d bytes", load->line, names[member],
                TEXT_MAX);
    return false;
}

static bool read_counter(const struct load *load, enum member member, size_t *ret_counter)
{
    char name[TEXT_MAX + 1];
    if (!read_text(load, member, name))
        return false;
    uint32_t found = index_find(&load->counters, name);
    *ret_counter = found;
    return found != INDEX_NONE || fail(load, "this counter is not in the history's head");
}

static bool read_head(const struct load *load)
{
    char run[TEXT_MAX + 1];
    int64_t format;
    if (!read_int(load, MEMBER_HEAD, &format))
        return false;
    if (format != LEDGER_FORMAT)
        return fail(load, "unknown format of the ledger");
    if (!read_text(load, MEMBER_RUN, run))
        return false;
    return strcmp(run, load->head->run) == 0 || fail(load, "this ledger belongs to another run");
}

static bool read_final(struct load *load)
{
    struct ledger_final final = {HISTORY_NONE, LEDGER_UNREAD};
    size_t counter;
    if (!read_counter(load, MEMBER_FINAL, &counter) ||
        !read_int(load, MEMBER_REMAINING, &final.remaining))
        return false;
    if (load->kinds[MEMBER_VERSION] != FLAT_END && !read_int(load, MEMBER_VERSION, &final.version))
        return false;
    load->builder.ledger->finals[counter] = final;
    return true;
}

static bool read_row(struct load *load)
{
    struct ledger_row row;
    char key[TEXT_MAX + 1], user[TEXT_MAX + 1], reason[TEXT_MAX + 1], strategy[TEXT_MAX + 1];
    if (!read_counter(load, MEMBER_COUNTER, &row.counter) ||
        !read_int(load, MEMBER_VERSION, &row.version) ||
        !read_int(load, MEMBER_DELTA, &row.delta) ||
        !read_int(load, MEMBER_REMAINING, &row.remaining) ||
        !read_int(load, MEMBER_LEG, &row.leg) || !read_int(load, MEMBER_TOKEN, &row.token) ||
        !read_text(load, MEMBER_KEY, key) || !read_text(load, MEMBER_USER, user) ||
        !read_text(load, MEMBER_REASON, reason) || !read_text(load, MEMBER_STRATEGY, strategy))
        return false;
    if (row.leg < 0 || row.leg > 1)
        return fail(load, "`leg` must be 0 or 1");
    row.key = key;
    row.user = user;
    row.reason = reason;
    row.strategy = strategy;
    return ledger_builder_add(&load->builder, &row) || fail(load, "out of memory");
}

static bool read_closing(struct load *load)
{
    int64_t rows;
    load->closed = true;
    if (!read_int(load, MEMBER_ROWS, &rows))
        return false;
    return rows == (int64_t)load->builder.ledger->n_rows ||
           fail(load, "the closing line gives another number of rows");
}

static bool read_line(struct load *load, const char *text, size_t length)
{
    load->line++;
    if (!gather(load, text, length))
        return false;
    if (load->line == 1)
        return read_head(load);
    if (load->closed)
        return fail(load, "there is more after the closing line");
    if (load->kinds[MEMBER_END] == FLAT_TRUE)
        return read_closing(load);
    return load->kinds[MEMBER_FINAL] != FLAT_END ? read_final(load) : read_row(load);
}

static bool read_file(struct load *load, FILE *file)
{
    char *text CLEANUP(free_memory) = NULL;
    size_t capacity = 0;
    ssize_t length;
    while ((length = getline(&text, &capacity, file)) > 0) {
        if (!read_line(load, text, (size_t)length))
            return false;
    }
    load->line++;
    if (ferror(file))
        return fail(load, strerror(errno));
    if (!load->closed)
        return fail(load, "the closing line is missing: this ledger was cut short");
    for (size_t i = 0; i < load->head->n_counters; i++) {
        if (load->builder.ledger->finals[i].remaining == LEDGER_UNREAD)
            return fail(load, "a counter's final values are missing");
    }
    return true;
}

bool ledger_load(FILE *file, const struct history_head *head, struct ledger *ret_ledger,
                 char *ret_error)
{
    struct ledger ledger = {0};
    struct load load = {.head = head, .ret_error = ret_error};
    uint32_t number;
    bool ready = index_init(&load.counters, head->n_counters) &&
                 ledger_builder_init(&load.builder, &ledger, head->n_counters);
    for (size_t i = 0; ready && i < head->n_counters; i++)
        ready = index_put(&load.counters, head->counters[i].name, (uint32_t)i, &number);
    bool loaded = ready ? read_file(&load, file) : fail(&load, "out of memory");
    index_release(&load.counters);
    if (loaded)
        *ret_ledger = ledger;
    else
        ledger_release(&ledger);
    return loaded;
}
