// The two kinds of lines of a history.
#pragma once

#include "history/index.h"
#include "history/reader.h"

// The first line. `targets`, `counters` and the rest go into ret_head; counters is allocated. The
// index, which borrows the counters' names, is filled too. False with a sentence in ret_error.
MUST_CHECK bool reader_head(const char *text, size_t length, struct history_head *ret_head,
                            struct index *ret_index, char *ret_error);

// The closing line.
struct closing {
    bool found;
    int64_t attempts;
};

// Any later line: an attempt, or the closing line. False with a sentence in ret_error.
MUST_CHECK bool reader_attempt(const char *text, size_t length, const struct history_head *head,
                               const struct index *counters, struct history_arena *arena,
                               struct attempt *ret_attempt, struct closing *ret_closing,
                               char *ret_error);
