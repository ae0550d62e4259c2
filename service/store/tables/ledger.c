// Inserts and reads ledger rows. No row is ever changed or deleted.
#include "store/tables/ledger.h"

#include "base/text.h"
#include "store/db/db.h"

#include <stdlib.h>

#define COLUMNS                                                                                    \
    "counter, version, delta, remaining, request_key, leg, fingerprint, user_id, order_id,"        \
    " reason, strategy, token, created_at"
#define N_COLUMNS 13

enum rc ledger_insert(struct db *db, const struct ledger_row *rows, size_t n)
{
    struct db_value *values CLEANUP(free_memory) = calloc(n * N_COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(rows[i].counter);
        *at++ = db_int(rows[i].version);
        *at++ = db_int(rows[i].delta);
        *at++ = db_int(rows[i].remaining);
        *at++ = db_text_or_null(rows[i].request_key);
        *at++ = db_int(rows[i].leg);
        *at++ = db_int(rows[i].fingerprint);
        *at++ = db_text_or_null(rows[i].user_id);
        *at++ = db_text_or_null(rows[i].order_id);
        *at++ = db_text(rows[i].reason);
        *at++ = db_text(rows[i].strategy);
        *at++ = db_int(rows[i].token);
        *at++ = db_int(rows[i].created_at_ms);
    }
    return db_insert(db, "ledger (" COLUMNS ")", N_COLUMNS, values, n);
}

struct reader {
    ledger_row_fn on_row;
    void *arg;
};

static enum rc read_row(void *arg, const struct db_row *from)
{
    struct reader *reader = arg;
    struct ledger_row row = {
        .version = db_row_int(from, 1),
        .delta = db_row_int(from, 2),
        .remaining = db_row_int(from, 3),
        .leg = db_row_int(from, 5),
        .fingerprint = db_row_int(from, 6),
        .token = db_row_int(from, 11),
        .created_at_ms = db_row_int(from, 12),
    };
    bool whole = text_copy(row.counter, sizeof row.counter, db_row_text(from, 0)) &&
                 text_copy(row.request_key, sizeof row.request_key, db_row_text(from, 4)) &&
                 text_copy(row.user_id, sizeof row.user_id, db_row_text(from, 7)) &&
                 text_copy(row.order_id, sizeof row.order_id, db_row_text(from, 8)) &&
                 text_copy(row.reason, sizeof row.reason, db_row_text(from, 9)) &&
                 text_copy(row.strategy, sizeof row.strategy, db_row_text(from, 10));
    return whole ? reader->on_row(reader->arg, &row) : RC_INTERNAL;
}

enum rc ledger_find(struct db *db, const char *const *request_keys, size_t n, ledger_row_fn on_row,
                    void *arg)
{
    struct reader reader = {on_row, arg};
    size_t at_once = db_is_sqlite(db) ? 1 : n;
    struct db_value *keys CLEANUP(free_memory) = calloc(n, sizeof *keys);
    struct buffer sql CLEANUP(buffer_release) = {0};
    if (n == 0)
        return RC_OK;
    if (keys == NULL)
        return RC_NO_MEMORY;
    buffer_append_text(&sql, "SELECT " COLUMNS " FROM ledger WHERE leg = 0 AND request_key IN (?");
    for (size_t i = 1; i < at_once; i++)
        buffer_append_text(&sql, ",?");
    buffer_append_text(&sql, ")");
    if (sql.failed)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        keys[i] = db_text(request_keys[i]);
    for (size_t from = 0; from < n; from += at_once) {
        enum rc rc = db_query(db, sql.data, keys + from, at_once, read_row, &reader);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc keep_row(void *arg, const struct ledger_row *row)
{
    *(struct ledger_row *)arg = *row;
    return RC_OK;
}

enum rc ledger_find_leg(struct db *db, const char *request_key, int64_t leg,
                        struct ledger_row *ret_row)
{
    struct ledger_row found = {0};
    struct reader reader = {keep_row, &found};
    struct db_value params[] = {db_text(request_key), db_int(leg)};
    enum rc rc = db_query(db, "SELECT " COLUMNS " FROM ledger WHERE request_key = ? AND leg = ?",
                          params, ARRAY_LENGTH(params), read_row, &reader);
    if (rc != RC_OK)
        return rc;
    if (found.version == 0)
        return RC_NOT_FOUND;
    *ret_row = found;
    return RC_OK;
}

enum rc ledger_find_legs(struct db *db, const char *request_key, ledger_row_fn on_row, void *arg)
{
    struct reader reader = {on_row, arg};
    struct db_value key = db_text(request_key);
    return db_query(db, "SELECT " COLUMNS " FROM ledger WHERE request_key = ? ORDER BY leg", &key,
                    1, read_row, &reader);
}

enum rc ledger_page(struct db *db, const char *counter, int64_t after_version, int64_t limit,
                    ledger_row_fn on_row, void *arg)
{
    struct reader reader = {on_row, arg};
    struct db_value params[] = {db_text(counter), db_int(after_version), db_int(limit)};
    return db_query(db,
                    "SELECT " COLUMNS " FROM ledger WHERE counter = ? AND version > ?"
                    " ORDER BY version LIMIT ?",
                    params, ARRAY_LENGTH(params), read_row, &reader);
}
