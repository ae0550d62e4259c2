// Expire before you refuse: an operation that would be refused for too little first gets what holds
// on that counter have kept past their time. The expiry of a hold is an operation of its own, which
// the batch adds and decides first. So a refusal means that too little is left and that no hold is
// due.
#include "engine/batch.h"

#include "base/text.h"
#include "domain/reservation.h"
#include "store/db/db.h"
#include "store/tables/reservation.h"

#include <stdlib.h>
#include <string.h>

struct expiry {
    struct operation operation;
    char child[COUNTER_NAME_MAX + 1], reservation[RESERVATION_ID_MAX + 1];
    int64_t expires_at_ms;
};

// Marks the roots of refusing legs whose due holds have not been read. False if there are none.
static bool find_roots(struct batch *batch, bool wanted[GUARD_KEYS_MAX])
{
    bool any = false;
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        if (work->state != WORK_REFUSED || !work->expire_first)
            continue;
        for (size_t leg = 0; leg < operation_n_legs(work->operation); leg++) {
            size_t root = batch->legs[work->first_leg + leg];
            bool wants = operation_leg(work->operation, leg)->refused &&
                         !batch->roots[root].due_read && batch->loaded[root].version != 0;
            wanted[root] = wanted[root] || wants;
            any = any || wants;
        }
    }
    return any;
}

struct adding {
    struct batch *batch;
    size_t root;
};

static enum rc add_expiry(void *arg, const struct hold *hold)
{
    const struct adding *adding = arg;
    struct batch *batch = adding->batch;
    struct expiry *expiry = &batch->expiries[batch->n_expiries];
    *expiry = (struct expiry){.expires_at_ms = hold->expires_at_ms};
    struct operation *operation = &expiry->operation;
    const char *counter = batch->loaded[adding->root].name;
    operation->kind = OPERATION_EXPIRE;
    operation->leg.amount = hold->quantity;
    operation->leg.child = expiry->child;
    operation->reservation = expiry->reservation;
    text_copy(expiry->reservation, sizeof expiry->reservation, hold->reservation);
    hold_name(expiry->child, counter_id(counter), hold->reservation, (size_t)hold->line);
    text_copy(operation->leg.counter, sizeof operation->leg.counter, counter);
    reservation_expire_key(operation->request_key, hold->reservation, (size_t)hold->line);
    size_t leg = batch->n_legs++;
    batch->legs[leg] = adding->root;
    batch->subjects[batch->n_subjects] = expiry->reservation;
    batch->used_loaded[batch->n_subjects] = hold->expires_at_ms;
    batch->works[batch->n_works + batch->n_expiries++] =
        (struct work){.operation = operation, .first_leg = leg, .subject = batch->n_subjects++};
    return RC_OK;
}

static enum rc add_due(struct batch *batch, struct db *db, size_t root)
{
    struct adding adding = {batch, root};
    struct counter *counter = &batch->loaded[root];
    size_t from = batch->n_expiries, room = BATCH_EXPIRIES_MAX - from;
    int64_t version, next_ms;
    if (room == 0) {
        batch->more_due = true;
        return RC_OK;
    }
    enum rc rc =
        hold_due(db, counter->name, batch->now_ms, room, add_expiry, &adding, &version, &next_ms);
    if (rc == RC_OK && version != counter->version)
        return RC_CONFLICT;
    batch->roots[root].due_read = true;
    batch->roots[root].next_release_ms = next_ms;
    batch->more_due = batch->more_due || batch->n_expiries - from == room;
    return rc;
}

static size_t find_counter(const struct batch *batch, size_t from, size_t n, const char *name)
{
    struct counter key;
    text_copy(key.name, sizeof key.name, name);
    const struct counter *found =
        bsearch(&key, batch->loaded + from, n, sizeof key, counter_compare);
    return found != NULL ? (size_t)(found - batch->loaded) : SIZE_MAX;
}

// Reads the counters of the expiries from `first` on, except those that legs have named.
static enum rc load_children(struct batch *batch, struct db *db, size_t first)
{
    size_t from = batch->n_counters, n = 0;
    int64_t now_ms; // later than the time that counts
    enum rc rc = batch_grow_counters(batch, from + batch->n_expiries - first);
    if (rc != RC_OK)
        return rc;
    for (size_t i = first; i < batch->n_expiries; i++) {
        const char *child = batch->expiries[i].child;
        if (find_counter(batch, batch->n_roots, batch->n_named, child) == SIZE_MAX)
            text_copy(batch->loaded[from + n++].name, sizeof batch->loaded->name, child);
    }
    qsort(batch->loaded + from, n, sizeof *batch->loaded, counter_compare);
    rc = n > 0 ? counter_load(db, batch->loaded + from, n, false, &now_ms) : RC_OK;
    batch->n_counters += n;
    for (size_t i = first; i < batch->n_expiries; i++) {
        const char *child = batch->expiries[i].child;
        size_t at = find_counter(batch, batch->n_roots, batch->n_named, child);
        at = at != SIZE_MAX ? at : find_counter(batch, from, n, child);
        batch->children[batch->works[batch->n_works + i].first_leg] = at;
        // Another instance has resolved it since, and so its root has moved: a refusal would be
        // stale.
        if (rc == RC_OK && batch->loaded[at].remaining == 0)
            rc = RC_CONFLICT;
    }
    return rc;
}

enum rc batch_expire(struct batch *batch, struct db *db, size_t *ret_n)
{
    bool wanted[GUARD_KEYS_MAX] = {false};
    size_t first = batch->n_expiries;
    enum rc rc = RC_OK;
    *ret_n = 0;
    if (!find_roots(batch, wanted))
        return RC_OK;
    if (batch->expiries == NULL)
        batch->expiries = calloc(BATCH_EXPIRIES_MAX, sizeof *batch->expiries);
    if (batch->expiries == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < batch->n_roots && rc == RC_OK; i++) {
        if (wanted[i])
            rc = add_due(batch, db, i);
    }
    *ret_n = batch->n_expiries - first;
    return rc == RC_OK && *ret_n > 0 ? load_children(batch, db, first) : rc;
}

// The reservations of this batch hold units too, which the next release may bring back.
static void note_own_holds(struct batch *batch, const struct work *work)
{
    int64_t expires_at_ms = work->operation->outcome.expires_at_ms;
    if (work->state != WORK_ACCEPTED || expires_at_ms == 0)
        return;
    for (size_t i = 0; i < operation_n_legs(work->operation); i++) {
        int64_t *next_ms = &batch->roots[batch->legs[work->first_leg + i]].next_release_ms;
        if (*next_ms == 0 || expires_at_ms < *next_ms)
            *next_ms = expires_at_ms;
    }
}

// Says of each leg that had too little when the next hold on its counter expires.
static void tell_releases(const struct batch *batch, const struct work *work)
{
    for (size_t i = 0; i < operation_n_legs(work->operation); i++) {
        struct leg *leg = operation_leg(work->operation, i);
        if (leg->refused)
            leg->next_release_ms = batch->roots[batch->legs[work->first_leg + i]].next_release_ms;
    }
}

bool batch_continue(struct batch *batch)
{
    bool any = false;
    for (size_t i = 0; i < batch->n_works; i++)
        note_own_holds(batch, &batch->works[i]);
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        bool again = batch->more_due && work->state == WORK_REFUSED && work->expire_first;
        if (work->state == WORK_REFUSED && work->expire_first)
            tell_releases(batch, work);
        work->state = again ? WORK_PENDING : WORK_DONE;
        any = any || again;
    }
    return any;
}
