// Statements with a list of items, such as the `IN (?,?,?)` of an UPDATE.
#pragma once

#include "store/db/db.h"

// The text of a statement: before, item, between, item, ..., after.
struct db_list {
    const char *before, *item, *between, *after;
    size_t n_params; // of an item; the other parts have none
};

// Runs the statement with n items, whose parameters follow each other in params. On MySQL it is one
// statement; on SQLite one for each item, because a statement there costs no round trip and is
// prepared once. on_row: called for each row; NULL if the statement returns none. Does nothing if
// n is 0. Results as those of db_query, and RC_NO_MEMORY.
MUST_CHECK enum rc db_run_list(struct db *db, const struct db_list *list,
                               const struct db_value *params, size_t n, db_row_fn on_row,
                               void *arg);
