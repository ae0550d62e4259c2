// The facts of reservations: when each expires, its record, and its open holds.
#include "domain/reservation.h"
#include "base/text.h"
#include "engine/facts/facts.h"
#include "store/tables/ledger.h"
#include "store/tables/reservation.h"

#include <stdlib.h>
#include <string.h>

const char *subject_reservation(const struct operation *operation)
{
    return operation->reservation;
}

enum rc load_expiries(struct db *db, const struct facts_asked *asked)
{
    return reservation_expiries(db, asked->subjects, asked->n_subjects, asked->used);
}

// ---- what all kinds save ------------------------------------------------------------------------

struct holds {
    struct hold *holds;
    const char **reservations; // one a fact
    size_t n;
};

static void release_holds(struct holds *holds)
{
    free(holds->holds);
    free(holds->reservations);
}

// The holds of all facts. The slot of a fact is the time at which its holds expire.
static enum rc gather_holds(const struct fact *facts, size_t n, struct holds *ret_holds)
{
    size_t n_legs = 0;
    for (size_t i = 0; i < n; i++)
        n_legs += operation_n_legs(facts[i].operation);
    ret_holds->holds = calloc(n_legs + 1, sizeof *ret_holds->holds);
    ret_holds->reservations = calloc(n + 1, sizeof *ret_holds->reservations);
    if (ret_holds->holds == NULL || ret_holds->reservations == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        struct operation *operation = facts[i].operation;
        ret_holds->reservations[i] = operation->reservation;
        for (size_t j = 0; j < operation_n_legs(operation); j++) {
            const struct leg *leg = operation_leg(operation, j);
            if (leg->child == NULL)
                continue;
            struct hold *hold = &ret_holds->holds[ret_holds->n++];
            text_copy(hold->counter, sizeof hold->counter, leg->counter);
            text_copy(hold->reservation, sizeof hold->reservation, operation->reservation);
            hold->line = hold_line(leg->child);
            hold->quantity = leg->amount;
            hold->expires_at_ms = facts[i].slot;
        }
    }
    return RC_OK;
}

// ---- reserve ------------------------------------------------------------------------------------

static void describe(const struct operation *operation, int64_t now_ms, struct reservation *ret)
{
    size_t used = 0;
    text_copy(ret->id, sizeof ret->id, operation->reservation);
    text_copy(ret->user_id, sizeof ret->user_id, operation->user_id);
    text_copy(ret->order_id, sizeof ret->order_id, operation->order_id);
    ret->state = RESERVATION_HELD;
    ret->expires_at_ms = operation->outcome.expires_at_ms;
    ret->created_at_ms = now_ms;
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const struct leg *leg = operation_leg((struct operation *)(uintptr_t)operation, i);
        if (leg->child == NULL)
            continue;
        (void)text_format(ret->items + used, sizeof ret->items - used, "%s%s %lld",
                          used == 0 ? "" : ",", counter_id(leg->counter), (long long)leg->amount);
        used += strlen(ret->items + used);
    }
}

static enum rc save_reserve(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct holds holds CLEANUP(release_holds) = {0};
    struct reservation *reservations CLEANUP(free_memory) = calloc(n, sizeof *reservations);
    if (reservations == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        struct operation *operation = facts[i].operation;
        facts[i].slot = operation->outcome.expires_at_ms = now_ms + operation->ttl_ms;
        describe(operation, now_ms, &reservations[i]);
    }
    enum rc rc = gather_holds(facts, n, &holds);
    if (rc == RC_OK)
        rc = reservation_insert(db, reservations, n);
    return rc == RC_OK ? hold_insert(db, holds.holds, holds.n) : rc;
}

// Behind the rows of the legs stand those of their holds, which name the reservation.
static enum rc recall_reserve(struct db *db, const struct ledger_row *row,
                              struct operation *operation)
{
    struct ledger_row hold;
    enum rc rc = ledger_find_leg(db, row->request_key, (int64_t)operation_n_legs(operation), &hold);
    if (rc != RC_OK)
        return rc;
    operation->outcome.expires_at_ms = row->created_at_ms + operation->ttl_ms;
    hold_reservation(hold.counter, operation->outcome.reservation);
    return RC_OK;
}

const struct facts reserve_facts = {.save = save_reserve, .recall = recall_reserve};

// The root is the first leg, the buyer.
static enum rc load_open(struct db *db, const struct facts_asked *asked)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < asked->n_subjects && rc == RC_OK; i++)
        rc = reservation_count_open(db, asked->subjects[i], asked->facts[0]->now_ms,
                                    &asked->used[i]);
    return rc;
}

const struct facts reserve_limited_facts = {
    .subject = subject_user, .load = load_open, .save = save_reserve, .recall = recall_reserve};

// ---- the others ---------------------------------------------------------------------------------

static enum rc save_resolved(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    static const enum reservation_state states[OPERATION_KIND_COUNT] = {
        [OPERATION_CONFIRM] = RESERVATION_CONFIRMED,
        [OPERATION_RELEASE] = RESERVATION_RELEASED,
        [OPERATION_EXPIRE] = RESERVATION_EXPIRED,
        [OPERATION_ORDER_RESERVED] = RESERVATION_CONFIRMED,
    };
    (void)now_ms;
    struct holds holds CLEANUP(release_holds) = {0};
    enum rc rc = gather_holds(facts, n, &holds);
    if (rc == RC_OK)
        rc = hold_delete(db, holds.holds, holds.n);
    enum reservation_state state = states[facts[0].operation->kind];
    return rc == RC_OK ? reservation_resolve_all(db, holds.reservations, n, state) : rc;
}

const struct facts resolve_facts = {
    .subject = subject_reservation, .load = load_expiries, .save = save_resolved};

// One after the other, because a batch may extend a reservation twice, or extend and then end it.
// At once, because an insert may be deferred behind the deletion of the same hold.
static enum rc save_extended(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    (void)now_ms;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        const struct outcome *outcome = &facts[i].operation->outcome;
        struct holds holds CLEANUP(release_holds) = {0};
        rc = gather_holds(&facts[i], 1, &holds);
        if (rc == RC_OK)
            rc = hold_set_expiry(db, holds.holds, holds.n, outcome->expires_at_ms);
        if (rc == RC_OK)
            rc = reservation_set_expiry(db, holds.reservations[0], outcome->expires_at_ms);
    }
    return rc;
}

static enum rc recall_extended(struct db *db, const struct ledger_row *row,
                               struct operation *operation)
{
    (void)db;
    operation->outcome.expires_at_ms = row->created_at_ms + operation->ttl_ms;
    return RC_OK;
}

const struct facts extend_facts = {.subject = subject_reservation,
                                   .load = load_expiries,
                                   .save = save_extended,
                                   .recall = recall_extended};
