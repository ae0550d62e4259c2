// Inserts and deletes a row with a random name in the lock table. A permanent row would be shared
// by all transactions, and they would queue on its row lock.
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
