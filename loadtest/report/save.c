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
    if (!text_format(beside, sizeof beside, "%s.%ld.new", place, (long)getpid())) {
        errno = ENAMETOOLONG;
        return failed(ret_error, path);
    }
    if (write_file(beside, O_CREAT | O_EXCL, true, text) && rename(beside, place) == 0)
        return true;
    int error = errno;
    if (error != EEXIST)
        unlink(beside);
    errno = error;
    return failed(ret_error, path);
}
