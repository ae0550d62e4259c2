// A row of the lock table with a name that nobody else has, written and deleted again. A row that
// stays would be the same for everybody, and its lock the place where they all meet.
#include "store/tables/barrier.h"

#include "base/random.h"
#include "base/text.h"
#include "store/db/db.h"

#define NAME_MAX_BYTES 40

enum rc barrier_write(struct db *db)
{
    uint64_t number;
    random_bytes(&number, sizeof number);
    char name[NAME_MAX_BYTES];
    text_format(name, sizeof name, "barrier/%016llx", (unsigned long long)number);
    struct db_value params[] = {db_text(name)};
    enum rc rc = db_exec(db, "INSERT INTO lock_row (name, expires_at, token) VALUES (?, 0, 0)",
                         params, 1, NULL);
    return rc == RC_OK ? db_exec(db, "DELETE FROM lock_row WHERE name = ?", params, 1, NULL) : rc;
}
