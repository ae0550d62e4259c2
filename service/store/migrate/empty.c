// Empties the laboratory's database. The name decides whether it may: a shop's database that an
// operator has named by mistake must not lose its tables.
#include "store/migrate/migrate.h"

#include "base/text.h"
#include "store/db/db.h"

static enum rc append_table(void *arg, const struct db_row *row)
{
    struct buffer *script = arg;
    buffer_format(script, "DROP TABLE `%s`;", db_row_text(row, 0));
    return RC_OK;
}

static enum rc drop_all(struct db *db)
{
    struct buffer script CLEANUP(buffer_release) = {0};
    enum rc rc = db_query(db,
                          "SELECT table_name FROM information_schema.tables"
                          " WHERE table_schema = DATABASE()",
                          NULL, 0, append_table, &script);
    if (rc == RC_OK && script.failed)
        rc = RC_NO_MEMORY;
    return rc == RC_OK && script.length > 0 ? db_script(db, script.data) : rc;
}

enum rc migrate_empty(struct db *db, char *ret_error)
{
    int64_t ours = 0;
    enum rc rc = db_query_int(db, "SELECT RIGHT(DATABASE(), 4) = '_lab'", NULL, 0, &ours);
    if (rc == RC_OK && ours == 0) {
        text_copy(ret_error, MIGRATE_ERROR_MAX,
                  "lab.store: a run deletes everything in this database, so its name must end in"
                  " `_lab`, such as holdfast_lab");
        return RC_SCHEMA;
    }
    if (rc == RC_OK)
        rc = drop_all(db);
    if (rc != RC_OK)
        text_format(ret_error, MIGRATE_ERROR_MAX, "emptying the database failed: %.240s",
                    db_error(db));
    return rc;
}
