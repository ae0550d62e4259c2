// Detects that a file of an open SQLite database was deleted, renamed or replaced, and keeps a
// second process from serving the same database.
//
// An open file outlives its name. After a deletion SQLite would go on writing into a file that
// vanishes when the process ends, and every acknowledged change with it. A connection opened later
// would see another database. So the device and inode of each file are remembered when the first
// connection has opened it, and compared with those of the path.
//
// SQLite locks the database for each write, but strategies such as `mutex` protect one process
// only, and a migration changes tables under a running service. So both take flock(2) on a file
// beside the database. The kernel releases it when the process ends, however it ends. Not on the
// database itself: closing any descriptor of it would drop SQLite's own locks. The file is never
// deleted, because a process could then lock a new file of this name while another still holds the
// old one.
//
// What breaks it: a file that is overwritten in place keeps its inode. And a file system that
// changes the inode of an open file; SQLite's own locks do not work there either.
#include "store/db/sqlite_files.h"

#include "base/text.h"
#include "store/db/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 1040 // the longest path of a store, and a suffix

const char *sqlite_path_refusal(const char *path)
{
    size_t length = strlen(path);
    if (length == 0)
        return "no path is given";
    if (strcmp(path, ":memory:") == 0)
        return "a database in memory is lost when the process ends";
    if (strncmp(path, "file:", 5) == 0)
        return "SQLite's file: addresses are not understood";
    if (strncmp(path, "//", 2) == 0 && path[2] != '/')
        return "a path has no host; a relative path follows sqlite: at once";
    if (strchr(path, '?') != NULL)
        return "there are no options for SQLite";
    return path[length - 1] == '/' ? "the path is that of a folder" : NULL;
}

void sqlite_files_init(struct sqlite_files *files, const char *path)
{
    *files = (struct sqlite_files){.path = path, .lock = -1};
    pthread_mutex_init(&files->mutex, NULL);
}

void sqlite_files_release(struct sqlite_files *files)
{
    pthread_mutex_destroy(&files->mutex);
    if (files->lock >= 0)
        close(files->lock);
}

// ---- the claim ----------------------------------------------------------------------------------

bool sqlite_files_can_open(struct sqlite_files *files, char *ret_error)
{
    struct stat found;
    bool exists = stat(files->path, &found) == 0;
    if (exists && S_ISDIR(found.st_mode)) {
        text_format(ret_error, DB_ERROR_MAX, "%.200s is a folder", files->path);
        return false;
    }
    if (exists || files->may_create || errno != ENOENT)
        return true;
    text_format(ret_error, DB_ERROR_MAX,
                "there is no %.200s; `holdfast serve` and `holdfast migrate up` create it",
                files->path);
    return false;
}

// A process that serves has written its number into the file.
static enum rc refuse(const struct sqlite_files *files, int lock, char *ret_error)
{
    char text[16] = "";
    ssize_t length = pread(lock, text, sizeof text - 1, 0);
    int digits = length > 0 ? (int)strspn(text, "0123456789") : 0;
    text_format(ret_error, DB_ERROR_MAX,
                "another process%s%.*s%s serves or migrates %.200s: an SQLite file is served by one"
                " process, and not while it is migrated",
                digits > 0 ? " (" : "", digits, text, digits > 0 ? ")" : "", files->path);
    return RC_LOCK_BUSY;
}

enum rc sqlite_files_claim(struct sqlite_files *files, enum db_claim claim, char *ret_error)
{
    char target[PATH_MAX], path[PATH_MAX + 8];
    bool alone = claim == DB_CLAIM_SERVE;
    files->may_create = claim != DB_CLAIM_MIGRATE;
    if (!sqlite_files_can_open(files, ret_error))
        return RC_BACKEND_UNAVAILABLE;
    // Every symbolic link to the database leads to the same lock.
    bool exists = realpath(files->path, target) != NULL;
    snprintf(path, sizeof path, "%s-lock", exists ? target : files->path);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0) {
        text_format(ret_error, DB_ERROR_MAX, "cannot open %.200s: %s", path, strerror(errno));
        return RC_BACKEND_UNAVAILABLE;
    }
    if (flock(lock, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        enum rc rc = refuse(files, lock, ret_error);
        close(lock);
        return rc;
    }
    if (ftruncate(lock, 0) == 0 && alone)
        (void)dprintf(lock, "%d\n", (int)getpid());
    files->lock = lock;
    return RC_OK;
}

// ---- the identity -------------------------------------------------------------------------------

// The file that the path leads to now; not known if there is none.
static struct sqlite_file look(const struct sqlite_files *files, size_t i)
{
    static const char *const suffixes[SQLITE_FILES] = {"", "-wal", "-shm"};
    char path[PATH_BYTES];
    struct stat found;
    if (!text_format(path, sizeof path, "%s%s", files->path, suffixes[i]) ||
        stat(path, &found) != 0)
        return (struct sqlite_file){.known = false};
    return (struct sqlite_file){.known = true, .device = found.st_dev, .inode = found.st_ino};
}

// With the mutex held.
static bool unmoved(const struct sqlite_files *files)
{
    for (size_t i = 0; i < SQLITE_FILES; i++) {
        const struct sqlite_file *known = &files->files[i];
        struct sqlite_file now = look(files, i);
        if (known->known &&
            (!now.known || now.device != known->device || now.inode != known->inode))
            return false;
    }
    return true;
}

bool sqlite_files_known(struct sqlite_files *files)
{
    pthread_mutex_lock(&files->mutex);
    bool known = files->files[0].known;
    pthread_mutex_unlock(&files->mutex);
    return known;
}

bool sqlite_files_opened(struct sqlite_files *files)
{
    pthread_mutex_lock(&files->mutex);
    bool ours = unmoved(files);
    for (size_t i = 0; ours && files->n_open == 0 && i < SQLITE_FILES; i++)
        files->files[i] = look(files, i);
    files->n_open += ours;
    pthread_mutex_unlock(&files->mutex);
    return ours;
}

void sqlite_files_closing(struct sqlite_files *files)
{
    pthread_mutex_lock(&files->mutex);
    files->n_open--;
    for (size_t i = 1; files->n_open == 0 && i < SQLITE_FILES; i++)
        files->files[i].known = false;
    pthread_mutex_unlock(&files->mutex);
}

bool sqlite_files_unmoved(struct sqlite_files *files)
{
    pthread_mutex_lock(&files->mutex);
    bool ours = unmoved(files);
    pthread_mutex_unlock(&files->mutex);
    return ours;
}
