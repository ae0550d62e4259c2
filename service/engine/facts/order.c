// The facts of orders, cancellations and refunds: the order's record. Its numbers are counters.
#include "store/tables/order.h"
#include "base/text.h"
#include "engine/facts/facts.h"
#include "store/tables/ledger.h"

#include <string.h>

// The redemption of the order's code: its version is the one that the decision gave to the code.
static enum rc insert_redemption(struct db *db, struct operation *operation, int64_t now_ms)
{
    struct order *order = operation->record;
    struct redemption redemption = {.in_order = true, .version = order->redemption};
    text_copy(redemption.code, sizeof redemption.code, order->code);
    text_copy(redemption.user_id, sizeof redemption.user_id, order->user_id);
    text_copy(redemption.order_id, sizeof redemption.order_id, order->id);
    return redemption_insert(db, &redemption, now_ms);
}

static enum rc save_order(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        struct order *order = facts[i].operation->record;
        if (order->code_leg != 0)
            order->redemption = operation_leg(facts[i].operation, order->code_leg)->version;
        rc = order_insert(db, order, now_ms);
        if (rc == RC_OK && order->redemption != 0)
            rc = insert_redemption(db, facts[i].operation, now_ms);
    }
    return rc;
}

// The record as it was placed: what was refunded since does not belong to the first answer.
static enum rc recall_order(struct db *db, const struct ledger_row *row,
                            struct operation *operation)
{
    struct order *order = operation->record, found;
    int64_t version;
    (void)row;
    enum rc rc = order_get(db, order->id, &found, &version);
    if (rc != RC_OK)
        return rc;
    found.state = ORDER_PLACED;
    found.refunded_cents = found.points_returned = found.points_taken = 0;
    for (size_t i = 0; i < found.n_lines; i++)
        found.lines[i].refunded = 0;
    *order = found;
    return RC_OK;
}

static enum rc save_reserved(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    enum rc rc = save_order(db, facts, n, now_ms);
    return rc == RC_OK ? resolve_facts.save(db, facts, n, now_ms) : rc;
}

// The order's own leg comes first. What was earned is taken back as far as it is there: the decision
// knows how far.
static enum rc save_refund(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        struct operation *operation = facts[i].operation;
        struct refund *refund = operation->record;
        struct order *order = refund->order;
        int64_t taken = 0;
        for (size_t j = 0; j < operation_n_legs(operation); j++) {
            const struct leg *leg = operation_leg(operation, j);
            if (leg->partial)
                taken = refund->points_returned - leg->delta;
        }
        order->points_taken +=
            taken - refund->points_taken; // an earlier try may have added its own
        refund->points_taken = taken;
        refund->version = operation->leg.version;
        rc = refund_insert(db, refund, now_ms);
        if (rc == RC_OK && order->code_returned && order->redemption != 0)
            rc = redemption_roll_back(db, order->code, order->redemption);
    }
    return rc;
}

static enum rc recall_refund(struct db *db, const struct ledger_row *row,
                             struct operation *operation)
{
    struct refund *refund = operation->record, found = *refund;
    found.version = row->version;
    enum rc rc = refund_get(db, &found);
    if (rc == RC_OK)
        *refund = found;
    return rc;
}

const struct facts order_facts = {.save = save_order, .recall = recall_order};
const struct facts refund_facts = {.save = save_refund, .recall = recall_refund};

const struct facts order_reserved_facts = {.subject = subject_reservation,
                                           .load = load_expiries,
                                           .save = save_reserved,
                                           .recall = recall_order};
