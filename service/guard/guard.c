// The calls that the engine makes of a strategy. They supply the default of every optional slot, so
// that the engine never tests a slot for NULL. They also fill in the common part of a hold, and
// add it to the renewal while it is inside.
#include "guard/guard.h"

#include "base/clock.h"
#include "base/random.h"
#include "guard/renewal.h"

#include <stdlib.h>
#include <string.h>

// 128 random bits: two holds never share an owner, so a release by owner frees only its own.
static void make_owner(char *owner)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];
    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        owner[2 * i] = digits[bytes[i] >> 4];
        owner[2 * i + 1] = digits[bytes[i] & 15];
    }
    owner[2 * sizeof bytes] = '\0';
}

enum rc guard_enter(struct guard *guard, struct db *db, const char *const *keys, size_t n_keys,
                    int64_t deadline_ns, struct guard_hold *ret_hold)
{
    const struct strategy *strategy = guard->strategy;
    memset(ret_hold, 0, sizeof *ret_hold);
    ret_hold->keys = keys;
    ret_hold->n_keys = n_keys;
    ret_hold->expires_ns = INT64_MAX;
    if (strategy->enter != NULL) {
        if (strategy->scope == SCOPE_CLUSTER)
            make_owner(ret_hold->owner);
        enum rc rc = strategy->enter(guard, db, keys, n_keys, deadline_ns, ret_hold);
        if (rc != RC_OK)
            return rc;
    }
    ret_hold->entered_ns = clock_now_ns();
    if (guard->renewal != NULL && strategy->renew != NULL)
        renewal_add(guard->renewal, guard, ret_hold);
    return RC_OK;
}

enum rc guard_leave(struct guard *guard, struct db *db, struct guard_hold *hold)
{
    if (guard->renewal != NULL)
        renewal_remove(guard->renewal, hold);
    return guard->strategy->leave != NULL ? guard->strategy->leave(guard, db, hold) : RC_OK;
}

bool guard_held(struct guard *guard, const struct guard_hold *hold)
{
    int64_t expires_ns = hold->expires_ns;
    if (expires_ns != INT64_MAX && clock_now_ns() >= expires_ns)
        return false;
    return guard->strategy->held == NULL || guard->strategy->held(guard, hold);
}

enum rc guard_lift(struct guard *guard, struct db *db, struct guard_hold *hold, uint64_t floor)
{
    return guard->strategy->lift != NULL ? guard->strategy->lift(guard, db, hold, floor)
                                         : RC_STALE_TOKEN;
}

enum rc guard_ping(struct guard *guard, struct guard_trouble *ret_trouble)
{
    return guard->strategy->ping != NULL ? guard->strategy->ping(guard, ret_trouble) : RC_OK;
}

bool strategy_is_lock(const struct strategy *strategy)
{
    return strategy->enter != NULL && strategy->scope == SCOPE_CLUSTER;
}

const char *guard_scope_name(enum guard_scope scope)
{
    switch (scope) {
    case SCOPE_NOTHING:
        return "nothing";
    case SCOPE_PROCESS:
        return "process";
    case SCOPE_CLUSTER:
        return "cluster";
    }
    return "unknown";
}

enum rc guard_open(const struct strategy *strategy, const struct guard_settings *settings,
                   struct guard **ret_guard, char *ret_why)
{
    struct guard *guard = NULL;
    if (strategy->open != NULL) {
        enum rc rc = strategy->open(settings, &guard, ret_why);
        if (rc != RC_OK)
            return rc;
    } else {
        guard = calloc(1, sizeof *guard);
        if (guard == NULL)
            return RC_NO_MEMORY;
    }
    guard->strategy = strategy;
    *ret_guard = guard;
    return RC_OK;
}

void guard_close(struct guard *guard)
{
    if (guard == NULL)
        return;
    if (guard->strategy->close != NULL)
        guard->strategy->close(guard);
    else
        free(guard);
}
