// One table: error number, class, fault. The class says what the service does; the fault, if there
// is one, is the reason that /readyz, the log and the metrics give.
//
// COMMIT needs no classes of its own. Only a deadlock, a lock timeout and a duplicate prove that it
// was rolled back. After any other error the engine looks its requests up by their keys. A group
// of servers may commit what it has refused: a COMMIT answered with 3100 was found in the ledger
// once the group was whole again.
//
// What breaks it: a number that two products use with different meanings. Numbers below 5000 are
// those of MySQL and MariaDB, 6000 to 6999 of OceanBase (6400: see the row), 8000 to 9999 of TiDB.
#include "store/db/mysql_errors.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

enum class {
    INTERNAL,    // an error of this program, most likely
    DUPLICATE,   // a unique key refused the row
    ROLLED_BACK, // another writer was first, and the transaction is certainly rolled back
    CONFLICT,    // the transaction may be tried again
    BUSY,        // a limit of the server, for now
    REFUSED,     // until an operator mends the fault
    ELSEWHERE,   // this server cannot write; another one may
    LOST,        // the connection is broken
    SECOND,      // the text names a second number: see second_fault()
};

enum {
    CLIENT_ERRORS_FROM = 2000, // raised by the client library: the connection, mostly
    CLIENT_ERRORS_TO = 2999,
    CLIENT_OUT_OF_MEMORY = 2008,
    ENGINE_ERRORS_FROM = 120,
};

struct row {
    unsigned number;
    enum class class;
    enum db_fault fault;
};

// clang-format off
static const struct row table[] = {
    {1062, DUPLICATE, DB_FAULT_NONE}, // duplicate entry
    {1586, DUPLICATE, DB_FAULT_NONE}, // duplicate entry, with the key's name

    {1205, ROLLED_BACK, DB_FAULT_NONE}, // lock wait timeout
    {1213, ROLLED_BACK, DB_FAULT_NONE}, // deadlock; Galera: another node was first

    {1020, CONFLICT, DB_FAULT_NONE}, // MariaDB: the row changed since the snapshot
    {1297, CONFLICT, DB_FAULT_NONE}, // a temporary error of the storage engine
    {1317, CONFLICT, DB_FAULT_NONE}, // the query was interrupted
    {1637, BUSY,     DB_FAULT_NONE}, // too many transactions at once
    {1969, CONFLICT, DB_FAULT_NONE}, // MariaDB: max_statement_time
    {3024, CONFLICT, DB_FAULT_NONE}, // MySQL: max_execution_time
    {6002, CONFLICT, DB_FAULT_NONE}, // OceanBase: the transaction was rolled back
    {6005, CONFLICT, DB_FAULT_NONE}, // OceanBase: a row's lock
    {8002, CONFLICT, DB_FAULT_NONE}, // TiDB: SELECT ... FOR UPDATE met another write
    {8005, CONFLICT, DB_FAULT_NONE}, // TiDB: a write conflict
    {8022, CONFLICT, DB_FAULT_NONE}, // TiDB: the commit failed and may be tried again
    {8028, CONFLICT, DB_FAULT_NONE}, // TiDB: the schema has changed
    {9007, CONFLICT, DB_FAULT_NONE}, // TiDB: a write conflict

    {1037, BUSY, DB_FAULT_NONE}, // out of memory
    {1038, BUSY, DB_FAULT_NONE}, // out of memory for sorting
    {1040, BUSY, DB_FAULT_NONE}, // too many connections
    {1041, BUSY, DB_FAULT_NONE}, // out of memory
    {1105, BUSY, DB_FAULT_NONE}, // unknown error; Vitess: most errors of a shard
    {1135, BUSY, DB_FAULT_NONE}, // no thread can be created
    {1203, BUSY, DB_FAULT_NONE}, // max_user_connections
    {1206, BUSY, DB_FAULT_NONE}, // too many row locks
    {1226, BUSY, DB_FAULT_NONE}, // a limit of the account
    {3100, BUSY, DB_FAULT_NONE}, // Group Replication: the hook before the commit failed
    {3101, BUSY, DB_FAULT_NONE}, // Group Replication: rolled back during the commit

    // Another server may be the primary, or ready.
    {1047, ELSEWHERE, DB_FAULT_NOT_READY}, // Galera: the node is not part of the cluster
    {1123, ELSEWHERE, DB_FAULT_NOT_READY}, // a function of the server cannot be initialized
    {3032, ELSEWHERE, DB_FAULT_NOT_READY}, // MySQL: offline_mode
    {4094, ELSEWHERE, DB_FAULT_NOT_READY}, // MySQL: the group's primary is being changed
    {6400, ELSEWHERE, DB_FAULT_NOT_READY}, // MySQL 9: offline mode
    {9001, ELSEWHERE, DB_FAULT_NOT_READY}, // TiDB: PD times out
    {9002, ELSEWHERE, DB_FAULT_NOT_READY}, // TiDB: TiKV times out
    {9003, ELSEWHERE, DB_FAULT_NOT_READY}, // TiDB: TiKV is busy
    {9004, ELSEWHERE, DB_FAULT_NOT_READY}, // TiDB: locks cannot be resolved
    {9005, ELSEWHERE, DB_FAULT_NOT_READY}, // TiDB: a region is unavailable
    {1036, ELSEWHERE, DB_FAULT_READ_ONLY}, // the table is read-only
    {1290, ELSEWHERE, DB_FAULT_READ_ONLY}, // the server runs with --read-only
    {1792, ELSEWHERE, DB_FAULT_READ_ONLY}, // in a read-only transaction
    {1836, ELSEWHERE, DB_FAULT_READ_ONLY}, // read-only mode
    {1874, ELSEWHERE, DB_FAULT_READ_ONLY}, // InnoDB is read-only
    {1881, ELSEWHERE, DB_FAULT_READ_ONLY}, // innodb_force_recovery is set

    // A session keeps its rights to the database until it ends.
    {1044, ELSEWHERE, DB_FAULT_DENIED}, // to the database
    {1045, ELSEWHERE, DB_FAULT_DENIED}, // wrong user or password
    {1129, ELSEWHERE, DB_FAULT_DENIED}, // the host is blocked
    {1130, ELSEWHERE, DB_FAULT_DENIED}, // the host may not connect
    {1142, ELSEWHERE, DB_FAULT_DENIED}, // to the table
    {1143, ELSEWHERE, DB_FAULT_DENIED}, // to the column
    {1227, ELSEWHERE, DB_FAULT_DENIED}, // a global right is needed
    {1698, ELSEWHERE, DB_FAULT_DENIED}, // without a password
    {1820, ELSEWHERE, DB_FAULT_DENIED}, // the password must be changed
    {1862, ELSEWHERE, DB_FAULT_DENIED}, // the password has expired
    {3118, ELSEWHERE, DB_FAULT_DENIED}, // MySQL: the account is locked
    {4151, ELSEWHERE, DB_FAULT_DENIED}, // MariaDB: the account is locked

    {1665, ELSEWHERE, DB_FAULT_MISCONFIGURED}, // binlog_format=STATEMENT; see migrate_check

    {1021, REFUSED, DB_FAULT_FULL}, // disk full
    {1114, REFUSED, DB_FAULT_FULL}, // the table is full
    {1878, REFUSED, DB_FAULT_FULL}, // cannot write a temporary file
    {3019, REFUSED, DB_FAULT_FULL}, // the undo log is full

    {1017, REFUSED, DB_FAULT_MISSING}, // file not found
    {1046, REFUSED, DB_FAULT_MISSING}, // no database selected: it was dropped
    {1049, REFUSED, DB_FAULT_MISSING}, // unknown database
    {1051, REFUSED, DB_FAULT_MISSING}, // unknown table
    {1146, REFUSED, DB_FAULT_MISSING}, // the table does not exist
    {1812, REFUSED, DB_FAULT_MISSING}, // the tablespace is missing
    {1814, REFUSED, DB_FAULT_MISSING}, // the tablespace was discarded
    {1932, REFUSED, DB_FAULT_MISSING}, // the table does not exist in its engine

    {1033, REFUSED, DB_FAULT_CORRUPT}, // incorrect information in a file
    {1034, REFUSED, DB_FAULT_CORRUPT}, // incorrect key file
    {1035, REFUSED, DB_FAULT_CORRUPT}, // old key file
    {1194, REFUSED, DB_FAULT_CORRUPT}, // the table is marked as crashed
    {1195, REFUSED, DB_FAULT_CORRUPT}, // and its last repair failed
    {1712, REFUSED, DB_FAULT_CORRUPT}, // the index is corrupt
    {1877, REFUSED, DB_FAULT_CORRUPT}, // the table is corrupt
    {3000, REFUSED, DB_FAULT_CORRUPT}, // the file is corrupt

    {1053, LOST, DB_FAULT_NONE}, // the server shuts down
    {1158, LOST, DB_FAULT_NONE}, // the network: a read failed
    {1159, LOST, DB_FAULT_NONE}, // a read timed out
    {1160, LOST, DB_FAULT_NONE}, // a write failed
    {1161, LOST, DB_FAULT_NONE}, // a write timed out
    {1184, LOST, DB_FAULT_NONE}, // the server aborts the connection
    {1927, LOST, DB_FAULT_NONE}, // MariaDB: the connection was killed
    {3169, LOST, DB_FAULT_NONE}, // MySQL: the session was killed
    {4031, LOST, DB_FAULT_NONE}, // MySQL: the connection was idle for too long

    {3,    SECOND, DB_FAULT_NONE}, // cannot write a file
    {1005, SECOND, DB_FAULT_NONE}, // cannot create a table
    {1016, SECOND, DB_FAULT_NONE}, // cannot open a file
    {1026, SECOND, DB_FAULT_NONE}, // cannot write a file
    {1030, SECOND, DB_FAULT_NONE}, // the storage engine's error
    {1180, SECOND, DB_FAULT_NONE}, // an error during the commit
};
// clang-format on

// The second number: an errno(3), or from 120 on an error of the storage engine (HA_ERR_... of the
// servers' sources).
static enum db_fault second_fault(const char *text)
{
    static const char *const marks[] = {"errno: ", "Errcode: ", "error "};
    static const struct db_meaning causes[] = {
        {126, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // the index file is crashed
        {127, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // the record file is crashed
        {135, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},      // no more room in the record file
        {136, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},      // no more room in the index file
        {144, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // crashed, and the last repair failed
        {145, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},   // crashed
        {155, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING},   // no such table
        {165, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY}, // the table is read-only
    };
    for (size_t i = 0; i < ARRAY_LENGTH(marks); i++) {
        const char *at = strstr(text, marks[i]);
        if (at == NULL)
            continue;
        int number = (int)strtol(at + strlen(marks[i]), NULL, 10);
        const struct db_meaning *cause = db_meaning_of(causes, ARRAY_LENGTH(causes), number);
        return cause != NULL                 ? cause->fault
               : number < ENGINE_ERRORS_FROM ? db_errno_fault(number)
                                             : DB_FAULT_NONE;
    }
    return DB_FAULT_NONE;
}

static struct row find(unsigned number)
{
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        if (table[i].number == number)
            return table[i];
    }
    bool lost = number == 0 || (number >= CLIENT_ERRORS_FROM && number <= CLIENT_ERRORS_TO &&
                                number != CLIENT_OUT_OF_MEMORY);
    return (struct row){number, lost ? LOST : INTERNAL, DB_FAULT_NONE};
}

struct mysql_meaning mysql_meaning_of(unsigned number, const char *text)
{
    struct row row = find(number);
    struct mysql_meaning meaning = {.rc = RC_BACKEND_UNAVAILABLE, .fault = row.fault};
    switch (row.class) {
    case INTERNAL:
        meaning.rc = RC_INTERNAL;
        break;
    case DUPLICATE:
        meaning.rc = RC_DUPLICATE;
        meaning.rolled_back = true;
        break;
    case ROLLED_BACK:
        meaning.rc = RC_CONFLICT;
        meaning.rolled_back = true;
        break;
    case CONFLICT:
        meaning.rc = RC_CONFLICT;
        break;
    case LOST:
        meaning.lost = meaning.reconnect = true;
        break;
    case ELSEWHERE:
        meaning.reconnect = true;
        break;
    case SECOND:
        meaning.fault = second_fault(text);
        meaning.reconnect = meaning.fault == DB_FAULT_READ_ONLY || meaning.fault == DB_FAULT_DENIED;
        break;
    case BUSY:
    case REFUSED:
        break;
    }
    return meaning;
}
