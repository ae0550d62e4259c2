// The facts of an earn for an order: whether the account has earned points for the order before.
#include "engine/facts/facts.h"
#include "store/tables/earned.h"

#include <stdlib.h>

static const char *subject(const struct operation *operation)
{
    return operation->order_id;
}

static enum rc load(struct db *db, const char *id, const char *const *subjects, size_t n_subjects,
                    struct root_facts *ret_facts, int64_t *ret_used)
{
    ret_facts->limit = 1;
    return earned_count(db, id, subjects, n_subjects, ret_used);
}

static enum rc save(struct db *db, const struct fact *facts, size_t n, int64_t now_ms)
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
