// Facts: what operations of a kind read and write besides counters, such as a user's coupons and
// the wheel of a lottery. The kinds themselves are a table in domain/kinds.c; this is the half of
// it that needs the database.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/counter.h"
#include "domain/operation.h"

#include <stddef.h>
#include <stdint.h>

struct db;
struct ledger_row;
struct lottery;

// What was read for the operations on one root, besides what each subject has.
struct root_facts {
    int64_t now_ms;           // given to load: the time at which the counters were read
    int64_t limit;            // a subject's
    struct lottery *lottery;  // owned
    struct counter *children; // counters that the root guards; owned
    size_t n_children;
};

// What is to be read for some roots: `facts` of each root, and `used` of each subject.
struct facts_asked {
    size_t n_roots, n_subjects;
    const char *const *ids; // of the roots: distinct and in byte order
    struct root_facts *const *facts;
    // Of each subject, which is distinct within its root. A root's subjects stand together, in byte
    // order.
    const char *const *owners; // its root's id
    const char *const *subjects;
    int64_t *used;
};

// An accepted operation. slot: its number among what the subject has, from 1; or, if that is a
// reservation, when it was to expire before this operation.
struct fact {
    struct operation *operation; // its outcome may be completed
    int64_t slot;
};

struct facts {
    // Completes operations that are to be decided, before anything else is read and outside a
    // transaction. It is called for every attempt, and may bar legs. NULL: nothing to complete.
    enum rc (*prepare)(struct db *db, struct operation *const *operations, size_t n);
    // subject and load: both or neither.
    // Whose usage is limited: the user, or the order. Borrowed from the operation.
    const char *(*subject)(const struct operation *operation);
    // Reads what the decisions on these roots need, after their counters were read. RC_NOT_FOUND if
    // a root is missing.
    enum rc (*load)(struct db *db, const struct facts_asked *asked);
    // Writes what accepted operations leave behind, inside their transaction. RC_DUPLICATE: another
    // writer was faster.
    enum rc (*save)(struct db *db, struct fact *facts, size_t n, int64_t now_ms);
    // For a replay: fills in what the first outcome held besides numbers. row: its leg 0. With an
    // `intent` the operation has as many legs as its first run. If it fails it has changed nothing.
    // NULL: nothing to fill in.
    enum rc (*recall)(struct db *db, const struct ledger_row *row, struct operation *operation);
};

// Indexed by enum operation_kind. NULL: the kind reads and writes counters only. The kinds that
// load facts of the same root load the same.
extern const struct facts *const kind_facts[OPERATION_KIND_COUNT];

extern const struct facts coupon_facts, draw_facts, earn_facts, reserve_facts,
    reserve_limited_facts, resolve_facts, extend_facts, order_facts, order_reserved_facts,
    refund_facts, redeem_facts, rollback_facts;

// Do the decisions on this operation need facts?
static inline bool facts_are_loaded(const struct operation *operation)
{
    const struct facts *facts = kind_facts[operation->kind];
    return facts != NULL && facts->load != NULL;
}

// A `subject`: the operation's user.
static inline const char *subject_user(const struct operation *operation)
{
    return operation->user_id;
}

// Frees what load has allocated. A zeroed struct is fine.
void root_facts_release(struct root_facts *facts);

// As in struct facts, of all kinds that name a reservation: its subject, and when it expires.
const char *subject_reservation(const struct operation *operation);
MUST_CHECK enum rc load_expiries(struct db *db, const struct facts_asked *asked);
