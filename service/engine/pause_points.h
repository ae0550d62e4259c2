// Named places in a section at which a test may stop it, to force a race instead of hoping for one,
// and at which the laboratory (http/lab) watches it.
//
// A test in the same process passes a function as a hook. A test of the whole program sets a
// variable, if the program was built with the CMake option HOLDFAST_PAUSE_POINTS; any other build
// refuses the variable:
//
//     HOLDFAST_PAUSE=POINT[@ENDPOINT]:COUNT:FILE[:ACTION]
//
// The COUNT-th time (from 1) that a worker reaches POINT, in a section of ENDPOINT if one is named,
// it creates FILE, which must not exist yet. Then, by ACTION:
//   stop   the whole process stops, as by SIGSTOP; the test sees FILE and sends SIGCONT (default)
//   wait   only this worker waits until the test deletes FILE; all other threads run on
// The pause triggers once in a process. The points in the order of a section: before-load,
// before-save, before-commit, in-commit, after-commit, before-leave.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"
#include "guard/guard.h"

struct batch;
struct db;

enum pause_point {
    PAUSE_BEFORE_LOAD,   // the guard was entered, nothing was read
    PAUSE_BEFORE_SAVE,   // decided, and the lock was checked; nothing was written
    PAUSE_BEFORE_COMMIT, // written, before the last check of the lock
    PAUSE_IN_COMMIT,     // after that check, before COMMIT is sent: only the update rule can help
    PAUSE_AFTER_COMMIT,  // durable, before any answer
    PAUSE_BEFORE_LEAVE,  // every request was answered, and the lock is still held
    PAUSE_POINT_COUNT
};

// A section at a pause point.
struct paused {
    enum pause_point point;
    enum endpoint endpoint;    // the first operation's
    const struct batch *batch; // its operations, and what they have loaded and decided
    struct db *db;             // its connection
};

struct engine_hooks {
    // Called on the worker's thread; NULL in production. A hook may use the connection where the
    // section has no transaction open.
    void (*pause)(void *arg, const struct paused *paused);
    void *arg;
};

struct pause_points;

// `text` is the variable's value and borrowed; NULL or "" sets no pause. RC_USAGE with a sentence
// in ret_error (GUARD_ERROR_MAX bytes) if it is malformed, or not supported by this build.
MUST_CHECK enum rc pause_points_new(const char *text, struct pause_points **ret_points,
                                    char *ret_error);
void pause_points_free(struct pause_points *points); // after the engine that uses it; NULL is fine

// For engine_settings. The points are borrowed; NULL gives hooks that do nothing.
struct engine_hooks pause_points_hooks(struct pause_points *points);
