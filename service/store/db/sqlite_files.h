// The identity of an SQLite database's three files: the database, its write-ahead log (-wal) and
// the index of that log (-shm). Shared by all connections of a store; any thread. And a fourth
// file, -lock, which a process that serves or migrates the database keeps locked.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SQLITE_FILES 3

// Why this text, which follows `sqlite:`, is no path of a database's file: a sentence; NULL if it
// may be one. The file system is not read.
const char *sqlite_path_refusal(const char *path);

struct sqlite_files {
    const char *path;      // of the database; borrowed
    int lock;              // the descriptor of the locked -lock; -1: not claimed
    bool may_create;       // the first connection may create the database
    pthread_mutex_t mutex; // protects:
    size_t n_open;         // connections
    struct sqlite_file {
        bool known;
        dev_t device;
        ino_t inode;
    } files[SQLITE_FILES];
};

void sqlite_files_init(struct sqlite_files *files, const char *path);
void sqlite_files_release(struct sqlite_files *files);

// As store_claim, once: locks -lock until the release.
MUST_CHECK enum rc sqlite_files_claim(struct sqlite_files *files, enum db_claim claim,
                                      char *ret_error);

// Whether there is a file, or the first connection may create it. If not, or if it is a folder: a
// sentence in ret_error (DB_ERROR_MAX bytes).
bool sqlite_files_can_open(struct sqlite_files *files, char *ret_error);

// Whether a connection was opened before. Then the database's file must exist.
bool sqlite_files_known(struct sqlite_files *files);

// Call after a connection was opened and has read. Counts it. The first one makes its files the
// known ones. False, and not counted: a later one found other files under the path.
bool sqlite_files_opened(struct sqlite_files *files);

// Call before a counted connection is closed. SQLite removes -wal and -shm when the last connection
// closes, so those two are forgotten then.
void sqlite_files_closing(struct sqlite_files *files);

// Whether the path still leads to the known files. Costs a stat(2) for each.
bool sqlite_files_unmoved(struct sqlite_files *files);
