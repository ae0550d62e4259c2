// Reads, for each of many subjects, what counts against a limit, in one statement for subjects of
// many nouns: on MySQL the cost is the round trip. On SQLite the cost is preparing a statement, so
// one prepared statement runs once a subject.
#include "store/tables/usage.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/db/list.h"

#include <stdlib.h>

#define LIST_MAX 256
#define COLUMNS 3

static enum rc keep_number(void *arg, const struct db_row *row)
{
    int64_t *used = arg, at = db_row_int(row, 0);
    if (at >= 0) // the list begins with a row that names the columns
        used[at] = db_row_int(row, 1);
    return RC_OK;
}

enum rc usage_read(struct db *db, const char *number, const char *const *nouns,
                   const char *const *subjects, size_t n, int64_t *ret_used)
{
    static const struct db_list sqlite = {NULL, "? AS place, ? AS noun, ? AS subject", "", ") w",
                                          COLUMNS};
    static const struct db_list mysql = {NULL, " UNION ALL SELECT ?,?,?", "", ") w", COLUMNS};
    struct db_list list = db_is_sqlite(db) ? sqlite : mysql;
    struct db_value params[COLUMNS * LIST_MAX];
    struct buffer before CLEANUP(buffer_release) = {0};
    buffer_format(&before, "SELECT w.place, (%s) FROM (SELECT %s", number,
                  db_is_sqlite(db) ? ""
                                   : "-1 AS place, CAST('' AS BINARY) AS noun,"
                                     " CAST('' AS BINARY) AS subject");
    if (before.failed)
        return RC_NO_MEMORY;
    list.before = before.data;
    enum rc rc = RC_OK;
    for (size_t from = 0; from < n && rc == RC_OK; from += LIST_MAX) {
        size_t filled = 0, to = n - from < LIST_MAX ? n : from + LIST_MAX;
        for (size_t i = from; i < to; i++) {
            params[filled++] = db_int((int64_t)i);
            params[filled++] = db_text(nouns[i]);
            params[filled++] = db_text(subjects[i]);
        }
        rc = db_run_list(db, &list, params, to - from, keep_number, ret_used);
    }
    return rc;
}
