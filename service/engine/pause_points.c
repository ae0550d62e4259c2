// The pause points of the whole program, set by HOLDFAST_PAUSE.
//
// Problem: a lock is lost between two statements of a program that runs them within microseconds. A
// test that kills or stops the process at random hardly ever hits the place that matters.
//
// Approach: the places have names. At one of them, the COUNT-th time, a worker creates a file and
// then stops the process, or only itself. The file appears before the stop, so a test that has seen
// the file must still wait until the process is stopped.
//
// What breaks it: a point on a path that is never taken. The file then never appears, and a test
// that waits for it fails, as it should.
#include "engine/pause_points.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const point_names[PAUSE_POINT_COUNT] = {
    [PAUSE_BEFORE_LOAD] = "before-load",     [PAUSE_BEFORE_SAVE] = "before-save",
    [PAUSE_BEFORE_COMMIT] = "before-commit", [PAUSE_IN_COMMIT] = "in-commit",
    [PAUSE_AFTER_COMMIT] = "after-commit",   [PAUSE_BEFORE_LEAVE] = "before-leave",
};

#define ANY_ENDPOINT ENDPOINT_COUNT
#define POLL_NS NS_PER_MS

struct pause_points {
    enum pause_point point;
    enum endpoint endpoint; // or ANY_ENDPOINT
    int64_t count;
    _Atomic int64_t reached; // how often
    bool wait;
    char file[PATH_MAX];
};

static bool find_point(const char *name, enum pause_point *ret_point)
{
    for (int i = 0; i < PAUSE_POINT_COUNT; i++) {
        if (strcmp(point_names[i], name) != 0)
            continue;
        *ret_point = (enum pause_point)i;
        return true;
    }
    return false;
}

static bool find_endpoint(const char *name, enum endpoint *ret_endpoint)
{
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        if (strcmp(endpoint_name((enum endpoint)i), name) != 0)
            continue;
        *ret_endpoint = (enum endpoint)i;
        return true;
    }
    return false;
}

// Splits the text in place.
static bool parse(char *text, struct pause_points *points)
{
    char *count = strchr(text, ':'), *file = count != NULL ? strchr(count + 1, ':') : NULL;
    if (file == NULL)
        return false;
    *count++ = '\0';
    *file++ = '\0';
    char *action = strrchr(file, ':');
    points->wait = action != NULL && strcmp(action, ":wait") == 0;
    if (points->wait || (action != NULL && strcmp(action, ":stop") == 0))
        *action = '\0';
    char *endpoint = strchr(text, '@');
    points->endpoint = ANY_ENDPOINT;
    if (endpoint != NULL) {
        *endpoint++ = '\0';
        if (!find_endpoint(endpoint, &points->endpoint))
            return false;
    }
    return find_point(text, &points->point) && text_to_int64(count, &points->count) &&
           points->count > 0 && file[0] != '\0' &&
           text_copy(points->file, sizeof points->file, file);
}

enum rc pause_points_new(const char *text, struct pause_points **ret_points, char *ret_error)
{
    *ret_points = NULL;
    if (text == NULL || text[0] == '\0')
        return RC_OK;
    char *copy CLEANUP(free_memory) = strdup(text);
    struct pause_points *points = calloc(1, sizeof *points);
    if (copy == NULL || points == NULL) {
        free(points);
        return RC_NO_MEMORY;
    }
    if (!parse(copy, points)) {
        free(points);
        text_copy(ret_error, GUARD_ERROR_MAX,
                  "HOLDFAST_PAUSE: expected POINT[@ENDPOINT]:COUNT:FILE[:stop|:wait], with POINT "
                  "one of before-load, before-save, before-commit, in-commit, after-commit, "
                  "before-leave");
        return RC_USAGE;
    }
    LOG_WARNING("a worker will be stopped at %s (HOLDFAST_PAUSE)", point_names[points->point]);
    *ret_points = points;
    return RC_OK;
}

void pause_points_free(struct pause_points *points)
{
    free(points);
}

static void pause_here(void *arg, const struct paused *paused)
{
    struct pause_points *points = arg;
    if (paused->point != points->point ||
        (points->endpoint != ANY_ENDPOINT && points->endpoint != paused->endpoint) ||
        atomic_fetch_add(&points->reached, 1) + 1 != points->count)
        return;
    int fd = open(points->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        LOG_ERROR("cannot create %s: nothing was stopped", points->file);
        return;
    }
    close(fd);
    if (!points->wait)
        (void)raise(
            SIGSTOP); // by this thread: a signal to the process would let it run on a moment
    while (points->wait && access(points->file, F_OK) == 0)
        clock_sleep_ns(POLL_NS);
}

struct engine_hooks pause_points_hooks(struct pause_points *points)
{
    return (struct engine_hooks){.pause = points != NULL ? pause_here : NULL, .arg = points};
}
