// The table earned: its primary key lets an account earn points for an order once.
#include "store/tables/earned.h"

#include "store/db/db.h"
#include "store/tables/usage.h"

#include <stdlib.h>

#define COLUMNS 4

enum rc earned_insert(struct db *db, const struct earned *earned, size_t n)
{
    struct db_value *values CLEANUP(free_memory) = calloc(n * COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(earned[i].user_id);
        *at++ = db_text(earned[i].order_id);
        *at++ = db_int(earned[i].version);
        *at++ = db_int(earned[i].created_at_ms);
    }
    return db_insert(db, "earned (user_id, order_id, version, created_at)", COLUMNS, values, n);
}

enum rc earned_count(struct db *db, const char *const *users, const char *const *orders, size_t n,
                     int64_t *ret_used)
{
    static const struct usage earned = {"earned", "user_id", "order_id"};
    return usage_count(db, &earned, users, orders, n, ret_used);
}
