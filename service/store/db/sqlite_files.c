// Detects that a file of an open SQLite database was deleted, renamed or replaced.
//
// An open file outlives its name. After a deletion SQLite would go on writing into a file that
// vanishes when the process ends, and every acknowledged change with it. A connection opened later
// would see another database. So the device and inode of each file are remembered when the first
// connection has opened it, and compared with those of the path.
//
// What breaks it: a file that is overwritten in place keeps its inode. And a file system that
// changes the inode of an open file; SQLite's own locks do not work there either.
#include "store/db/sqlite_files.h"

#include "base/text.h"

#include <string.h>
#include <sys/stat.h>

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
    *files = (struct sqlite_files){.path = path};
    pthread_mutex_init(&files->mutex, NULL);
}

void sqlite_files_release(struct sqlite_files *files)
{
    pthread_mutex_destroy(&files->mutex);
}

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
