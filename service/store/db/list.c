// Builds the text of a statement with a list, and runs it: at once, or item by item.
#include "store/db/list.h"

#include "base/text.h"

enum rc db_run_list(struct db *db, const struct db_list *list, const struct db_value *params,
                    size_t n, db_row_fn on_row, void *arg)
{
    size_t at_once = db_is_sqlite(db) ? 1 : n;
    struct buffer sql CLEANUP(buffer_release) = {0};
    if (n == 0)
        return RC_OK;
    buffer_append_text(&sql, list->before);
    for (size_t i = 0; i < at_once; i++) {
        buffer_append_text(&sql, i == 0 ? "" : list->between);
        buffer_append_text(&sql, list->item);
    }
    buffer_append_text(&sql, list->after);
    if (sql.failed)
        return RC_NO_MEMORY;
    enum rc rc = RC_OK;
    for (size_t from = 0; from < n && rc == RC_OK; from += at_once) {
        const struct db_value *at = params + from * list->n_params;
        size_t n_params = at_once * list->n_params;
        rc = on_row != NULL ? db_query(db, sql.data, at, n_params, on_row, arg)
                            : db_exec(db, sql.data, at, n_params, NULL);
    }
    return rc;
}
