// Loads and saves counters. The five update rules stand side by side in `update_sql`: these lines
// decide whether a strategy can lose an update.
//
// On MySQL a save of many counters is one statement: an UPDATE joined to the list of new values,
// whose row count tells whether every demand was met. On SQLite it is one prepared statement a
// counter, because a statement there costs no round trip.
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

// The values of one change: the columns of the list `w`, in this order.
enum { NAME, REMAINING, VERSION, VERSION_READ, TOKEN, DEMANDED, N_VALUES };

// What each rule sets, and below it what it demands of the row: in the statement for one counter,
// and in the join for many. A row that does not meet the demand does not match, so the number of
// rows matched tells whether all demands were met.
#define ONE(set, demand) "UPDATE counter SET " set " WHERE name = ?" demand
#define MANY(set, demand) "c.name = w.name" demand " SET " set

static const struct update_sql {
    const char *one;
    int params[N_VALUES]; // of `one`: which value each ? takes
    size_t n_params;
    const char *many; // completes UPDATE (list) w STRAIGHT_JOIN counter c ON
} update_sql[RULE_COUNT] = {
    // clang-format off
    [RULE_NAIVE] = { // demands nothing: this is the bug
        .one  = ONE("remaining = ?, version = ?",
                    ""),
        .params = {REMAINING, VERSION, NAME}, .n_params = 3,
        .many = MANY("c.remaining = w.remaining, c.version = w.version",
                     "")},
    [RULE_LOCKED] = { // the same: the row lock, taken by the load, is the demand
        .one  = ONE("remaining = ?, version = ?",
                    ""),
        .params = {REMAINING, VERSION, NAME}, .n_params = 3,
        .many = MANY("c.remaining = w.remaining, c.version = w.version",
                     "")},
    [RULE_VERSION] = {
        .one  = ONE("remaining = ?, version = ?",
                    " AND version = ?"),
        .params = {REMAINING, VERSION, NAME, VERSION_READ}, .n_params = 4,
        .many = MANY("c.remaining = w.remaining, c.version = w.version",
                     " AND c.version = w.version_read")},
    [RULE_FENCED] = {
        .one  = ONE("remaining = ?, version = ?, fence = ?",
                    " AND version = ? AND fence <= ?"),
        .params = {REMAINING, VERSION, TOKEN, NAME, VERSION_READ, TOKEN}, .n_params = 6,
        .many = MANY("c.remaining = w.remaining, c.version = w.version, c.fence = w.token",
                     " AND c.version = w.version_read AND c.fence <= w.token")},
    [RULE_CONDITIONAL] = { // REMAINING and VERSION are added to the row, whatever it holds
        .one  = ONE("remaining = remaining + ?, version = version + ?",
                    " AND remaining >= ?"),
        .params = {REMAINING, VERSION, NAME, DEMANDED}, .n_params = 4,
        .many = MANY("c.remaining = c.remaining + w.remaining, c.version = c.version + w.version",
                     " AND c.remaining >= w.demanded")},
    // clang-format on
};

static void set_values(enum update_rule rule, uint64_t token, const struct counter_change *change,
                       struct db_value values[N_VALUES])
{
    const struct counter *before = &change->before;
    bool adds = update_rules[rule].adds;
    int64_t delta = change->remaining - before->remaining;
    values[NAME] = db_text(before->name);
    values[REMAINING] = db_int(adds ? delta : change->remaining);
    values[VERSION] = db_int(adds ? change->version - before->version : change->version);
    values[VERSION_READ] = db_int(before->version);
    values[TOKEN] = db_int((int64_t)token);
    values[DEMANDED] = db_int(delta < 0 ? -delta : 0);
}

static enum rc save_one(struct db *db, enum update_rule rule, uint64_t token,
                        const struct counter_change *change, enum db_when when)
{
    const struct update_sql *sql = &update_sql[rule];
    struct db_value values[N_VALUES], params[N_VALUES];
    set_values(rule, token, change, values);
    for (size_t i = 0; i < sql->n_params; i++)
        params[i] = values[sql->params[i]];
    return db_exec_rows(db, sql->one, params, sql->n_params, 1, when);
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

static enum rc save_many(struct db *db, enum update_rule rule, uint64_t token,
                         const struct counter_change *changes, size_t n, size_t n_old,
                         enum db_when when)
{
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value *values CLEANUP(free_memory) = calloc(n_old * N_VALUES, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    // STRAIGHT_JOIN: rows are locked in the order of the list, whatever the optimizer thinks.
    buffer_append_text(&sql, "UPDATE (");
    size_t filled = 0;
    for (size_t i = 0; i < n; i++) {
        if (changes[i].before.version == 0)
            continue;
        buffer_append_text(&sql, filled == 0 ? "SELECT CAST(? AS BINARY) AS name, ? AS remaining,"
                                               " ? AS version, ? AS version_read, ? AS token,"
                                               " ? AS demanded"
                                             : " UNION ALL SELECT ?,?,?,?,?,?");
        set_values(rule, token, &changes[i], values + filled++ * N_VALUES);
    }
    buffer_append_text(&sql, ") w STRAIGHT_JOIN counter c ON ");
    buffer_append_text(&sql, update_sql[rule].many);
    if (sql.failed)
        return RC_NO_MEMORY;
    return db_exec_rows(db, sql.data, values, n_old * N_VALUES, (int64_t)n_old, when);
}

static enum rc save(struct db *db, enum update_rule rule, uint64_t token,
                    const struct counter_change *changes, size_t n, enum db_when when)
{
    size_t n_new = 0;
    for (size_t i = 0; i < n; i++)
        n_new += changes[i].before.version == 0;
    enum rc rc = n_new > 0 ? insert_new(db, token, changes, n, n_new) : RC_OK;
    size_t n_old = n - n_new;
    if (rc == RC_OK && n_old > 1 && !db_is_sqlite(db))
        return save_many(db, rule, token, changes, n, n_old, when);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        if (changes[i].before.version != 0)
            rc = save_one(db, rule, token, &changes[i], when);
    }
    return rc;
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
