// Campaigns and their coupons. The campaign row has the limits; the counter coupon/CAMPAIGN says
// how many coupons may still be issued. Every coupon carries the counter's version that issued it.
//
// The counter's row lock is the campaign's lock. limit_version is the counter's version since which
// the per-user limit applies: reconciliation must not report coupons that an older limit allowed.
#include "store/tables/campaign.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/db/list.h"
#include "store/tables/admin.h"
#include "store/tables/usage.h"

#include <stdlib.h>
#include <string.h>

struct definition {
    bool found;
    int64_t total, per_user_limit, limit_version;
    struct terms terms;
};

struct terms terms_read(const struct db_row *row, size_t column)
{
    return (struct terms){.discount_percent = db_row_int(row, column),
                          .discount_cents = db_row_int(row, column + 1),
                          .min_cents = db_row_int(row, column + 2),
                          .valid_from_ms = db_row_int(row, column + 3),
                          .valid_until_ms = db_row_int(row, column + 4),
                          .uses_per_code = db_row_int(row, column + 5)};
}

static enum rc keep_definition(void *arg, const struct db_row *row)
{
    *(struct definition *)arg = (struct definition){true, db_row_int(row, 0), db_row_int(row, 1),
                                                    db_row_int(row, 2), terms_read(row, 3)};
    return RC_OK;
}

static enum rc load_definition(struct db *db, const char *campaign, struct definition *ret)
{
    struct db_value param = db_text(campaign);
    *ret = (struct definition){.terms.uses_per_code = 1};
    return db_query(db,
                    "SELECT p.total, p.per_user_limit, p.limit_version, " TERMS_COLUMNS
                    " FROM campaign p WHERE p.campaign = ?",
                    &param, 1, keep_definition, ret);
}

static enum rc write_definition(struct db *db, const struct campaign *put, int64_t limit_version,
                                bool exists)
{
    const struct terms *terms = &put->terms;
    struct db_value values[] = {db_int(put->total),
                                db_int(put->per_user_limit),
                                db_int(limit_version),
                                db_int(terms->discount_percent),
                                db_int(terms->discount_cents),
                                db_int(terms->min_cents),
                                db_int(terms->valid_from_ms),
                                db_int(terms->valid_until_ms),
                                db_int(terms->uses_per_code),
                                db_text(put->campaign)};
    if (exists)
        return db_exec(db,
                       "UPDATE campaign SET total = ?, per_user_limit = ?, limit_version = ?,"
                       " discount_percent = ?, discount_cents = ?, min_cents = ?,"
                       " valid_from_ms = ?, valid_until_ms = ?, uses_per_code = ?"
                       " WHERE campaign = ?",
                       values, ARRAY_LENGTH(values), NULL);
    return db_insert(db,
                     "campaign (total, per_user_limit, limit_version, discount_percent,"
                     " discount_cents, min_cents, valid_from_ms, valid_until_ms, uses_per_code,"
                     " campaign)",
                     ARRAY_LENGTH(values), values, 1);
}

static int64_t kept(int64_t wanted, int64_t old)
{
    return wanted == TERM_KEPT ? old : wanted;
}

static struct terms terms_over(const struct terms *wanted, const struct terms *old)
{
    return (struct terms){.discount_percent = kept(wanted->discount_percent, old->discount_percent),
                          .discount_cents = kept(wanted->discount_cents, old->discount_cents),
                          .min_cents = kept(wanted->min_cents, old->min_cents),
                          .valid_from_ms = kept(wanted->valid_from_ms, old->valid_from_ms),
                          .valid_until_ms = kept(wanted->valid_until_ms, old->valid_until_ms),
                          .uses_per_code = wanted->uses_per_code > 0 ? wanted->uses_per_code
                                                                     : old->uses_per_code};
}

struct put {
    const struct campaign *campaign;
    const struct precondition *condition;
    bool created;
    struct campaign result;
};

static enum rc put_over(struct db *db, const struct campaign *campaign,
                        const struct definition *old, struct counter *counter, int64_t now_ms)
{
    bool exists = counter->version != 0;
    int64_t issued = old->found && exists ? old->total - counter->remaining : 0;
    bool same_limit = old->found && old->per_user_limit == campaign->per_user_limit;
    if (campaign->total < issued)
        return RC_INVALID_FIELD;
    bool same_terms = memcmp(&old->terms, &campaign->terms, sizeof old->terms) == 0;
    if (exists && same_limit && same_terms && old->total == campaign->total)
        return RC_OK;
    enum rc rc = admin_set_counter(db, counter, campaign->total - issued, now_ms);
    if (rc != RC_OK)
        return rc;
    int64_t limit_version = same_limit ? old->limit_version : counter->version;
    return write_definition(db, campaign, limit_version, old->found);
}

static enum rc put_once(struct db *db, void *arg)
{
    struct put *put = arg;
    struct counter counter;
    struct definition old;
    int64_t now_ms;
    text_format(counter.name, sizeof counter.name, "coupon/%s", put->campaign->campaign);
    enum rc rc = admin_lock_counter(db, put->condition, &counter, &now_ms);
    if (rc == RC_OK)
        rc = load_definition(db, put->campaign->campaign, &old);
    if (rc != RC_OK)
        return rc;
    put->created = !old.found;
    put->result = *put->campaign;
    put->result.terms = terms_over(&put->campaign->terms, &old.terms);
    rc = put_over(db, &put->result, &old, &counter, now_ms);
    if (rc != RC_OK)
        return rc;
    put->result.remaining = counter.remaining;
    put->result.version = counter.version;
    return RC_OK;
}

enum rc campaign_put(struct db *db, const struct campaign *put,
                     const struct precondition *condition, bool *ret_created,
                     struct campaign *ret_campaign)
{
    struct put state = {.campaign = put, .condition = condition};
    enum rc rc = admin_transaction(db, put_once, &state);
    if (rc != RC_OK)
        return rc;
    *ret_created = state.created;
    *ret_campaign = state.result;
    return RC_OK;
}

#define CAMPAIGN_SQL(counter_name)                                                                 \
    "SELECT p.campaign, p.total, p.per_user_limit, c.remaining, c.version, " TERMS_COLUMNS         \
    " FROM campaign p JOIN counter c ON c.name = " counter_name

struct reader {
    campaign_fn on_campaign;
    void *arg;
};

static enum rc read_campaign(void *arg, const struct db_row *row)
{
    struct reader *reader = arg;
    struct campaign campaign = {.total = db_row_int(row, 1),
                                .per_user_limit = db_row_int(row, 2),
                                .remaining = db_row_int(row, 3),
                                .version = db_row_int(row, 4),
                                .terms = terms_read(row, 5)};
    text_copy(campaign.campaign, sizeof campaign.campaign, db_row_text(row, 0));
    return reader->on_campaign(reader->arg, &campaign);
}

static enum rc keep_campaign(void *arg, const struct campaign *campaign)
{
    *(struct campaign *)arg = *campaign;
    return RC_OK;
}

enum rc campaign_get(struct db *db, const char *campaign, struct campaign *ret_campaign)
{
    struct campaign found = {.version = 0};
    struct reader reader = {keep_campaign, &found};
    char counter[COUNTER_NAME_MAX + 1];
    if (!text_format(counter, sizeof counter, "coupon/%s", campaign))
        return RC_NOT_FOUND;
    struct db_value params[] = {db_text(counter), db_text(campaign)};
    enum rc rc = db_query(db, CAMPAIGN_SQL("?") " WHERE p.campaign = ?", params,
                          ARRAY_LENGTH(params), read_campaign, &reader);
    if (rc != RC_OK)
        return rc;
    if (found.version == 0)
        return RC_NOT_FOUND;
    *ret_campaign = found;
    return RC_OK;
}

enum rc campaign_page(struct db *db, const char *after, int64_t limit, campaign_fn on_campaign,
                      void *arg)
{
    struct reader reader = {on_campaign, arg};
    struct db_value params[] = {db_text(after), db_int(limit)};
#define PAGE " WHERE p.campaign > ? ORDER BY p.campaign LIMIT ?"
    return db_query(db,
                    db_is_sqlite(db) ? CAMPAIGN_SQL("'coupon/' || p.campaign") PAGE
                                     : CAMPAIGN_SQL("CONCAT('coupon/', p.campaign)") PAGE,
                    params, ARRAY_LENGTH(params), read_campaign, &reader);
}

struct limits {
    const char *const *campaigns;
    size_t n, n_found;
    int64_t *limits;
};

static int compare_id(const void *id, const void *at)
{
    return strcmp(id, *(const char *const *)at);
}

static enum rc keep_limit(void *arg, const struct db_row *row)
{
    struct limits *limits = arg;
    const char *const *found = bsearch(db_row_text(row, 0), limits->campaigns, limits->n,
                                       sizeof *limits->campaigns, compare_id);
    if (found == NULL)
        return RC_INTERNAL;
    limits->limits[found - limits->campaigns] = db_row_int(row, 1);
    limits->n_found++;
    return RC_OK;
}

enum rc campaign_limits(struct db *db, const char *const *campaigns, size_t n, int64_t *ret_limits)
{
    static const struct db_list list = {
        "SELECT campaign, per_user_limit FROM campaign WHERE campaign IN (", "?", ",", ")", 1};
    struct limits limits = {.campaigns = campaigns, .n = n, .limits = ret_limits};
    struct db_value *params CLEANUP(free_memory) = calloc(n + 1, sizeof *params);
    if (params == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        params[i] = db_text(campaigns[i]);
    enum rc rc = db_run_list(db, &list, params, n, keep_limit, &limits);
    return rc == RC_OK && limits.n_found < n ? RC_NOT_FOUND : rc;
}

#define COUPON_COLUMNS 6

enum rc coupon_insert(struct db *db, const struct coupon *coupons, size_t n)
{
    if (n == 0)
        return RC_OK;
    struct db_value *values CLEANUP(free_memory) = calloc(n * COUPON_COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(coupons[i].campaign);
        *at++ = db_text(coupons[i].user_id);
        *at++ = db_int(coupons[i].slot);
        *at++ = db_text(coupons[i].code);
        *at++ = db_int(coupons[i].version);
        *at++ = db_int(coupons[i].created_at_ms);
    }
    return db_insert(db, "coupon (campaign, user_id, slot, code, version, created_at)",
                     COUPON_COLUMNS, values, n);
}

enum rc coupon_count(struct db *db, const char *const *campaigns, const char *const *users,
                     size_t n, int64_t *ret_used)
{
    static const struct usage coupons = {"coupon", "campaign", "user_id"};
    return usage_count(db, &coupons, campaigns, users, n, ret_used);
}

static enum rc keep_coupon(void *arg, const struct db_row *row)
{
    struct coupon *coupon = arg;
    text_copy(coupon->code, sizeof coupon->code, db_row_text(row, 0));
    text_copy(coupon->campaign, sizeof coupon->campaign, db_row_text(row, 1));
    text_copy(coupon->user_id, sizeof coupon->user_id, db_row_text(row, 2));
    coupon->slot = db_row_int(row, 3);
    coupon->version = db_row_int(row, 4);
    coupon->created_at_ms = db_row_int(row, 5);
    return RC_OK;
}

enum rc coupon_find(struct db *db, const char *campaign, const char *user_id, int64_t version,
                    struct coupon *ret_coupon)
{
    struct coupon found = {.version = 0};
    struct db_value params[] = {db_text(campaign), db_text(user_id), db_int(version)};
    enum rc rc = db_query(db,
                          "SELECT code, campaign, user_id, slot, version, created_at FROM coupon"
                          " WHERE campaign = ? AND user_id = ? AND version = ?",
                          params, ARRAY_LENGTH(params), keep_coupon, &found);
    if (rc != RC_OK)
        return rc;
    if (found.version == 0)
        return RC_NOT_FOUND;
    *ret_coupon = found;
    return RC_OK;
}
