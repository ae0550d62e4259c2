// The lock table of the strategy `lock-table`. Acquiring is a compare-and-set on the token: a plain
// read shows whether the lock is free, then one UPDATE takes it if the token is still the same. A
// contender that finds the lock taken costs one read.
//
// A released lock keeps its row with owner NULL, so that its tokens never decrease. Only the row of
// a counter that does not exist is deleted: no row has seen its tokens. Whether a lease
// has expired is decided by the database's own clock, in the statement that takes the lock.
#include "store/tables/lock_row.h"

#include "store/db/db.h"

#include <stdio.h>

#define SQL_MAX 256

struct lock_row {
    bool exists, free;
    bool ours;
    int64_t token;
};

static enum rc read_row(void *arg, const struct db_row *row)
{
    struct lock_row *lock = arg;
    lock->exists = true;
    lock->free = db_row_int(row, 0) != 0;
    lock->ours = db_row_int(row, 1) != 0;
    lock->token = db_row_int(row, 2);
    return RC_OK;
}

static enum rc read_lock(struct db *db, const char *name, const char *owner,
                         struct lock_row *ret_lock)
{
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql,
             "SELECT CASE WHEN owner IS NULL OR expires_at < %s THEN 1 ELSE 0 END, "
             "CASE WHEN owner = ? THEN 1 ELSE 0 END, token FROM lock_row WHERE name = ?",
             db_now_ms_sql(db));
    struct db_value params[] = {db_text(owner), db_text(name)};
    *ret_lock = (struct lock_row){0};
    return db_query(db, sql, params, 2, read_row, ret_lock);
}

static enum rc take_lock(struct db *db, const char *name, const char *owner, int64_t ttl_ms,
                         const struct lock_row *seen, int64_t token)
{
    char sql[SQL_MAX];
    const char *now = db_now_ms_sql(db);
    int64_t rows = 0;
    enum rc rc;
    if (!seen->exists) {
        snprintf(sql, sizeof sql,
                 "INSERT INTO lock_row (name, owner, expires_at, token) VALUES (?, ?, %s + ?, ?)",
                 now);
        struct db_value params[] = {db_text(name), db_text(owner), db_int(ttl_ms), db_int(token)};
        rc = db_exec(db, sql, params, 4, &rows);
        return rc == RC_DUPLICATE ? RC_LOCK_BUSY : rc;
    }
    snprintf(sql, sizeof sql,
             "UPDATE lock_row SET owner = ?, expires_at = %s + ?, token = ? "
             "WHERE name = ? AND token = ? AND (owner IS NULL OR expires_at < %s)",
             now, now);
    struct db_value params[] = {db_text(owner), db_int(ttl_ms), db_int(token), db_text(name),
                                db_int(seen->token)};
    rc = db_exec(db, sql, params, 5, &rows);
    return rc == RC_OK && rows == 0 ? RC_LOCK_BUSY : rc;
}

// An UPDATE or DELETE of one row that demands this owner.
static enum rc update_own(struct db *db, const char *sql, const struct db_value *params,
                          size_t n_params)
{
    int64_t rows = 0;
    enum rc rc = db_exec(db, sql, params, n_params, &rows);
    return rc == RC_OK && rows == 0 ? RC_LOCK_LOST : rc;
}

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

#define SET_MAX 256

static enum rc acquire_all(struct db *db, const char *const *names, size_t n, const char *owner,
                           int64_t ttl_ms, uint64_t *ret_token)
{
    struct lock_row seen[SET_MAX];
    int64_t token = 0;
    for (size_t i = 0; i < n; i++) {
        enum rc rc = read_lock(db, names[i], owner, &seen[i]);
        if (rc != RC_OK)
            return rc;
        if (seen[i].exists && !seen[i].free)
            return RC_LOCK_BUSY;
        if (seen[i].token > token)
            token = seen[i].token;
    }
    token++;
    for (size_t i = 0; i < n; i++) {
        enum rc rc = take_lock(db, names[i], owner, ttl_ms, &seen[i], token);
        if (rc != RC_OK)
            return rc;
    }
    *ret_token = (uint64_t)token;
    return RC_OK;
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

enum rc lock_row_release(struct db *db, const char *const *names, const bool *unknown, size_t n,
                         const char *owner)
{
    static const char keep[] = "UPDATE lock_row SET owner = NULL WHERE name = ? AND owner = ?";
    static const char drop[] = "DELETE FROM lock_row WHERE name = ? AND owner = ?";
    enum rc rc = begin(db, n);
    if (rc != RC_OK)
        return rc;
    bool lost = false;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        struct db_value params[] = {db_text(names[i]), db_text(owner)};
        rc = update_own(db, unknown != NULL && unknown[i] ? drop : keep, params, 2);
        if (rc == RC_LOCK_LOST) { // go on and release the rest
            lost = true;
            rc = RC_OK;
        }
    }
    rc = end(db, n, rc);
    return rc == RC_OK && lost ? RC_LOCK_LOST : rc;
}

static enum rc renew_all(struct db *db, const char *const *names, size_t n, const char *owner,
                         int64_t ttl_ms)
{
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql,
             "UPDATE lock_row SET expires_at = %s + ? WHERE name = ? AND owner = ?",
             db_now_ms_sql(db));
    for (size_t i = 0; i < n; i++) {
        struct db_value params[] = {db_int(ttl_ms), db_text(names[i]), db_text(owner)};
        enum rc rc = update_own(db, sql, params, 3);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc lock_row_renew(struct db *db, const char *const *names, size_t n, const char *owner,
                       int64_t ttl_ms)
{
    enum rc rc = begin(db, n);
    return rc == RC_OK ? end(db, n, renew_all(db, names, n, owner, ttl_ms)) : rc;
}

static enum rc lift_all(struct db *db, const char *const *names, size_t n, const char *owner,
                        uint64_t floor, int64_t *ret_token)
{
    int64_t token = (int64_t)floor;
    for (size_t i = 0; i < n; i++) {
        struct lock_row seen;
        enum rc rc = read_lock(db, names[i], owner, &seen);
        if (rc != RC_OK)
            return rc;
        if (!seen.ours)
            return RC_LOCK_LOST;
        if (seen.token > token)
            token = seen.token;
    }
    token++;
    for (size_t i = 0; i < n; i++) {
        struct db_value params[] = {db_int(token), db_text(names[i]), db_text(owner)};
        enum rc rc =
            update_own(db, "UPDATE lock_row SET token = ? WHERE name = ? AND owner = ?", params, 3);
        if (rc != RC_OK)
            return rc;
    }
    *ret_token = token;
    return RC_OK;
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
