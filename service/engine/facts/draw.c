// The facts of draw: the wheel, the counters of its prizes, the user's draws so far, and the draw
// itself.
#include "base/text.h"
#include "domain/lottery.h"
#include "engine/facts/facts.h"
#include "store/tables/ledger.h"
#include "store/tables/lottery.h"

#include <stdlib.h>

static enum rc load_wheel(struct db *db, const char *id, struct root_facts *ret_facts)
{
    if (ret_facts->lottery == NULL)
        ret_facts->lottery = calloc(1, sizeof *ret_facts->lottery);
    if (ret_facts->children == NULL)
        ret_facts->children = calloc(LOTTERY_PRIZES_MAX, sizeof *ret_facts->children);
    struct lottery *lottery = ret_facts->lottery;
    if (lottery == NULL || ret_facts->children == NULL)
        return RC_NO_MEMORY;
    enum rc rc = lottery_load(db, id, lottery);
    if (rc != RC_OK)
        return rc;
    ret_facts->limit = lottery->draws_per_user;
    ret_facts->n_children = lottery->n_prizes;
    for (size_t i = 0; i < lottery->n_prizes; i++)
        ret_facts->children[i] = lottery->prizes[i].counter;
    return RC_OK;
}

static enum rc load(struct db *db, const struct facts_asked *asked)
{
    for (size_t i = 0; i < asked->n_roots; i++) {
        enum rc rc = load_wheel(db, asked->ids[i], asked->facts[i]);
        if (rc != RC_OK)
            return rc;
    }
    return draw_count(db, asked->owners, asked->subjects, asked->n_subjects, asked->used);
}

static enum rc save(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct draw *draws CLEANUP(free_memory) = calloc(n, sizeof *draws);
    if (draws == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const struct operation *operation = facts[i].operation;
        draws[i].slot = facts[i].slot;
        draws[i].version = operation->outcome.version;
        draws[i].created_at_ms = now_ms;
        text_copy(draws[i].prize, sizeof draws->prize, operation->outcome.prize);
        text_copy(draws[i].lottery, sizeof draws->lottery, counter_id(operation->leg.counter));
        text_copy(draws[i].user_id, sizeof draws->user_id, operation->user_id);
    }
    return draw_insert(db, draws, n);
}

static enum rc recall(struct db *db, const struct ledger_row *row, struct operation *operation)
{
    struct draw draw;
    enum rc rc = draw_find(db, counter_id(row->counter), row->user_id, row->version, &draw);
    if (rc == RC_OK)
        text_copy(operation->outcome.prize, sizeof operation->outcome.prize, draw.prize);
    return rc;
}

const struct facts draw_facts = {
    .subject = subject_user, .load = load, .save = save, .recall = recall};
