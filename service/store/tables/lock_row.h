// The lock table: one row a lock, with owner, expiry by the database's clock, and fencing token.
//
// Every function takes a set of distinct names in sorted order, so that two sets cannot deadlock.
// It is all or nothing: a set of one uses single statements that commit by themselves, a larger set
// a short transaction of its own. Call outside a transaction. Failures are those of db.h; after
// RC_BACKEND_UNAVAILABLE or RC_OUTCOME_UNKNOWN the change may have been made.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

// Takes the locks if each of them is free or its lease has expired. The token is higher than every
// earlier token of these rows. RC_LOCK_BUSY if another owner holds one of them.
MUST_CHECK enum rc lock_row_acquire(struct db *db, const char *const *names, size_t n,
                                    const char *owner, int64_t ttl_ms, uint64_t *ret_token);

// Extends the leases to ttl_ms from now. RC_LOCK_LOST, with nothing changed, if this owner no
// longer holds all of them.
MUST_CHECK enum rc lock_row_renew(struct db *db, const char *const *names, size_t n,
                                  const char *owner, int64_t ttl_ms);

// Releases the locks that this owner still holds, expired or not. RC_LOCK_LOST if another owner
// took one of them. unknown: for each name, whether its row is deleted, tokens and all; NULL: none.
MUST_CHECK enum rc lock_row_release(struct db *db, const char *const *names, const bool *unknown,
                                    size_t n, const char *owner);

// Raises the tokens above the floor. RC_LOCK_LOST if this owner no longer holds all of the locks.
MUST_CHECK enum rc lock_row_lift(struct db *db, const char *const *names, size_t n,
                                 const char *owner, uint64_t floor, uint64_t *ret_token);
