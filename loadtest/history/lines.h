// The lines of an open file, one after the other, of any length.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines {
    int descriptor;
    int64_t offset;       // of what is read next
    struct buffer buffer; // what was read
    size_t begin;         // of what was not yet given out
    bool at_end;
    int error;    // errno, or 0
    size_t count; // lines given out
};

// From the beginning of the file; its own position is neither used nor moved, unless it has none.
void lines_init(struct lines *lines, int descriptor);
void lines_release(struct lines *lines);

// The next line without its line feed, valid until the next call. ret_whole: whether there was one.
// False at the end, and where reading failed (`error`).
MUST_CHECK bool lines_next(struct lines *lines, const char **ret_text, size_t *ret_length,
                           bool *ret_whole);
