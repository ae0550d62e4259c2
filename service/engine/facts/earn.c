// The facts of an earn for an order: whether the account has earned points for the order before.
#include "engine/facts/facts.h"
#include "store/tables/earned.h"

#include <stdlib.h>

static const char *subject(const struct operation *operation)
{
    return operation->order_id;
}

static enum rc load(struct db *db, const struct facts_asked *asked)
{
    for (size_t i = 0; i < asked->n_roots; i++)
        asked->facts[i]->limit = 1;
    return earned_count(db, asked->owners, asked->subjects, asked->n_subjects, asked->used);
}

static enum rc save(struct db *db, struct fact *facts, size_t n, int64_t now_ms)
{
    struct earned *earned CLEANUP(free_memory) = calloc(n, sizeof *earned);
    if (earned == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const struct operation *operation = facts[i].operation;
        earned[i] = (struct earned){.user_id = counter_id(operation->leg.counter),
                                    .order_id = operation->order_id,
                                    .version = operation->leg.version,
                                    .created_at_ms = now_ms};
    }
    return earned_insert(db, earned, n);
}

const struct facts earn_facts = {.subject = subject, .load = load, .save = save};
