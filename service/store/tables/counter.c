// Load and save of counters. The five update rules stand side by side in `demands`: what a strategy
// is worth is decided by these lines.
//
// A transaction over many counters is one statement on MySQL (an UPDATE joined to the list of what
// is to be written: its row count tells whether every demand was met) and one prepared statement a
// counter on SQLite, where a statement costs no round trip.
#include "store/tables/counter.h"

#include "base/text.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

struct load {
    struct counter *counters;
    size_t n;
    int64_t now_ms;
};

static int compare_name(const void *name, const void *counter)
{
    return strcmp(name, ((const struct counter *)counter)->name);
}

static enum rc on_counter(void *arg, const struct db_row *row)
{
    struct load *load = arg;
    struct counter *counter =
        bsearch(db_row_text(row, 0), load->counters, load->n, sizeof *load->counters, compare_name);
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
                  db_now_ms_sql(db));
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
    return RC_OK;
}

// What a rule writes and what it demands of the row, for one counter (parameters in the order that
// `fill` gives them) and for many (`w` is the list joined to the table).
struct demand {
    const char *one, *many;
};

static const struct demand demands[] = {
    [RULE_NAIVE] = {"UPDATE counter SET remaining = ?, version = ? WHERE name = ?",
                    "c.name = w.name SET c.remaining = w.remaining, c.version = w.version"},
    [RULE_LOCKED] = {"UPDATE counter SET remaining = ?, version = ? WHERE name = ?",
                     "c.name = w.name SET c.remaining = w.remaining, c.version = w.version"},
    [RULE_VERSION] =
        {"UPDATE counter SET remaining = ?, version = ? WHERE name = ? AND version = ?",
         "c.name = w.name AND c.version = w.version_read"
         " SET c.remaining = w.remaining, c.version = w.version"},
    [RULE_FENCED] = {"UPDATE counter SET remaining = ?, version = ?, fence = ?"
                     " WHERE name = ? AND version = ? AND fence <= ?",
                     "c.name = w.name AND c.version = w.version_read AND c.fence <= w.token"
                     " SET c.remaining = w.remaining, c.version = w.version, c.fence = w.token"},
    // Here remaining and version of `w` are what is added.
    [RULE_CONDITIONAL] = {"UPDATE counter SET remaining = remaining + ?, version = version + ?"
                          " WHERE name = ? AND remaining >= ?",
                          "c.name = w.name AND c.remaining >= w.demanded"
                          " SET c.remaining = c.remaining + w.remaining,"
                          " c.version = c.version + w.version"},
};

static enum rc save_one(struct db *db, enum update_rule rule, uint64_t token,
                        const struct counter_change *change)
{
    struct db_value values[6];
    size_t n = 0;
    int64_t delta = change->remaining - change->before.remaining;
    bool relative = rule == RULE_CONDITIONAL;
    values[n++] = db_int(relative ? delta : change->remaining);
    values[n++] = db_int(relative ? change->version - change->before.version : change->version);
    if (rule == RULE_FENCED)
        values[n++] = db_int((int64_t)token);
    values[n++] = db_text(change->before.name);
    if (rule == RULE_VERSION || rule == RULE_FENCED)
        values[n++] = db_int(change->before.version);
    if (rule == RULE_FENCED)
        values[n++] = db_int((int64_t)token);
    if (relative)
        values[n++] = db_int(delta < 0 ? -delta : 0);
    int64_t affected;
    enum rc rc = db_exec(db, demands[rule].one, values, n, &affected);
    return rc == RC_OK && affected != 1 ? RC_CONFLICT : rc;
}

#define MANY_COLUMNS 6

static enum rc save_many(struct db *db, enum update_rule rule, uint64_t token,
                         const struct counter_change *changes, size_t n)
{
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value *values CLEANUP(free_memory) = calloc(n * MANY_COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    buffer_append_text(&sql, "UPDATE counter c JOIN (");
    for (size_t i = 0; i < n; i++) {
        const struct counter_change *change = &changes[i];
        int64_t delta = change->remaining - change->before.remaining;
        bool relative = rule == RULE_CONDITIONAL;
        buffer_append_text(&sql, i == 0 ? "SELECT CAST(? AS BINARY) AS name, ? AS remaining,"
                                          " ? AS version, ? AS version_read, ? AS token,"
                                          " ? AS demanded"
                                        : " UNION ALL SELECT ?,?,?,?,?,?");
        *at++ = db_text(change->before.name);
        *at++ = db_int(relative ? delta : change->remaining);
        *at++ = db_int(relative ? change->version - change->before.version : change->version);
        *at++ = db_int(change->before.version);
        *at++ = db_int((int64_t)token);
        *at++ = db_int(delta < 0 ? -delta : 0);
    }
    buffer_append_text(&sql, ") w ON ");
    buffer_append_text(&sql, demands[rule].many);
    if (sql.failed)
        return RC_NO_MEMORY;
    int64_t affected;
    enum rc rc = db_exec(db, sql.data, values, n * MANY_COLUMNS, &affected);
    return rc == RC_OK && affected != (int64_t)n ? RC_CONFLICT : rc;
}

enum rc counter_save(struct db *db, enum update_rule rule, uint64_t token,
                     const struct counter_change *changes, size_t n)
{
    if (n > 1 && !db_is_sqlite(db))
        return save_many(db, rule, token, changes, n);
    for (size_t i = 0; i < n; i++) {
        enum rc rc = save_one(db, rule, token, &changes[i]);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc counter_insert(struct db *db, const char *name, int64_t remaining)
{
    struct db_value values[] = {db_text(name), db_int(remaining), db_int(1), db_int(0)};
    return db_insert(db, "counter (name, remaining, version, fence)", ARRAY_LENGTH(values), values,
                     1);
}
