// The lock table of the strategy `lock-table`. Acquiring is a compare-and-set: a plain read shows
// whether the locks are free, then one UPDATE takes them if they are still free and none of their
// tokens has reached the new one. A contender that finds a lock taken costs one read. A set of
// locks is read, taken, extended and released by one statement each, however many they are; rows
// that do not exist yet are inserted by another.
//
// Two sets lock their common rows in the order of the names, because a statement visits its rows in
// the order of the primary key. Only inserted rows come behind the others; the database ends a
// deadlock over them as a conflict.
//
// A released lock keeps its row with owner NULL, so that its tokens never decrease. Only the row of
// a counter that does not exist is deleted: no row has seen its tokens. Whether a lease
// has expired is decided by the database's own clock, in the statement that takes the lock.
#include "store/tables/lock_row.h"

#include "base/text.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

#define SET_MAX 256
#define FIRST_MAX 4 // parameters before the names

// A statement over a set of locks: `head`, which ends with IN, and the names. Its first parameters
// stand before the names.
struct statement {
    struct buffer sql;
    struct db_value params[FIRST_MAX + SET_MAX];
    size_t n_params;
};

static void release_statement(struct statement *statement)
{
    buffer_release(&statement->sql);
}

static void add_param(struct statement *statement, struct db_value value)
{
    statement->params[statement->n_params++] = value;
}

// Adds the names whose `chosen` is this; all, if it is NULL. Returns how many.
static size_t add_names(struct statement *statement, const char *const *names, size_t n,
                        const bool *chosen, bool which)
{
    size_t added = 0;
    for (size_t i = 0; i < n; i++) {
        if (chosen != NULL && chosen[i] != which)
            continue;
        buffer_append_text(&statement->sql, added++ == 0 ? " (?" : ",?");
        add_param(statement, db_text(names[i]));
    }
    buffer_append_text(&statement->sql, ")");
    return added;
}

// RC_LOCK_LOST if it did not match so many rows.
static enum rc run(struct db *db, const struct statement *statement, size_t n)
{
    int64_t rows = 0;
    if (statement->sql.failed)
        return RC_NO_MEMORY;
    enum rc rc = db_exec(db, statement->sql.data, statement->params, statement->n_params, &rows);
    return rc == RC_OK && rows != (int64_t)n ? RC_LOCK_LOST : rc;
}

// ---- read ---------------------------------------------------------------------------------------

struct seen {
    const char *const *names;
    size_t n;
    bool exists[SET_MAX];
    size_t n_existing, n_taken, n_ours;
    int64_t token; // the highest
};

static int compare_name(const void *name, const void *at)
{
    return strcmp(name, *(const char *const *)at);
}

static enum rc read_row(void *arg, const struct db_row *row)
{
    struct seen *seen = arg;
    const char *const *at =
        bsearch(db_row_text(row, 0), seen->names, seen->n, sizeof *seen->names, compare_name);
    if (at == NULL)
        return RC_INTERNAL;
    seen->exists[at - seen->names] = true;
    seen->n_existing++;
    seen->n_taken += db_row_int(row, 1) != 0;
    seen->n_ours += db_row_int(row, 2) != 0;
    if (db_row_int(row, 3) > seen->token)
        seen->token = db_row_int(row, 3);
    return RC_OK;
}

static enum rc read_all(struct db *db, const char *const *names, size_t n, const char *owner,
                        struct seen *ret_seen)
{
    struct statement statement CLEANUP(release_statement) = {0};
    *ret_seen = (struct seen){.names = names, .n = n};
    buffer_format(&statement.sql,
                  "SELECT name, CASE WHEN owner IS NULL OR expires_at < %s THEN 0 ELSE 1 END,"
                  " CASE WHEN owner = ? THEN 1 ELSE 0 END, token FROM lock_row WHERE name IN",
                  db_now_ms_sql(db));
    add_param(&statement, db_text(owner));
    (void)add_names(&statement, names, n, NULL, true);
    if (statement.sql.failed)
        return RC_NO_MEMORY;
    return db_query(db, statement.sql.data, statement.params, statement.n_params, read_row,
                    ret_seen);
}

// ---- acquire ------------------------------------------------------------------------------------

// A set of several locks is a transaction of its own; a single lock needs none.
static enum rc begin(struct db *db, size_t n)
{
    return n > 1 ? db_begin(db, DB_BEGIN_WRITE) : RC_OK;
}

static enum rc end(struct db *db, size_t n, enum rc rc)
{
    if (n <= 1)
        return rc;
    if (rc == RC_OK)
        rc = db_commit(db);
    if (rc != RC_OK)
        db_rollback(db);
    return rc;
}

static enum rc take_existing(struct db *db, const struct seen *seen, const char *owner,
                             int64_t ttl_ms, int64_t token)
{
    struct statement statement CLEANUP(release_statement) = {0};
    const char *now = db_now_ms_sql(db);
    buffer_format(&statement.sql,
                  "UPDATE lock_row SET owner = ?, expires_at = %s + ?, token = ? WHERE token < ?"
                  " AND (owner IS NULL OR expires_at < %s) AND name IN",
                  now, now);
    add_param(&statement, db_text(owner));
    add_param(&statement, db_int(ttl_ms));
    add_param(&statement, db_int(token));
    add_param(&statement, db_int(token));
    (void)add_names(&statement, seen->names, seen->n, seen->exists, true);
    enum rc rc = run(db, &statement, seen->n_existing);
    return rc == RC_LOCK_LOST ? RC_LOCK_BUSY : rc;
}

static enum rc take_new(struct db *db, const struct seen *seen, const char *owner, int64_t ttl_ms,
                        int64_t token)
{
    enum { COLUMNS = 4 };
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value params[COLUMNS * SET_MAX];
    size_t n_params = 0;
    buffer_append_text(&sql, "INSERT INTO lock_row (name, owner, expires_at, token) VALUES ");
    for (size_t i = 0; i < seen->n; i++) {
        if (seen->exists[i])
            continue;
        buffer_format(&sql, "%s(?, ?, %s + ?, ?)", n_params == 0 ? "" : ", ", db_now_ms_sql(db));
        params[n_params++] = db_text(seen->names[i]);
        params[n_params++] = db_text(owner);
        params[n_params++] = db_int(ttl_ms);
        params[n_params++] = db_int(token);
    }
    if (sql.failed)
        return RC_NO_MEMORY;
    enum rc rc = db_exec(db, sql.data, params, n_params, NULL);
    return rc == RC_DUPLICATE ? RC_LOCK_BUSY : rc;
}

static enum rc acquire_all(struct db *db, const char *const *names, size_t n, const char *owner,
                           int64_t ttl_ms, uint64_t *ret_token)
{
    struct seen seen;
    enum rc rc = read_all(db, names, n, owner, &seen);
    if (rc == RC_OK && seen.n_taken > 0)
        rc = RC_LOCK_BUSY;
    int64_t token = seen.token + 1;
    if (rc == RC_OK && seen.n_existing > 0)
        rc = take_existing(db, &seen, owner, ttl_ms, token);
    if (rc == RC_OK && seen.n_existing < n)
        rc = take_new(db, &seen, owner, ttl_ms, token);
    *ret_token = (uint64_t)token;
    return rc;
}

enum rc lock_row_acquire(struct db *db, const char *const *names, size_t n, const char *owner,
                         int64_t ttl_ms, uint64_t *ret_token)
{
    if (n == 0 || n > SET_MAX)
        return RC_INTERNAL;
    uint64_t token = 0;
    enum rc rc = begin(db, n);
    if (rc != RC_OK)
        return rc;
    rc = end(db, n, acquire_all(db, names, n, owner, ttl_ms, &token));
    if (rc == RC_OK)
        *ret_token = token;
    return rc;
}

// ---- release, renew, lift -----------------------------------------------------------------------

// `head`: an UPDATE or DELETE that demands an owner, up to IN. Of the names whose `chosen` is this.
static enum rc change_own(struct db *db, const char *head, const int64_t *number, const char *owner,
                          const char *const *names, size_t n, const bool *chosen, bool which)
{
    struct statement statement CLEANUP(release_statement) = {0};
    buffer_append_text(&statement.sql, head);
    if (number != NULL)
        add_param(&statement, db_int(*number));
    add_param(&statement, db_text(owner));
    size_t added = add_names(&statement, names, n, chosen, which);
    return added > 0 ? run(db, &statement, added) : RC_OK;
}

enum rc lock_row_release(struct db *db, const char *const *names, const bool *unknown, size_t n,
                         const char *owner)
{
    size_t n_unknown = 0;
    for (size_t i = 0; unknown != NULL && i < n; i++)
        n_unknown += unknown[i];
    bool both = n_unknown > 0 && n_unknown < n; // else one statement, which needs no transaction
    enum rc rc = begin(db, both ? n : 1);
    if (rc != RC_OK)
        return rc;
    rc = change_own(db, "UPDATE lock_row SET owner = NULL WHERE owner = ? AND name IN", NULL, owner,
                    names, n, unknown, false);
    bool lost = rc == RC_LOCK_LOST; // go on and release the rest
    if (n_unknown > 0 && (rc == RC_OK || lost)) {
        rc = change_own(db, "DELETE FROM lock_row WHERE owner = ? AND name IN", NULL, owner, names,
                        n, unknown, true);
        lost = lost || rc == RC_LOCK_LOST;
    }
    rc = end(db, both ? n : 1, rc == RC_LOCK_LOST ? RC_OK : rc);
    return rc == RC_OK && lost ? RC_LOCK_LOST : rc;
}

enum rc lock_row_renew(struct db *db, const char *const *names, size_t n, const char *owner,
                       int64_t ttl_ms)
{
    char head[256];
    text_format(head, sizeof head,
                "UPDATE lock_row SET expires_at = %s + ? WHERE owner = ? AND name IN",
                db_now_ms_sql(db));
    enum rc rc = begin(db, n);
    return rc == RC_OK ? end(db, n, change_own(db, head, &ttl_ms, owner, names, n, NULL, true))
                       : rc;
}

static enum rc lift_all(struct db *db, const char *const *names, size_t n, const char *owner,
                        uint64_t floor, int64_t *ret_token)
{
    struct seen seen;
    enum rc rc = read_all(db, names, n, owner, &seen);
    if (rc == RC_OK && seen.n_ours < n)
        rc = RC_LOCK_LOST;
    if (rc != RC_OK)
        return rc;
    *ret_token = ((int64_t)floor > seen.token ? (int64_t)floor : seen.token) + 1;
    return change_own(db, "UPDATE lock_row SET token = ? WHERE owner = ? AND name IN", ret_token,
                      owner, names, n, NULL, true);
}

enum rc lock_row_lift(struct db *db, const char *const *names, size_t n, const char *owner,
                      uint64_t floor, uint64_t *ret_token)
{
    if (floor >= INT64_MAX)
        return RC_INTERNAL;
    int64_t token = 0;
    enum rc rc = begin(db, n);
    if (rc != RC_OK)
        return rc;
    rc = end(db, n, lift_all(db, names, n, owner, floor, &token));
    if (rc == RC_OK)
        *ret_token = (uint64_t)token;
    return rc;
}
