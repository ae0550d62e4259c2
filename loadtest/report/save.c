// Saves a report atomically: it writes a new file beside the path, syncs it, and renames it. A full
// disk leaves the earlier report untouched.
//
// What breaks it: a path that is not a regular file, such as /dev/stdout or a pipe, cannot be
// replaced by renaming. It is written to directly.
#include "report/report.h"

#include "history/history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool failed(char *ret_error, const char *path)
{
    text_format(ret_error, HISTORY_ERROR_MAX, "Cannot write the report '%.300s': %s.", path,
                strerror(errno));
    return false;
}

static bool write_all(int descriptor, const struct buffer *text)
{
    for (size_t done = 0; done < text->length;) {
        ssize_t n = write(descriptor, text->data + done, text->length - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

// Opens, writes and closes. On failure errno is the first error.
static bool write_file(const char *path, int flags, bool sync, const struct buffer *text)
{
    int descriptor = open(path, O_WRONLY | O_CLOEXEC | flags, 0666);
    if (descriptor < 0)
        return false;
    bool written = write_all(descriptor, text) && (!sync || fsync(descriptor) == 0);
    int error = errno;
    if (close(descriptor) != 0 && written) {
        written = false;
        error = errno;
    }
    errno = error;
    return written;
}

// The name of the new file beside the place where the report will be. False with an errno.
static bool name_beside(const char *place, char beside[PATH_MAX])
{
    if (text_format(beside, PATH_MAX, "%s.%ld.new", place, (long)getpid()))
        return true;
    errno = ENAMETOOLONG;
    return false;
}

bool report_save(const char *path, const struct buffer *text, char *ret_error)
{
    if (text->failed) {
        errno = ENOMEM;
        return failed(ret_error, path);
    }
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode))
        return write_file(path, 0, false, text) || failed(ret_error, path);

    // A symbolic link to a file stays: the file that it names is replaced.
    char *real CLEANUP(free_memory) = exists ? realpath(path, NULL) : NULL;
    const char *place = real != NULL ? real : path;
    char beside[PATH_MAX];
    if (!name_beside(place, beside))
        return failed(ret_error, path);
    if (write_file(beside, O_CREAT | O_EXCL, true, text) && rename(beside, place) == 0)
        return true;
    int error = errno;
    if (error != EEXIST)
        unlink(beside);
    errno = error;
    return failed(ret_error, path);
}

bool report_can_save(const char *path, char *ret_error)
{
    const struct buffer nothing = {0};
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return failed(ret_error, path);
    }
    if (exists && !S_ISREG(status.st_mode)) // opening a pipe would wait for its reader
        return access(path, W_OK) == 0 || failed(ret_error, path);
    char *real CLEANUP(free_memory) = exists ? realpath(path, NULL) : NULL;
    char beside[PATH_MAX];
    return (name_beside(real != NULL ? real : path, beside) &&
            write_file(beside, O_CREAT | O_EXCL, false, &nothing) && unlink(beside) == 0) ||
           failed(ret_error, path);
}

// The path without links: of the file, or, if there is none yet, of its folder. The caller frees.
// NULL: there is no such folder.
static char *find_place(const char *path)
{
    char folder[PATH_MAX], place[PATH_MAX];
    char *real = realpath(path, NULL);
    const char *slash = strrchr(path, '/');
    if (real != NULL)
        return real;
    if (!text_format(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash + 1 - path) : 1,
                     slash != NULL ? path : "."))
        return NULL;
    char *parent CLEANUP(free_memory) = realpath(folder, NULL);
    return parent != NULL && text_format(place, sizeof place, "%s/%s", parent,
                                         slash != NULL ? slash + 1 : path)
               ? strdup(place)
               : NULL;
}

bool report_same_file(const char *one, const char *other)
{
    struct stat first, second;
    if (strcmp(one, other) == 0)
        return true;
    if (stat(one, &first) == 0 && stat(other, &second) == 0)
        return S_ISREG(first.st_mode) && first.st_dev == second.st_dev &&
               first.st_ino == second.st_ino;
    char *here CLEANUP(free_memory) = find_place(one);
    char *there CLEANUP(free_memory) = find_place(other);
    return here != NULL && there != NULL && strcmp(here, there) == 0;
}
