// Which orders an account has earned points for.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"

#include <stddef.h>
#include <stdint.h>

struct db;

struct earned {
    const char *user_id, *order_id; // borrowed
    int64_t version;                // of the counter points/USER
    int64_t created_at_ms;
};

// RC_DUPLICATE: the account has already earned points for one of these orders.
MUST_CHECK enum rc earned_insert(struct db *db, const struct earned *earned, size_t n);

// ret_used[i]: 1 if the account of users[i] has earned points for orders[i], else 0.
MUST_CHECK enum rc earned_count(struct db *db, const char *const *users, const char *const *orders,
                                size_t n, int64_t *ret_used);
