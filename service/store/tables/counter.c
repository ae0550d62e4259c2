// Loads and saves counters. The five update rules stand side by side in `update_sql`: these lines
// decide whether a strategy can lose an update.
//
// On MySQL a save of many counters is one UPDATE, in which the name of a row chooses its values. Its
// row count tells whether every demand was met. On SQLite it is one prepared statement a counter,
// because a statement there costs no round trip. A join to a list of values would be shorter to
// write, but MariaDB takes three times as long for it: it fills two temporary tables.
#include "store/tables/counter.h"

#include "base/text.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS "counter (name, remaining, version, fence)"
#define N_COLUMNS 4

struct load {
    struct counter *counters;
    size_t n;
    int64_t now_ms;
};

static enum rc on_counter(void *arg, const struct db_row *row)
{
    struct load *load = arg;
    struct counter *counter = bsearch(db_row_text(row, 0), load->counters, load->n,
                                      sizeof *load->counters, counter_compare_name);
    if (counter == NULL)
        return RC_INTERNAL;
    counter->remaining = db_row_int(row, 1);
    counter->version = db_row_int(row, 2);
    counter->fence = db_row_int(row, 3);
    load->now_ms = db_row_int(row, 4);
    return RC_OK;
}

static enum rc load_some(struct db *db, struct load *load, size_t from, size_t n, bool lock)
{
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value *names CLEANUP(free_memory) = calloc(n, sizeof *names);
    if (names == NULL)
        return RC_NO_MEMORY;
    buffer_format(&sql, "SELECT name, remaining, version, fence, %s FROM counter WHERE name IN (",
                  db_row_ms_sql(db));
    for (size_t i = 0; i < n; i++) {
        buffer_append_text(&sql, i == 0 ? "?" : ",?");
        names[i] = db_text(load->counters[from + i].name);
    }
    buffer_append_text(&sql, lock && !db_is_sqlite(db) ? ") ORDER BY name FOR UPDATE" : ")");
    if (sql.failed)
        return RC_NO_MEMORY;
    return db_query(db, sql.data, names, n, on_counter, load);
}

enum rc counter_load(struct db *db, struct counter *counters, size_t n, bool lock,
                     int64_t *ret_now_ms)
{
    struct load load = {.counters = counters, .n = n};
    for (size_t i = 0; i < n; i++)
        counters[i].remaining = counters[i].version = counters[i].fence = 0;
    size_t at_once = db_is_sqlite(db) ? 1 : n;
    for (size_t from = 0; from < n; from += at_once) {
        enum rc rc = load_some(db, &load, from, at_once, lock);
        if (rc != RC_OK)
            return rc;
    }
    *ret_now_ms = load.now_ms;
    if (load.now_ms != 0)
        return RC_OK;
    char sql[128];
    text_format(sql, sizeof sql, "SELECT %s", db_now_ms_sql(db));
    return db_query_int(db, sql, NULL, 0, ret_now_ms);
}

// ---- the five rules -----------------------------------------------------------------------------

// The values of one change. DELTA and STEPS: what the change adds to remaining and to the version.
enum { NAME, REMAINING, VERSION, DELTA, STEPS, VERSION_READ, TOKEN, DEMANDED, N_VALUES };

#define MARKS_MAX 3

// Part of an UPDATE: which value each ? takes.
struct part {
    const char *sql;
    int values[MARKS_MAX];
};

// A counter's.
struct row {
    struct db_value values[N_VALUES];
};

// What each rule sets, and below it what it demands of the row. A row that does not meet the demand
// does not match, so the number of rows matched tells whether all demands were met.
static const struct update_sql {
    struct part set, demand;
} update_sql[RULE_COUNT] = {
    // clang-format off
    [RULE_NAIVE] = { // demands nothing: this is the bug
        .set    = {"remaining = ?, version = ?", {REMAINING, VERSION}},
        .demand = {.sql = ""}},
    [RULE_LOCKED] = { // the same: the row lock, taken by the load, is the demand
        .set    = {"remaining = ?, version = ?", {REMAINING, VERSION}},
        .demand = {.sql = ""}},
    [RULE_VERSION] = {
        .set    = {"remaining = remaining + ?, version = version + ?", {DELTA, STEPS}},
        .demand = {" AND version = ?", {VERSION_READ}}},
    [RULE_FENCED] = {
        .set    = {"remaining = remaining + ?, version = version + ?, fence = ?",
                   {DELTA, STEPS, TOKEN}},
        .demand = {" AND version = ? AND fence <= ?", {VERSION_READ, TOKEN}}},
    [RULE_CONDITIONAL] = { // whatever was read
        .set    = {"remaining = remaining + ?, version = version + ?", {DELTA, STEPS}},
        .demand = {" AND remaining >= ?", {DEMANDED}}},
    // clang-format on
};

static void set_values(uint64_t token, const struct counter_change *change,
                       struct db_value values[N_VALUES])
{
    const struct counter *before = &change->before;
    int64_t delta = change->remaining - before->remaining;
    values[NAME] = db_text(before->name);
    values[REMAINING] = db_int(change->remaining);
    values[VERSION] = db_int(change->version);
    values[DELTA] = db_int(delta);
    values[STEPS] = db_int(change->version - before->version);
    values[VERSION_READ] = db_int(before->version);
    values[TOKEN] = db_int((int64_t)token);
    values[DEMANDED] = db_int(delta < 0 ? -delta : 0);
}

static void describe_part(const struct part *part, struct buffer *out)
{
    static const char *const names[N_VALUES] = {
        [NAME] = ":name",   [REMAINING] = ":remaining", [VERSION] = ":version",
        [DELTA] = ":delta", [STEPS] = ":operations",    [VERSION_READ] = ":version_read",
        [TOKEN] = ":token", [DEMANDED] = ":demanded",
    };
    const int *which = part->values;
    const char *at = part->sql;
    for (const char *mark; (mark = strchr(at, '?')) != NULL; at = mark + 1) {
        buffer_append(out, at, (size_t)(mark - at));
        buffer_append_text(out, names[*which++]);
    }
    buffer_append_text(out, at);
}

void counter_describe_save(enum update_rule rule, struct buffer *out)
{
    buffer_append_text(out, "UPDATE counter SET ");
    describe_part(&update_sql[rule].set, out);
    buffer_append_text(out, " WHERE name = :name");
    describe_part(&update_sql[rule].demand, out);
}

// ---- one UPDATE for many rows -------------------------------------------------------------------

// An UPDATE that is being written.
struct update {
    const struct row *rows;
    size_t n;
    struct buffer sql;
    struct db_value *params;
    size_t n_params;
};

// The value of more than half of the rows, if there is one; else that of some row (Boyer and Moore,
// MJRTY: A Fast Majority Vote Algorithm).
static int64_t usual_value(const struct update *update, int which)
{
    int64_t usual = 0;
    size_t votes = 0;
    for (size_t i = 0; i < update->n; i++) {
        int64_t value = update->rows[i].values[which].number;
        if (votes == 0)
            usual = value;
        votes = value == usual ? votes + 1 : votes - 1;
    }
    return usual;
}

// Appends the value of each row: a CASE lists the rows that do not have the usual one. They are few
// where a rule adds, because most changes of a batch are one operation on one unit. For each row
// the database reads such a list from its beginning.
static void append_value(struct update *update, int which)
{
    int64_t usual = usual_value(update, which);
    bool listed = false;
    for (size_t i = 0; i < update->n; i++) {
        const struct db_value *row = update->rows[i].values;
        if (row[which].number == usual)
            continue;
        buffer_append_text(&update->sql, listed ? " WHEN ? THEN ?" : "CASE name WHEN ? THEN ?");
        update->params[update->n_params++] = row[NAME];
        update->params[update->n_params++] = row[which];
        listed = true;
    }
    buffer_append_text(&update->sql, listed ? " ELSE ? END" : "?");
    update->params[update->n_params++] = db_int(usual);
}

static void append_part(struct update *update, const struct part *part)
{
    const int *which = part->values;
    const char *at = part->sql;
    for (const char *mark; (mark = strchr(at, '?')) != NULL; at = mark + 1) {
        buffer_append(&update->sql, at, (size_t)(mark - at));
        append_value(update, *which++);
    }
    buffer_append_text(&update->sql, at);
}

static enum rc update_rows(struct db *db, enum update_rule rule, const struct row *rows, size_t n,
                           enum db_when when)
{
    struct db_value *params CLEANUP(free_memory) =
        calloc(n + 2 * MARKS_MAX * (2 * n + 1), sizeof *params);
    struct update update = {.rows = rows, .n = n, .params = params};
    if (params == NULL)
        return RC_NO_MEMORY;
    // The primary key: its rows are locked in their order, and no other row is.
    buffer_append_text(&update.sql,
                       n > 1 ? "UPDATE counter FORCE INDEX (PRIMARY) SET " : "UPDATE counter SET ");
    append_part(&update, &update_sql[rule].set);
    buffer_append_text(&update.sql, " WHERE name IN (");
    for (size_t i = 0; i < n; i++) {
        buffer_append_text(&update.sql, i == 0 ? "?" : ",?");
        update.params[update.n_params++] = rows[i].values[NAME];
    }
    buffer_append_text(&update.sql, ")");
    append_part(&update, &update_sql[rule].demand);
    enum rc rc = update.sql.failed
                     ? RC_NO_MEMORY
                     : db_exec_rows(db, update.sql.data, params, update.n_params, (int64_t)n, when);
    buffer_release(&update.sql);
    return rc;
}

static enum rc save_old(struct db *db, enum update_rule rule, uint64_t token,
                        const struct counter_change *changes, size_t n, size_t n_old,
                        enum db_when when)
{
    struct row *rows CLEANUP(free_memory) = calloc(n_old + 1, sizeof *rows);
    size_t filled = 0, at_once = db_is_sqlite(db) ? 1 : n_old;
    if (rows == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        if (changes[i].before.version != 0)
            set_values(token, &changes[i], rows[filled++].values);
    }
    enum rc rc = RC_OK;
    for (size_t from = 0; from < n_old && rc == RC_OK; from += at_once)
        rc = update_rows(db, rule, rows + from, at_once, when);
    return rc;
}

// Inserts the rows that do not exist yet. At once, and not with COMMIT as db_insert may do: the
// save reads its rows again.
static enum rc insert_new(struct db *db, uint64_t token, const struct counter_change *changes,
                          size_t n, size_t n_new)
{
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value *values CLEANUP(free_memory) = calloc(n_new * N_COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    buffer_append_text(&sql, "INSERT INTO " COLUMNS " VALUES ");
    for (size_t i = 0; i < n; i++) {
        if (changes[i].before.version != 0)
            continue;
        buffer_append_text(&sql, at == values ? "(?,?,?,?)" : ",(?,?,?,?)");
        *at++ = db_text(changes[i].before.name);
        *at++ = db_int(changes[i].remaining);
        *at++ = db_int(changes[i].version);
        *at++ = db_int((int64_t)token);
    }
    if (sql.failed)
        return RC_NO_MEMORY;
    int64_t affected;
    enum rc rc = db_exec(db, sql.data, values, n_new * N_COLUMNS, &affected);
    return rc == RC_DUPLICATE ? RC_CONFLICT : rc;
}

static enum rc save(struct db *db, enum update_rule rule, uint64_t token,
                    const struct counter_change *changes, size_t n, enum db_when when)
{
    size_t n_new = 0;
    for (size_t i = 0; i < n; i++)
        n_new += changes[i].before.version == 0;
    enum rc rc = n_new > 0 ? insert_new(db, token, changes, n, n_new) : RC_OK;
    return rc == RC_OK ? save_old(db, rule, token, changes, n, n - n_new, when) : rc;
}

enum rc counter_save(struct db *db, enum update_rule rule, uint64_t token,
                     const struct counter_change *changes, size_t n)
{
    return save(db, rule, token, changes, n, DB_NOW);
}

enum rc counter_save_before_load(struct db *db, enum update_rule rule, uint64_t token,
                                 const struct counter_change *changes, size_t n)
{
    return save(db, rule, token, changes, n, DB_WITH_QUERY);
}

enum rc counter_insert(struct db *db, const char *name, int64_t remaining)
{
    struct db_value values[] = {db_text(name), db_int(remaining), db_int(1), db_int(0)};
    return db_insert(db, COLUMNS, N_COLUMNS, values, 1);
}
