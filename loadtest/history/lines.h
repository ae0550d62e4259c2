// Reads an open file line by line. A line of more than 64 MiB is an error.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines {
    int descriptor;
    int64_t offset;       // of the next read
    struct buffer buffer; // the bytes read so far
    size_t begin;         // of the bytes not yet returned
    bool at_end;
    int error;    // errno, or 0
    size_t count; // lines returned
};

// Begins at the start of the file. The descriptor's own position is neither used nor moved, except
// for a pipe. The descriptor is borrowed.
void lines_init(struct lines *lines, int descriptor);
void lines_release(struct lines *lines);

// The next line without its line feed, valid until the next call. ret_whole: whether it ended with
// a line feed. False at the end of the file, and if reading failed (see `error`).
MUST_CHECK bool lines_next(struct lines *lines, const char **ret_text, size_t *ret_length,
                           bool *ret_whole);
