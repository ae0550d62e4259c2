// Counts, for each of many subjects, the rows that count against a limit. On MySQL the cost is the
// round trip, so one query counts a list of them. On SQLite the cost is preparing a statement, so
// one prepared statement runs once a subject.
#include "store/tables/usage.h"

#include "base/text.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX 256

// Where a subject's count goes.
struct place {
    const char *subject;
    int64_t *used;
};

struct list {
    struct place places[LIST_MAX]; // sorted by subject
    size_t n;
};

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->subject, ((const struct place *)b)->subject);
}

static enum rc on_subject(void *arg, const struct db_row *row)
{
    struct list *list = arg;
    struct place key = {.subject = db_row_text(row, 0)};
    struct place *place =
        bsearch(&key, list->places, list->n, sizeof *list->places, compare_places);
    if (place == NULL)
        return RC_INTERNAL;
    *place->used = db_row_int(row, 1);
    return RC_OK;
}

static enum rc count_list(struct db *db, const struct usage *usage, const char *id,
                          struct list *list)
{
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value params[1 + LIST_MAX] = {db_text(id)};
    buffer_format(&sql, "SELECT %s, COUNT(*) FROM %s WHERE %s = ? AND %s IN (", usage->subject,
                  usage->table, usage->noun, usage->subject);
    for (size_t i = 0; i < list->n; i++) {
        buffer_append_text(&sql, i == 0 ? "?" : ",?");
        params[1 + i] = db_text(list->places[i].subject);
    }
    buffer_format(&sql, ") GROUP BY %s", usage->subject);
    if (sql.failed)
        return RC_NO_MEMORY;
    qsort(list->places, list->n, sizeof *list->places, compare_places);
    return db_query(db, sql.data, params, 1 + list->n, on_subject, list);
}

static enum rc count_in_lists(struct db *db, const struct usage *usage, const char *id,
                              const char *const *subjects, size_t n, int64_t *ret_used)
{
    struct list list;
    for (size_t from = 0; from < n; from += list.n) {
        list.n = n - from < LIST_MAX ? n - from : LIST_MAX;
        for (size_t i = 0; i < list.n; i++)
            list.places[i] = (struct place){subjects[from + i], &ret_used[from + i]};
        enum rc rc = count_list(db, usage, id, &list);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc count_each(struct db *db, const struct usage *usage, const char *id,
                          const char *const *subjects, size_t n, int64_t *ret_used)
{
    char sql[128];
    text_format(sql, sizeof sql, "SELECT COUNT(*) FROM %s WHERE %s = ? AND %s = ?", usage->table,
                usage->noun, usage->subject);
    for (size_t i = 0; i < n; i++) {
        struct db_value params[] = {db_text(id), db_text(subjects[i])};
        enum rc rc = db_query_int(db, sql, params, ARRAY_LENGTH(params), &ret_used[i]);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc usage_count(struct db *db, const struct usage *usage, const char *id,
                    const char *const *subjects, size_t n, int64_t *ret_used)
{
    for (size_t i = 0; i < n; i++)
        ret_used[i] = 0;
    return db_is_sqlite(db) ? count_each(db, usage, id, subjects, n, ret_used)
                            : count_in_lists(db, usage, id, subjects, n, ret_used);
}
