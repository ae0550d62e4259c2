// Changing a lottery. The counter lottery/LOTTERY is locked first and stands for the whole: no draw
// can be saved, won or blank, without moving it. Then the prizes, in the order of their names.
//
// A prize is never deleted: what was won of it stays in the ledger, so its row stays with weight 0.
// The old and the new prizes together are therefore at most LOTTERY_PRIZES_MAX.
#include "store/tables/lottery.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/admin.h"

#include <stdlib.h>
#include <string.h>

struct put {
    const struct lottery *wanted;
    struct lottery now; // as it was, then as it becomes
    bool created, changed;
};

static const struct prize *find_prize(const struct prize *prizes, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(prizes[i].prize, name) == 0)
            return &prizes[i];
    }
    return NULL;
}

static int compare_prizes(const void *a, const void *b)
{
    return strcmp(((const struct prize *)a)->prize, ((const struct prize *)b)->prize);
}

// Adds what is wanted and not yet there, with nothing of it and no counter. Sorted.
static enum rc add_prizes(const struct lottery *wanted, struct lottery *now)
{
    for (size_t i = 0; i < wanted->n_prizes; i++) {
        const char *name = wanted->prizes[i].prize;
        if (find_prize(wanted->prizes, i, name) != NULL)
            return RC_INVALID_FIELD; // named twice
        if (find_prize(now->prizes, now->n_prizes, name) != NULL)
            continue;
        if (now->n_prizes == LOTTERY_PRIZES_MAX)
            return RC_INVALID_FIELD;
        struct prize *prize = &now->prizes[now->n_prizes++];
        *prize = (struct prize){.quantity = 0};
        text_copy(prize->prize, sizeof prize->prize, name);
        text_format(prize->counter.name, sizeof prize->counter.name, "prize/%s/%s", now->lottery,
                    name);
    }
    qsort(now->prizes, now->n_prizes, sizeof *now->prizes, compare_prizes);
    return RC_OK;
}

static enum rc write_prize(struct db *db, const char *lottery, const struct prize *prize)
{
    struct db_value insert[] = {db_text(lottery), db_text(prize->prize), db_int(prize->quantity),
                                db_int(prize->weight)};
    struct db_value update[] = {insert[2], insert[3], insert[0], insert[1]};
    if (prize->counter.version == 0)
        return db_insert(db, "prize (lottery, prize, quantity, weight)", ARRAY_LENGTH(insert),
                         insert, 1);
    return db_exec(db, "UPDATE prize SET quantity = ?, weight = ? WHERE lottery = ? AND prize = ?",
                   update, ARRAY_LENGTH(update), NULL);
}

// The prize becomes what is wanted of it; NULL: it is no longer named. What was won stays won.
static enum rc put_prize(struct db *db, struct put *put, struct prize *prize,
                         const struct prize *wanted, int64_t now_ms)
{
    bool exists = prize->counter.version != 0;
    int64_t won = prize->quantity - prize->counter.remaining;
    int64_t quantity = wanted != NULL ? wanted->quantity : won;
    int64_t weight = wanted != NULL ? wanted->weight : 0;
    if (quantity < won)
        return RC_INVALID_FIELD;
    if (exists && prize->quantity == quantity && prize->weight == weight)
        return RC_OK;
    put->changed = true;
    prize->quantity = quantity;
    prize->weight = weight;
    enum rc rc = write_prize(db, put->now.lottery, prize);
    if (rc == RC_OK && (!exists || prize->counter.remaining != quantity - won))
        rc = admin_set_counter(db, &prize->counter, quantity - won, now_ms);
    return rc;
}

static enum rc put_prizes(struct db *db, struct put *put, int64_t now_ms)
{
    const struct lottery *wanted = put->wanted;
    enum rc rc = add_prizes(wanted, &put->now);
    put->now.remaining = 0;
    for (size_t i = 0; rc == RC_OK && i < put->now.n_prizes; i++) {
        struct prize *prize = &put->now.prizes[i];
        rc = put_prize(db, put, prize, find_prize(wanted->prizes, wanted->n_prizes, prize->prize),
                       now_ms);
        put->now.remaining += prize->counter.remaining;
    }
    return rc;
}

// After the counter was moved: limit_version is its version now if the limit is another one.
static enum rc write_lottery(struct db *db, const struct put *put, int64_t version)
{
    const struct lottery *wanted = put->wanted;
    struct db_value insert[] = {db_text(wanted->lottery), db_int(wanted->draws_per_user),
                                db_int(wanted->blank_weight), db_int(version)};
    struct db_value update[] = {insert[2], insert[1], insert[3], insert[1], insert[0]};
    if (put->created)
        return db_insert(db, "lottery (lottery, draws_per_user, blank_weight, limit_version)",
                         ARRAY_LENGTH(insert), insert, 1);
    // MySQL assigns from left to right: the old limit must still stand when it is compared.
    return db_exec(db,
                   "UPDATE lottery SET blank_weight = ?, limit_version = CASE WHEN draws_per_user"
                   " = ? THEN limit_version ELSE ? END, draws_per_user = ? WHERE lottery = ?",
                   update, ARRAY_LENGTH(update), NULL);
}

static enum rc put_once(struct db *db, void *arg)
{
    struct put *put = arg;
    const struct lottery *wanted = put->wanted;
    struct lottery *now = &put->now;
    struct counter counter;
    int64_t now_ms;
    *now = (struct lottery){.n_prizes = 0};
    text_copy(now->lottery, sizeof now->lottery, wanted->lottery);
    text_format(counter.name, sizeof counter.name, "lottery/%s", wanted->lottery);
    enum rc rc = admin_lock_counter(db, &counter, &now_ms);
    if (rc != RC_OK)
        return rc;
    rc = lottery_load(db, wanted->lottery, now);
    put->created = rc == RC_NOT_FOUND;
    if (rc != RC_OK && !put->created)
        return rc;
    put->changed = put->created || now->draws_per_user != wanted->draws_per_user ||
                   now->blank_weight != wanted->blank_weight;
    now->draws_per_user = wanted->draws_per_user;
    now->blank_weight = wanted->blank_weight;
    rc = put_prizes(db, put, now_ms);
    if (rc == RC_OK && put->changed)
        rc = admin_set_counter(db, &counter, now->remaining, now_ms);
    if (rc == RC_OK && put->changed)
        rc = write_lottery(db, put, counter.version);
    now->version = counter.version;
    return rc;
}

enum rc lottery_put(struct db *db, const struct lottery *put, bool *ret_created,
                    struct lottery *ret_lottery)
{
    struct put state = {.wanted = put};
    enum rc rc = admin_transaction(db, put_once, &state);
    if (rc != RC_OK)
        return rc;
    *ret_created = state.created;
    *ret_lottery = state.now;
    return RC_OK;
}
