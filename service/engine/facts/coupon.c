// The facts of issue: the campaign's limit, the user's coupons so far, and the coupon itself.
#include "base/text.h"
#include "engine/facts/facts.h"
#include "store/tables/campaign.h"
#include "store/tables/ledger.h"

#include <stdlib.h>

static enum rc load(struct db *db, const struct facts_asked *asked)
{
    int64_t *limits CLEANUP(free_memory) = calloc(asked->n_roots, sizeof *limits);
    if (limits == NULL)
        return RC_NO_MEMORY;
    enum rc rc = campaign_limits(db, asked->ids, asked->n_roots, limits);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < asked->n_roots; i++)
        asked->facts[i]->limit = limits[i];
    return coupon_count(db, asked->owners, asked->subjects, asked->n_subjects, asked->used);
}

static enum rc save(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct coupon *coupons CLEANUP(free_memory) = calloc(n, sizeof *coupons);
    if (coupons == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const struct operation *operation = facts[i].operation;
        coupons[i].slot = facts[i].slot;
        coupons[i].version = operation->outcome.version;
        coupons[i].created_at_ms = now_ms;
        text_copy(coupons[i].code, sizeof coupons->code, operation->outcome.code);
        text_copy(coupons[i].campaign, sizeof coupons->campaign,
                  counter_id(operation->leg.counter));
        text_copy(coupons[i].user_id, sizeof coupons->user_id, operation->user_id);
    }
    return coupon_insert(db, coupons, n);
}

static enum rc recall(struct db *db, const struct ledger_row *row, struct operation *operation)
{
    struct coupon coupon;
    enum rc rc = coupon_find(db, counter_id(row->counter), row->user_id, row->version, &coupon);
    if (rc == RC_OK)
        text_copy(operation->outcome.code, sizeof operation->outcome.code, coupon.code);
    return rc;
}

const struct facts coupon_facts = {
    .subject = subject_user, .load = load, .save = save, .recall = recall};
