// A lottery is its prizes and weights. Each prize has a counter of what is left, and the counter
// lottery/LOTTERY is their sum: every draw moves its version, won or blank, so its row lock or its
// version stands for the whole lottery. Changing a lottery is in lottery_put.c.
#include "store/tables/lottery.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/usage.h"

#include <stdlib.h>

// One statement, so that it sees one moment also outside a transaction.
#define LOTTERY_SQL(prize_counter)                                                                 \
    "SELECT l.lottery, l.draws_per_user, l.blank_weight, c.remaining, c.version,"                  \
    " p.prize, p.quantity, p.weight, k.name, k.remaining, k.version, k.fence FROM lottery l"       \
    " JOIN counter c ON c.name = ? LEFT JOIN prize p ON p.lottery = l.lottery"                     \
    " LEFT JOIN counter k ON k.name = " prize_counter " WHERE l.lottery = ? ORDER BY p.prize"

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
    enum rc rc =
        db_query(db,
                 db_is_sqlite(db) ? LOTTERY_SQL("'prize/' || p.lottery || '/' || p.prize")
                                  : LOTTERY_SQL("CONCAT('prize/', p.lottery, '/', p.prize)"),
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

// ---- draws

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

enum rc draw_count(struct db *db, const char *lottery, const char *const *users, size_t n,
                   int64_t *ret_used)
{
    return usage_count(db, "draw", "lottery", lottery, users, n, ret_used);
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
