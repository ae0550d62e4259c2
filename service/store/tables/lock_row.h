// The lock table: one row a lock, with owner, expiry by the database's clock, and fencing token.
//
// Every function takes a set of distinct names in sorted order, so that two sets cannot deadlock,
// and is all or nothing: a set of one is single statements that commit by themselves, a larger one
// a short transaction of its own. Call outside a transaction. Failures are those of db.h; after
// RC_BACKEND_UNAVAILABLE or RC_OUTCOME_UNKNOWN it may have happened all the same.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

struct db;

// Takes the locks if nobody has any of them or the leases have expired. The token is above all that
// these rows have seen. RC_LOCK_BUSY if somebody has one.
MUST_CHECK enum rc lock_row_acquire(struct db *db, const char *const *names, size_t n,
                                    const char *owner, int64_t ttl_ms, uint64_t *ret_token);

// The leases of all of them now end ttl_ms from now. RC_LOCK_LOST, and nothing was changed, if this
// owner no longer has every one.
MUST_CHECK enum rc lock_row_renew(struct db *db, const char *const *names, size_t n,
                                  const char *owner, int64_t ttl_ms);

// Frees what this owner still has, expired or not; RC_LOCK_LOST if another one took any of them.
MUST_CHECK enum rc lock_row_release(struct db *db, const char *const *names, size_t n,
                                    const char *owner);

// Raises the rows' tokens above the floor while this owner has all of them. RC_LOCK_LOST otherwise.
MUST_CHECK enum rc lock_row_lift(struct db *db, const char *const *names, size_t n,
                                 const char *owner, uint64_t floor, uint64_t *ret_token);
