// Lotteries, their prizes and draws. Each prize has a counter of how many are left; the counter
// lottery/LOTTERY is their sum. Every draw raises that counter's version, won or blank, so its row
// lock or its version stands for the whole lottery.
//
// A change (PUT) locks lottery/LOTTERY first, so no draw can be saved meanwhile, and then the
// prizes in the order of their names. A prize is never deleted, because the ledger keeps the wins:
// its row stays with weight 0. So old and new prizes together are at most LOTTERY_PRIZES_MAX.
#include "store/tables/lottery.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/admin.h"
#include "store/tables/usage.h"

#include <stdlib.h>
#include <string.h>

// One statement, so that it reads one moment even outside a transaction. A row for each prize.
#define LOTTERY_SQL(lotteries, counter_name, prize_counter)                                        \
    "SELECT l.lottery, l.draws_per_user, l.blank_weight, c.remaining, c.version,"                  \
    " p.prize, p.quantity, p.weight, k.name, k.remaining, k.version, k.fence FROM " lotteries " l" \
    " JOIN counter c ON c.name = " counter_name " LEFT JOIN prize p ON p.lottery = l.lottery"      \
    " LEFT JOIN counter k ON k.name = " prize_counter
#define PRIZE_SQLITE "'prize/' || p.lottery || '/' || p.prize"
#define PRIZE_MYSQL "CONCAT('prize/', p.lottery, '/', p.prize)"
#define ONE " WHERE l.lottery = ? ORDER BY p.prize"
#define SOME "(SELECT * FROM lottery WHERE lottery > ? ORDER BY lottery LIMIT ?)"

static enum rc keep_row(void *arg, const struct db_row *row)
{
    struct lottery *lottery = arg;
    text_copy(lottery->lottery, sizeof lottery->lottery, db_row_text(row, 0));
    lottery->draws_per_user = db_row_int(row, 1);
    lottery->blank_weight = db_row_int(row, 2);
    lottery->remaining = db_row_int(row, 3);
    lottery->version = db_row_int(row, 4);
    if (db_row_is_null(row, 5))
        return RC_OK;
    if (lottery->n_prizes == LOTTERY_PRIZES_MAX)
        return RC_INTERNAL;
    struct prize *prize = &lottery->prizes[lottery->n_prizes++];
    text_copy(prize->prize, sizeof prize->prize, db_row_text(row, 5));
    prize->quantity = db_row_int(row, 6);
    prize->weight = db_row_int(row, 7);
    text_copy(prize->counter.name, sizeof prize->counter.name, db_row_text(row, 8));
    prize->counter.remaining = db_row_int(row, 9);
    prize->counter.version = db_row_int(row, 10);
    prize->counter.fence = db_row_int(row, 11);
    return RC_OK;
}

static enum rc load(struct db *db, const char *name, struct lottery *lottery)
{
    char counter[COUNTER_NAME_MAX + 1];
    if (!text_format(counter, sizeof counter, "lottery/%s", name))
        return RC_NOT_FOUND;
    struct db_value params[] = {db_text(counter), db_text(name)};
    lottery->lottery[0] = '\0';
    lottery->n_prizes = 0;
    enum rc rc = db_query(db,
                          db_is_sqlite(db) ? LOTTERY_SQL("lottery", "?", PRIZE_SQLITE) ONE
                                           : LOTTERY_SQL("lottery", "?", PRIZE_MYSQL) ONE,
                          params, ARRAY_LENGTH(params), keep_row, lottery);
    return rc == RC_OK && lottery->lottery[0] == '\0' ? RC_NOT_FOUND : rc;
}

enum rc lottery_get(struct db *db, const char *lottery, struct lottery *ret_lottery)
{
    struct lottery found;
    enum rc rc = load(db, lottery, &found);
    if (rc == RC_OK)
        *ret_lottery = found;
    return rc;
}

struct reader {
    lottery_fn on_lottery;
    void *arg;
    struct lottery lottery; // as far as its rows have been read; without a name: none
};

static enum rc finish_lottery(struct reader *reader)
{
    if (reader->lottery.lottery[0] == '\0')
        return RC_OK;
    return reader->on_lottery(reader->arg, &reader->lottery);
}

static enum rc read_row(void *arg, const struct db_row *row)
{
    struct reader *reader = arg;
    if (strcmp(reader->lottery.lottery, db_row_text(row, 0)) != 0) {
        enum rc rc = finish_lottery(reader);
        if (rc != RC_OK)
            return rc;
        reader->lottery.n_prizes = 0;
    }
    return keep_row(&reader->lottery, row);
}

enum rc lottery_page(struct db *db, const char *after, int64_t limit, lottery_fn on_lottery,
                     void *arg)
{
    struct reader reader = {.on_lottery = on_lottery, .arg = arg};
    struct db_value params[] = {db_text(after), db_int(limit)};
#define ORDER " ORDER BY l.lottery, p.prize"
    enum rc rc = db_query(
        db,
        db_is_sqlite(db) ? LOTTERY_SQL(SOME, "'lottery/' || l.lottery", PRIZE_SQLITE) ORDER
                         : LOTTERY_SQL(SOME, "CONCAT('lottery/', l.lottery)", PRIZE_MYSQL) ORDER,
        params, ARRAY_LENGTH(params), read_row, &reader);
    return rc == RC_OK ? finish_lottery(&reader) : rc;
}

enum rc lottery_load(struct db *db, const char *lottery, struct lottery *ret_lottery)
{
    struct lottery found;
    enum rc rc = load(db, lottery, &found);
    if (rc != RC_OK)
        return rc;
    found.remaining = ret_lottery->remaining;
    found.version = ret_lottery->version;
    *ret_lottery = found;
    return RC_OK;
}

// ---- change -------------------------------------------------------------------------------------

struct put {
    const struct lottery *wanted;
    const struct precondition *condition;
    struct lottery now; // as loaded, then as it will be
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

// Adds the new prizes, with quantity 0 and no counter yet, and sorts all prizes by name.
static enum rc add_prizes(const struct lottery *wanted, struct lottery *now)
{
    for (size_t i = 0; i < wanted->n_prizes; i++) {
        const char *name = wanted->prizes[i].prize;
        if (find_prize(wanted->prizes, i, name) != NULL)
            return RC_INVALID_FIELD; // named twice
        if (find_prize(now->prizes, now->n_prizes, name) != NULL)
            continue;
        if (now->n_prizes == LOTTERY_PRIZES_MAX)
            return RC_LIMIT_REACHED;
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

// Changes one prize. wanted = NULL: put no longer names it; the quantity already won stays.
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

// `version` is that of the counter after this change. It becomes limit_version if the limit
// changes.
static enum rc write_lottery(struct db *db, const struct put *put, int64_t version)
{
    const struct lottery *wanted = put->wanted;
    struct db_value insert[] = {db_text(wanted->lottery), db_int(wanted->draws_per_user),
                                db_int(wanted->blank_weight), db_int(version)};
    struct db_value update[] = {insert[2], insert[1], insert[3], insert[1], insert[0]};
    if (put->created)
        return db_insert(db, "lottery (lottery, draws_per_user, blank_weight, limit_version)",
                         ARRAY_LENGTH(insert), insert, 1);
    // MySQL assigns from left to right, so the comparison comes before the limit is assigned.
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
    enum rc rc = admin_lock_counter(db, put->condition, &counter, &now_ms);
    if (rc != RC_OK)
        return rc;
    rc = lottery_load(db, wanted->lottery, now);
    put->created = rc == RC_NOT_FOUND;
    if (rc != RC_OK && !put->created)
        return rc;
    put->changed = put->created || counter.version == 0 ||
                   now->draws_per_user != wanted->draws_per_user ||
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

enum rc lottery_put(struct db *db, const struct lottery *put, const struct precondition *condition,
                    bool *ret_created, struct lottery *ret_lottery)
{
    struct put state = {.wanted = put, .condition = condition};
    enum rc rc = admin_transaction(db, put_once, &state);
    if (rc != RC_OK)
        return rc;
    *ret_created = state.created;
    *ret_lottery = state.now;
    return RC_OK;
}

// ---- draws --------------------------------------------------------------------------------------

#define DRAW_COLUMNS 6

enum rc draw_insert(struct db *db, const struct draw *draws, size_t n)
{
    if (n == 0)
        return RC_OK;
    struct db_value *values CLEANUP(free_memory) = calloc(n * DRAW_COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(draws[i].lottery);
        *at++ = db_text(draws[i].user_id);
        *at++ = db_int(draws[i].slot);
        *at++ = db_text_or_null(draws[i].prize);
        *at++ = db_int(draws[i].version);
        *at++ = db_int(draws[i].created_at_ms);
    }
    return db_insert(db, "draw (lottery, user_id, slot, prize, version, created_at)", DRAW_COLUMNS,
                     values, n);
}

enum rc draw_count(struct db *db, const char *const *lotteries, const char *const *users, size_t n,
                   int64_t *ret_used)
{
    static const struct usage draws = {"draw", "lottery", "user_id"};
    return usage_count(db, &draws, lotteries, users, n, ret_used);
}

static enum rc keep_draw(void *arg, const struct db_row *row)
{
    struct draw *draw = arg;
    text_copy(draw->lottery, sizeof draw->lottery, db_row_text(row, 0));
    text_copy(draw->user_id, sizeof draw->user_id, db_row_text(row, 1));
    draw->slot = db_row_int(row, 2);
    text_copy(draw->prize, sizeof draw->prize, db_row_text(row, 3));
    draw->version = db_row_int(row, 4);
    draw->created_at_ms = db_row_int(row, 5);
    return RC_OK;
}

enum rc draw_find(struct db *db, const char *lottery, const char *user_id, int64_t version,
                  struct draw *ret_draw)
{
    struct draw found = {.version = 0};
    struct db_value params[] = {db_text(lottery), db_text(user_id), db_int(version)};
    enum rc rc = db_query(db,
                          "SELECT lottery, user_id, slot, prize, version, created_at FROM draw"
                          " WHERE lottery = ? AND user_id = ? AND version = ?",
                          params, ARRAY_LENGTH(params), keep_draw, &found);
    if (rc != RC_OK)
        return rc;
    if (found.version == 0)
        return RC_NOT_FOUND;
    *ret_draw = found;
    return RC_OK;
}
