// The facts of orders, cancellations and refunds: the order's record. Its numbers are counters.
#include "store/tables/order.h"
#include "base/text.h"
#include "engine/facts/facts.h"
#include "store/tables/ledger.h"
#include "store/tables/product.h"

#include <stdlib.h>
#include <string.h>

// The redemption of an order's code: its version is the one that the decision gave to the code.
static struct redemption redemption_of(const struct order *order)
{
    struct redemption redemption = {.in_order = true, .version = order->redemption};
    text_copy(redemption.code, sizeof redemption.code, order->code);
    text_copy(redemption.user_id, sizeof redemption.user_id, order->user_id);
    text_copy(redemption.order_id, sizeof redemption.order_id, order->id);
    return redemption;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The distinct products of the orders without prices, sorted. Returns how many.
static size_t list_products(struct operation *const *operations, size_t n, const char **ret_skus)
{
    size_t all = 0, distinct = 0;
    for (size_t i = 0; i < n; i++) {
        const struct order *order = operations[i]->record;
        for (size_t line = 0; order->unpriced && line < order->n_lines; line++)
            ret_skus[all++] = order->lines[line].sku;
    }
    qsort(ret_skus, all, sizeof *ret_skus, compare_text);
    for (size_t i = 0; i < all; i++)
        if (distinct == 0 || strcmp(ret_skus[distinct - 1], ret_skus[i]) != 0)
            ret_skus[distinct++] = ret_skus[i];
    return distinct;
}

// One query for all orders. An order keeps its prices when it is tried again.
static enum rc find_prices(struct db *db, struct operation *const *operations, size_t n)
{
    const char **skus CLEANUP(free_memory) = calloc(n * ORDER_LINES_MAX, sizeof *skus);
    int64_t *prices CLEANUP(free_memory) = calloc(n * ORDER_LINES_MAX, sizeof *prices);
    if (skus == NULL || prices == NULL)
        return RC_NO_MEMORY;
    size_t n_skus = list_products(operations, n, skus);
    enum rc rc = n_skus > 0 ? product_prices(db, skus, n_skus, prices) : RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        struct order *order = operations[i]->record;
        if (!order->unpriced)
            continue;
        for (size_t j = 0; j < order->n_lines; j++) {
            const char *sku = order->lines[j].sku;
            const char **found = bsearch(&sku, skus, n_skus, sizeof *skus, compare_text);
            order->lines[j].price_cents = prices[found - skus];
        }
        order->unpriced = false;
        order_price(operations[i]); // a line without a price refuses the order
    }
    return rc;
}

static enum rc save_order(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct order **orders CLEANUP(free_memory) = calloc(n, sizeof *orders);
    struct redemption *redemptions CLEANUP(free_memory) = calloc(n, sizeof *redemptions);
    size_t n_redemptions = 0;
    if (orders == NULL || redemptions == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        orders[i] = facts[i].operation->record;
        if (orders[i]->code_leg == 0)
            continue;
        orders[i]->redemption = operation_leg(facts[i].operation, orders[i]->code_leg)->version;
        redemptions[n_redemptions++] = redemption_of(orders[i]);
    }
    enum rc rc = order_insert(db, orders, n, now_ms);
    return rc == RC_OK ? redemption_insert(db, redemptions, n_redemptions, now_ms) : rc;
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

// Completes the refund with what its operation has decided. The order's own leg comes first. What
// was earned is taken back as far as it is there: the decision knows how far.
static struct refund *complete_refund(struct operation *operation)
{
    struct refund *refund = operation->record;
    int64_t taken = 0;
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        const struct leg *leg = operation_leg(operation, i);
        if (leg->partial)
            taken = refund->points_returned - leg->delta;
    }
    // An earlier attempt may have added its own.
    refund->order->points_taken += taken - refund->points_taken;
    refund->points_taken = taken;
    refund->version = operation->leg.version;
    return refund;
}

// A batch has one refund of an order at most: a second one finds its version moved.
static enum rc save_refund(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct refund **refunds CLEANUP(free_memory) = calloc(n, sizeof *refunds);
    struct redemption *returned CLEANUP(free_memory) = calloc(n, sizeof *returned);
    size_t n_returned = 0;
    if (refunds == NULL || returned == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        refunds[i] = complete_refund(facts[i].operation);
        const struct order *order = refunds[i]->order;
        if (order->code_returned && order->redemption != 0)
            returned[n_returned++] = redemption_of(order);
    }
    enum rc rc = refund_insert(db, refunds, n, now_ms);
    return rc == RC_OK ? redemption_roll_back(db, returned, n_returned) : rc;
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

const struct facts order_facts = {
    .prepare = find_prices, .save = save_order, .recall = recall_order};
const struct facts refund_facts = {.save = save_refund, .recall = recall_refund};

const struct facts order_reserved_facts = {.prepare = find_prices,
                                           .subject = subject_reservation,
                                           .load = load_expiries,
                                           .save = save_reserved,
                                           .recall = recall_order};
