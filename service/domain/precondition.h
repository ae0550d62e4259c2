// A condition on the version of a counter. An administrator sends it with a change: make it only if
// no other writer was first. A client sends it with a read: answer only if there is news.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRECONDITION_VERSIONS_MAX 16

struct precondition {
    enum { PRECONDITION_NONE, PRECONDITION_MATCH, PRECONDITION_NO_MATCH } kind;
    bool any; // each version matches; only a counter that does not exist has none
    size_t n;
    int64_t versions[PRECONDITION_VERSIONS_MAX]; // these match
};

// Whether the condition holds for a counter of this version; 0: the counter does not exist. NULL
// and a zero-initialised condition always hold.
bool precondition_holds(const struct precondition *condition, int64_t version);
