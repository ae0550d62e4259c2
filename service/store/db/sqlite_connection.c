// Opens the files of an SQLite store, and maps its failures to results.
#include "store/db/sqlite_connection.h"

#include "base/clock.h"
#include "base/text.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_BETWEEN_CHECKS 10000 // SQLite instructions between two looks at `cancelled`

// Extended codes come before the code that they extend. A number that is not here is RC_INTERNAL.
static const struct db_meaning meanings[] = {
    {SQLITE_BUSY, RC_CONFLICT, DB_FAULT_NONE},
    {SQLITE_LOCKED, RC_CONFLICT, DB_FAULT_NONE},
    {SQLITE_CONSTRAINT_UNIQUE, RC_DUPLICATE, DB_FAULT_NONE},
    {SQLITE_CONSTRAINT_PRIMARYKEY, RC_DUPLICATE, DB_FAULT_NONE},
    {SQLITE_CONSTRAINT_ROWID, RC_DUPLICATE, DB_FAULT_NONE},
    {SQLITE_INTERRUPT, RC_BACKEND_UNAVAILABLE, DB_FAULT_NONE},
    {SQLITE_NOMEM, RC_NO_MEMORY, DB_FAULT_NONE},
    {SQLITE_FULL, RC_BACKEND_UNAVAILABLE, DB_FAULT_FULL},
    {SQLITE_READONLY_DBMOVED, RC_BACKEND_UNAVAILABLE, DB_FAULT_MISSING},
    {SQLITE_READONLY, RC_BACKEND_UNAVAILABLE, DB_FAULT_READ_ONLY},
    {SQLITE_PERM, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED},
    {SQLITE_AUTH, RC_BACKEND_UNAVAILABLE, DB_FAULT_DENIED},
    {SQLITE_CORRUPT, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},
    {SQLITE_NOTADB, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},
    // The operating system's error tells why, see sqlite_connection_failed().
    {SQLITE_IOERR_CORRUPTFS, RC_BACKEND_UNAVAILABLE, DB_FAULT_CORRUPT},
    {SQLITE_IOERR, RC_BACKEND_UNAVAILABLE, DB_FAULT_NONE},
    {SQLITE_CANTOPEN, RC_BACKEND_UNAVAILABLE, DB_FAULT_NONE},
};

// The errno behind an I/O error; 0 if none is known. SQLite's own memory of it is lost when the
// error rolls the transaction back; those of the write-ahead log and of the database's file are
// kept.
static int last_errno(sqlite3 *handle)
{
    int number = sqlite3_system_errno(handle);
    sqlite3_file *journal = NULL;
    if (number == 0 &&
        sqlite3_file_control(handle, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &journal) == SQLITE_OK &&
        journal != NULL && journal->pMethods != NULL)
        (void)journal->pMethods->xFileControl(journal, SQLITE_FCNTL_LAST_ERRNO, &number);
    if (number == 0)
        (void)sqlite3_file_control(handle, NULL, SQLITE_FCNTL_LAST_ERRNO, &number);
    return number;
}

enum rc sqlite_connection_failed_as(struct sqlite_db *sqlite, int code)
{
    const struct db_meaning *meaning = db_meaning_of(meanings, ARRAY_LENGTH(meanings), code);
    if (meaning == NULL)
        meaning = db_meaning_of(meanings, ARRAY_LENGTH(meanings), code & 0xff);
    sqlite->code = code;
    if (meaning == NULL) {
        // A dropped table has no code of its own.
        bool missing = strncmp(sqlite->db.error, "no such table", 13) == 0;
        db_note_fault(&sqlite->db, missing ? DB_FAULT_MISSING : DB_FAULT_NONE);
        return missing ? RC_BACKEND_UNAVAILABLE : RC_INTERNAL;
    }
    enum db_fault fault = meaning->fault;
    int primary = meaning->number & 0xff;
    if (sqlite->handle != NULL && fault == DB_FAULT_NONE &&
        (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN))
        fault = db_errno_fault(last_errno(sqlite->handle));
    db_note_fault(&sqlite->db, fault);
    return meaning->rc;
}

enum rc sqlite_connection_failed(struct sqlite_db *sqlite, int code)
{
    text_copy(sqlite->db.error, sizeof sqlite->db.error,
              sqlite->handle != NULL ? sqlite3_errmsg(sqlite->handle) : sqlite3_errstr(code));
    return sqlite_connection_failed_as(sqlite, code);
}

enum rc sqlite_connection_moved(struct sqlite_db *sqlite)
{
    text_format(
        sqlite->db.error, sizeof sqlite->db.error,
        "%.200s, or its -wal or -shm file, was deleted, renamed or replaced after the start",
        sqlite->owner->path);
    return sqlite_connection_failed_as(sqlite, SQLITE_READONLY_DBMOVED);
}

void sqlite_connection_drop_statements(struct sqlite_db *sqlite)
{
    for (size_t i = 0; i < sqlite->n_cached; i++) {
        sqlite3_finalize(sqlite->cached[i].statement);
        free(sqlite->cached[i].sql);
    }
    sqlite->n_cached = 0;
}

void sqlite_connection_close(struct sqlite_db *sqlite)
{
    sqlite_connection_drop_statements(sqlite);
    if (sqlite->counted)
        sqlite_files_closing(&sqlite->owner->files);
    sqlite->counted = false;
    sqlite3_close(sqlite->handle);
    sqlite->handle = NULL;
}

static int is_cancelled(void *arg)
{
    struct sqlite_db *sqlite = arg;
    return atomic_load(&sqlite->db.cancelled);
}

// Changing the journal mode needs the file alone. Where another process changes it at the same time,
// SQLite answers SQLITE_BUSY at once, whatever the busy timeout, because both might wait for ever.
static int enter_wal_mode(struct sqlite_db *sqlite)
{
    int64_t until_ns = clock_now_ns() + sqlite->busy_ms * NS_PER_MS;
    for (;;) {
        int code = sqlite3_exec(sqlite->handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        bool busy = (code & 0xff) == SQLITE_BUSY;
        if (!busy || is_cancelled(sqlite) || clock_now_ns() >= until_ns)
            return code;
        clock_sleep_ns(NS_PER_MS);
    }
}

static enum rc open_handle(struct sqlite_db *sqlite)
{
    struct sqlite_files *files = &sqlite->owner->files;
    bool claimed = files->lock >= 0, first = !sqlite_files_known(files);
    if (first && !sqlite_files_can_open(files, sqlite->db.error))
        return RC_BACKEND_UNAVAILABLE;
    int create = first && files->may_create ? SQLITE_OPEN_CREATE : 0;
    int code = sqlite3_open_v2(sqlite->owner->path, &sqlite->handle,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | create, NULL);
    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(sqlite->handle, 1);
        sqlite3_busy_timeout(sqlite->handle, (int)sqlite->busy_ms);
        sqlite3_progress_handler(sqlite->handle, STEPS_BETWEEN_CHECKS, is_cancelled, sqlite);
        code = claimed ? enter_wal_mode(sqlite) : SQLITE_OK;
    }
    if (code == SQLITE_OK) {
        // The read makes SQLite open all three files.
        code = sqlite3_exec(sqlite->handle,
                            "PRAGMA synchronous = FULL;"
                            "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;"
                            "SELECT COUNT(*) FROM sqlite_master;",
                            NULL, NULL, NULL);
    }
    enum rc rc = code == SQLITE_OK ? RC_OK : sqlite_connection_failed(sqlite, code);
    if (rc == RC_OK) {
        sqlite->counted = sqlite_files_opened(files);
        if (sqlite->counted)
            return RC_OK;
        rc = sqlite_connection_moved(sqlite);
    }
    sqlite_connection_close(sqlite);
    return rc == RC_CONFLICT ? RC_BACKEND_UNAVAILABLE : rc;
}

enum rc sqlite_connection_ensure(struct sqlite_db *sqlite)
{
    if (is_cancelled(sqlite))
        return sqlite_connection_failed(sqlite, SQLITE_INTERRUPT);
    if (sqlite->db.in_transaction)
        return RC_OK;
    if (db_fault(&sqlite->db) == DB_FAULT_CORRUPT) {
        text_copy(sqlite->db.error, sizeof sqlite->db.error,
                  "the database was found corrupt; it is not used until a restart");
        return sqlite_connection_failed_as(sqlite, SQLITE_CORRUPT);
    }
    if (!sqlite_files_unmoved(&sqlite->owner->files))
        return sqlite_connection_moved(sqlite);
    return sqlite->handle != NULL ? RC_OK : open_handle(sqlite);
}
