// A ledger in memory, and in a file for checking later and elsewhere.
//
// In memory: an array of rows that grows by half, and an arena for the texts; about 110 bytes a
// row. The file is JSON lines: a head, a line for each counter's final values, a line for each row,
// and a closing line with the number of rows. A file without the closing line was cut short and is
// refused.
#include "check/ledger.h"

#include "base/text.h"
#include "history/arena.h"
#include "history/index.h"
#include "history/line.h"
#include "history/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_FORMAT 1
#define TEXT_MAX HISTORY_COUNTER_MAX
#define LINE_MAX_BYTES (200 + 7 * LINE_INT_ROOM + 5 * LINE_TEXT_ROOM(TEXT_MAX))

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

static void write_final(FILE *file, const struct history_counter *counter,
                        const struct ledger_final *final)
{
    char line[LINE_MAX_BYTES], *at = LINE_PUT(line, "{\"final\":");
    at = line_text(at, counter->name, TEXT_MAX);
    if (counter->kind != COUNTER_PRIZE)
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
    at = put_int(at, "created_at_ms", row->created_at_ms);
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
        write_final(file, &head->counters[i], &ledger->finals[i]);
    for (size_t i = 0; i < ledger->n_rows; i++)
        write_row(file, head->counters[ledger->rows[i].counter].name, &ledger->rows[i]);
    fprintf(file, "{\"end\":true,\"rows\":%zu}\n", ledger->n_rows);
    if (fflush(file) == 0 && !ferror(file))
        return true;
    text_format(ret_error, HISTORY_ERROR_MAX, "The ledger cannot be saved: %s.", strerror(errno));
    return false;
}

// ---- loading ------------------------------------------------------------------------------------

enum ledger_member {
    MEMBER_HEAD,
    MEMBER_RUN,
    MEMBER_FINAL,
    MEMBER_COUNTER,
    MEMBER_VERSION,
    MEMBER_DELTA,
    MEMBER_REMAINING,
    MEMBER_LEG,
    MEMBER_TOKEN,
    MEMBER_CREATED,
    MEMBER_KEY,
    MEMBER_USER,
    MEMBER_REASON,
    MEMBER_STRATEGY,
    MEMBER_END,
    MEMBER_ROWS,
};

enum {
    HEAD = LEDGER_LINE_HEAD,
    FINAL = LEDGER_LINE_FINAL,
    ROW = LEDGER_LINE_ROW,
    CLOSING = LEDGER_LINE_CLOSING
};

// The service's numbers have no range: one that makes no sense is a violation, not damage.
const struct member ledger_members[LEDGER_MEMBERS] = {
    [MEMBER_HEAD] = {"holdfast_ledger", MEMBER_INT, HEAD, 0, INT64_MIN, INT64_MAX},
    [MEMBER_RUN] = {"run", MEMBER_TEXT, HEAD, 0, 1, HISTORY_RUN_MAX},
    [MEMBER_FINAL] = {"final", MEMBER_TEXT, FINAL, 0, 1, TEXT_MAX},
    [MEMBER_COUNTER] = {"counter", MEMBER_TEXT, ROW, 0, 1, TEXT_MAX},
    [MEMBER_VERSION] = {"version", MEMBER_INT, ROW, FINAL, INT64_MIN, INT64_MAX},
    [MEMBER_DELTA] = {"delta", MEMBER_INT, ROW, 0, INT64_MIN, INT64_MAX},
    [MEMBER_REMAINING] = {"remaining", MEMBER_INT, ROW | FINAL, 0, INT64_MIN, INT64_MAX},
    [MEMBER_LEG] = {"leg", MEMBER_INT, ROW, 0, 0, LEDGER_LEG_MAX},
    [MEMBER_TOKEN] = {"token", MEMBER_INT, ROW, 0, INT64_MIN, INT64_MAX},
    [MEMBER_CREATED] = {"created_at_ms", MEMBER_INT, ROW, 0, INT64_MIN, INT64_MAX},
    [MEMBER_KEY] = {"key", MEMBER_TEXT, ROW, 0, 0, TEXT_MAX},
    [MEMBER_USER] = {"user", MEMBER_TEXT, ROW, 0, 0, TEXT_MAX},
    [MEMBER_REASON] = {"reason", MEMBER_TEXT, ROW, 0, 1, TEXT_MAX},
    [MEMBER_STRATEGY] = {"strategy", MEMBER_TEXT, ROW, 0, 1, TEXT_MAX},
    [MEMBER_END] = {"end", MEMBER_BOOL, CLOSING, 0, 0, 0},
    [MEMBER_ROWS] = {"rows", MEMBER_INT, CLOSING, 0, 0, INT64_MAX},
};

struct load {
    const struct history_head *head;
    struct index counters;
    struct ledger_builder builder;
    struct member_values found;
    size_t line;
    bool closed;
    char *ret_error;
};

static bool fail(const struct load *load, const char *what)
{
    text_format(load->ret_error, HISTORY_ERROR_MAX, "line %zu: %s", load->line, what);
    return false;
}

static bool wrong(const struct load *load, enum ledger_member member, const char *expected)
{
    char sentence[HISTORY_ERROR_MAX - 64];
    text_format(sentence, sizeof sentence, "`%s` must be %s", ledger_members[member].name,
                expected);
    return fail(load, sentence);
}

// Whether the line has the member, which tells the type of the line.
static bool has(const struct load *load, enum ledger_member member)
{
    return load->found.kinds[member] != FLAT_END;
}

static int64_t number_of(const struct load *load, enum ledger_member member)
{
    return load->found.values[member].number;
}

static bool read_text(const struct load *load, enum ledger_member member, char *text)
{
    return flat_text_copy(text, TEXT_MAX + 1, &load->found.values[member]) ||
           wrong(load, member, "a text of at most 144 bytes, without NUL");
}

static bool read_counter(const struct load *load, enum ledger_member member, size_t *ret_counter)
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
    if (number_of(load, MEMBER_HEAD) != LEDGER_FORMAT)
        return fail(load, "unknown format of the ledger");
    return read_text(load, MEMBER_RUN, run) &&
           (strcmp(run, load->head->run) == 0 || fail(load, "this ledger belongs to another run"));
}

static bool read_final(struct load *load)
{
    size_t counter;
    if (!read_counter(load, MEMBER_FINAL, &counter))
        return false;
    struct ledger_final *final = &load->builder.ledger->finals[counter];
    if (final->known)
        return fail(load, "this counter's final values were given before");
    if (has(load, MEMBER_VERSION) == (load->head->counters[counter].kind == COUNTER_PRIZE))
        return wrong(load, MEMBER_VERSION, "present exactly if the counter is no prize");
    *final = (struct ledger_final){
        .remaining = number_of(load, MEMBER_REMAINING),
        .known = true,
    };
    if (has(load, MEMBER_VERSION))
        final->version = number_of(load, MEMBER_VERSION);
    return true;
}

static bool read_row(struct load *load)
{
    struct ledger_row row = {
        .version = number_of(load, MEMBER_VERSION),
        .delta = number_of(load, MEMBER_DELTA),
        .remaining = number_of(load, MEMBER_REMAINING),
        .leg = number_of(load, MEMBER_LEG),
        .token = number_of(load, MEMBER_TOKEN),
        .created_at_ms = number_of(load, MEMBER_CREATED),
    };
    char key[TEXT_MAX + 1], user[TEXT_MAX + 1], reason[TEXT_MAX + 1], strategy[TEXT_MAX + 1];
    if (!read_counter(load, MEMBER_COUNTER, &row.counter) || !read_text(load, MEMBER_KEY, key) ||
        !read_text(load, MEMBER_USER, user) || !read_text(load, MEMBER_REASON, reason) ||
        !read_text(load, MEMBER_STRATEGY, strategy))
        return false;
    row.key = key;
    row.user = user;
    row.reason = reason;
    row.strategy = strategy;
    return ledger_builder_add(&load->builder, &row) || fail(load, "out of memory");
}

static bool read_closing(struct load *load)
{
    load->closed = true;
    if (load->found.kinds[MEMBER_END] != FLAT_TRUE)
        return wrong(load, MEMBER_END, "true");
    return number_of(load, MEMBER_ROWS) == (int64_t)load->builder.ledger->n_rows ||
           fail(load, "the closing line gives another number of rows");
}

static bool read_line(struct load *load, const char *text, size_t length)
{
    char error[HISTORY_ERROR_MAX];
    load->line++;
    if (load->closed)
        return fail(load, "there is more after the closing line");
    if (!members_find(ledger_members, LEDGER_MEMBERS, text, length, &load->found, error))
        return fail(load, error);
    unsigned type = load->line == 1           ? LEDGER_LINE_HEAD
                    : has(load, MEMBER_END)   ? LEDGER_LINE_CLOSING
                    : has(load, MEMBER_FINAL) ? LEDGER_LINE_FINAL
                                              : LEDGER_LINE_ROW;
    if (!members_check(ledger_members, LEDGER_MEMBERS, type, &load->found, error))
        return fail(load, error);
    return type == LEDGER_LINE_HEAD      ? read_head(load)
           : type == LEDGER_LINE_CLOSING ? read_closing(load)
           : type == LEDGER_LINE_FINAL   ? read_final(load)
                                         : read_row(load);
}

static bool read_file(struct load *load, int descriptor)
{
    struct lines lines CLEANUP(lines_release);
    const char *text;
    size_t length;
    bool whole;
    lines_init(&lines, descriptor);
    while (lines_next(&lines, &text, &length, &whole)) {
        if (!read_line(load, text, length))
            return false;
    }
    load->line++;
    if (lines.error != 0)
        return fail(load, strerror(lines.error));
    if (!load->closed)
        return fail(load, "the closing line is missing: this ledger was cut short");
    for (size_t i = 0; i < load->head->n_counters; i++) {
        if (!load->builder.ledger->finals[i].known)
            return fail(load, "a counter's final values are missing");
    }
    return true;
}

bool ledger_load(int descriptor, const struct history_head *head, struct ledger *ret_ledger,
                 char *ret_error)
{
    struct ledger ledger = {0};
    struct load load = {.head = head, .ret_error = ret_error};
    uint32_t number;
    bool ready = index_init(&load.counters, head->n_counters) &&
                 ledger_builder_init(&load.builder, &ledger, head->n_counters);
    for (size_t i = 0; ready && i < head->n_counters; i++)
        ready = index_put(&load.counters, head->counters[i].name, (uint32_t)i, &number);
    bool loaded = ready ? read_file(&load, descriptor) : fail(&load, "out of memory");
    index_release(&load.counters);
    if (loaded)
        *ret_ledger = ledger;
    else
        ledger_release(&ledger);
    return loaded;
}
