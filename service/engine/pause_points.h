// Named places at which a test of the whole program may stop it. Compiled in with the CMake option
// HOLDFAST_PAUSE_POINTS; otherwise nothing of it is in the program, and asking for it is refused.
//
//     HOLDFAST_PAUSE=POINT[@ENDPOINT]:COUNT:FILE[:ACTION]
//
// The COUNT-th time (from 1) that a worker comes to POINT, in a section of ENDPOINT if one is
// named, it creates FILE, which must not exist. Then, by ACTION:
//   stop   the whole process stops, as by SIGSTOP; whoever waits for FILE sends SIGCONT (default)
//   wait   this worker alone waits until FILE is deleted; all other threads go on
// It happens once. The points, in the order of a section: before-load, before-save, before-commit,
// in-commit, after-commit, before-leave; what each means stands at enum pause_point in engine.h.
#pragma once

#include "base/cleanup.h"
#include "engine/engine.h"

struct pause_points;

// `text` is the variable's value and borrowed; NULL or "": nothing is stopped. RC_USAGE with a
// sentence in ret_error (GUARD_ERROR_MAX bytes) if it cannot be understood, or not in this build.
MUST_CHECK enum rc pause_points_new(const char *text, struct pause_points **ret_points,
                                    char *ret_error);
void pause_points_free(struct pause_points *points); // no engine may be using it; NULL is fine

// For engine_settings. The points are borrowed; NULL gives hooks that do nothing.
struct engine_hooks pause_points_hooks(struct pause_points *points);
