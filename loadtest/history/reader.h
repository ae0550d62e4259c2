// Reads a whole history into memory: about 200 bytes an attempt, and 48 for
// each further leg.
#pragma once

#include "history/history.h"
#include "history/members.h"

// The members of the lines after the head; the head is nested and has a parser of its own.
#define HISTORY_LINE_ATTEMPT 1U
#define HISTORY_LINE_CLOSING 2U
#define HISTORY_MEMBERS 20
extern const struct member history_members[HISTORY_MEMBERS];

struct history {
    struct history_head head; // with the counters that begin during the run, behind the others
    struct attempt *attempts; // in the order of the file
    size_t n_attempts;
    struct attempt_leg *legs; // the further legs of all attempts
    size_t n_legs;
    bool whole; // has its closing line; if not, the history was cut short: requests may be missing
    struct history_arena *arena; // owns the texts
};

// Reads an open file from its beginning; the descriptor is borrowed and its position ignored. False
// with a sentence that names the line ("line 17: ...") in ret_error (HISTORY_ERROR_MAX bytes). If
// the closing line is missing, a last line that was cut off is ignored.
MUST_CHECK bool history_read_file(int descriptor, struct history *ret_history, char *ret_error);

void history_release(struct history *history); // a zeroed one is fine
