// Tries what the database's account may do. A write that matches no row needs the table and the
// right to write it, and is refused by a server that is read-only, but changes nothing.
//
// What breaks it: a right that is limited to some columns; a statement of another file that needs
// more than the table below says.
#include "store/tables/access.h"

#include "base/text.h"
#include "store/db/db.h"

#include <stdlib.h>

enum { UPDATES = 1, DELETES = 2 };

static const struct {
    const char *name, *column; // any column, to update
    int writes;                // besides inserts
} tables[] = {
    {"counter", "version", UPDATES},
    {"ledger", "version", 0},
    {"product", "title", UPDATES},
    {"campaign", "total", UPDATES},
    {"coupon", "code", 0},
    {"lottery", "blank_weight", UPDATES},
    {"prize", "quantity", UPDATES},
    {"draw", "slot", 0},
    {"lock_row", "owner", UPDATES | DELETES},
    {"earned", "version", 0},
    {"reservation", "state", UPDATES},
    {"hold", "quantity", DELETES},
    {"orders", "state", UPDATES},
    {"order_item", "refunded", UPDATES},
    {"refund", "version", 0},
    {"redemption", "state", UPDATES},
};

static enum rc try_table(struct db *db, size_t i)
{
    char sql[128];
    const char *name = tables[i].name, *column = tables[i].column;
    (void)text_format(sql, sizeof sql, "INSERT INTO %s SELECT * FROM %s WHERE 1 = 0", name, name);
    enum rc rc = db_exec(db, sql, NULL, 0, NULL);
    (void)text_format(sql, sizeof sql, "UPDATE %s SET %s = %s WHERE 1 = 0", name, column, column);
    if (rc == RC_OK && (tables[i].writes & UPDATES) != 0)
        rc = db_exec(db, sql, NULL, 0, NULL);
    (void)text_format(sql, sizeof sql, "DELETE FROM %s WHERE 1 = 0", name);
    if (rc == RC_OK && (tables[i].writes & DELETES) != 0)
        rc = db_exec(db, sql, NULL, 0, NULL);
    return rc;
}

enum rc access_check(struct db *db)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && !db_is_sqlite(db) && i < ARRAY_LENGTH(tables); i++)
        rc = try_table(db, i);
    return rc;
}

const char *access_remedy(const struct db *db)
{
    static const char password[] = "check the user and the password";
    static const char rights[] = "grant the account SELECT, INSERT, UPDATE and DELETE on the "
                                 "database, and for `holdfast migrate` all rights";
    static const char writes[] = "name a server that takes writes";
    static const char server[] = "is the server running, and is the address right?";
    static const struct {
        long number;
        const char *remedy;
    } remedies[] = {
        {1044, rights},
        {1045, password},
        {1049, "create it (CREATE DATABASE ... CHARACTER SET utf8mb4), or correct its name"},
        {1142, rights},
        {1143, rights},
        {1146, "run `holdfast migrate up`"},
        {1290, writes},
        {1698, password},
        {1792, writes},
        {1836, writes},
        {2002, server},
        {2003, server},
        {2005, "correct the host's name; does the name server answer?"},
    };
    long number = strtol(db_error(db), NULL, 10);
    for (size_t i = 0; i < ARRAY_LENGTH(remedies); i++)
        if (remedies[i].number == number)
            return remedies[i].remedy;
    return db_is_sqlite(db) ? "look at the file and its directory" : server;
}
