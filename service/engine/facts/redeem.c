// The facts of redeeming a coupon's code, and of rolling that back: the redemption's record.
#include "engine/facts/facts.h"
#include "store/tables/order.h"

#include <stdlib.h>

static enum rc save_redeem(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct redemption *redemptions CLEANUP(free_memory) = calloc(n, sizeof *redemptions);
    if (redemptions == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        struct redemption *redemption = facts[i].operation->record;
        redemption->version = facts[i].operation->leg.version;
        redemptions[i] = *redemption;
    }
    return redemption_insert(db, redemptions, n, now_ms);
}

static enum rc save_rollback(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct redemption *redemptions CLEANUP(free_memory) = calloc(n, sizeof *redemptions);
    (void)now_ms;
    if (redemptions == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        redemptions[i] = *(const struct redemption *)facts[i].operation->record;
    return redemption_roll_back(db, redemptions, n);
}

const struct facts redeem_facts = {.save = save_redeem};
const struct facts rollback_facts = {.save = save_rollback};
