// Reads a whole history into memory: about 150 bytes an attempt.
#pragma once

#include "history/history.h"

struct history {
    struct history_head head;
    struct attempt *attempts; // in the order of the file
    size_t n_attempts;
    bool whole; // the closing line is there; if not, the run was killed and requests may be missing
    struct history_arena *arena; // owns the texts
};

// From the beginning of an open file, whatever its position. False with a sentence that names the
// line ("line 17: ...") in ret_error (HISTORY_ERROR_MAX bytes). A last line that is cut off is left
// out if the closing line is missing.
MUST_CHECK bool history_read_file(int descriptor, struct history *ret_history, char *ret_error);

void history_release(struct history *history); // a zeroed one is fine
