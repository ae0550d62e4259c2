// Writes a history. All threads share one writer; each thread collects lines in a buffer of its own
// and flushes it when it is large.
#pragma once

#include "base/text.h"
#include "history/history.h"

struct history_writer;

// Creates or truncates the file and writes the head. `path` NULL: a temporary file without a name.
// False with a sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool history_create(const char *path, const struct history_head *head,
                               struct history_writer **ret_writer, char *ret_error);

// Appends the attempt's line to a buffer. No I/O; about a quarter of a microsecond.
void history_line(struct buffer *buffer, const struct history_head *head,
                  const struct attempt *attempt);

// Writes the buffer, which holds whole lines, and clears it. Any thread. A failed write (a full
// disk) does not stop the run. Later calls write nothing, what was written stays, and
// history_finish reports the error.
void history_flush(struct history_writer *writer, struct buffer *buffer);

// Writes the closing line, which marks the history as complete, and syncs. False with a sentence if
// any write failed. Call once, after the last flush and before history_free.
MUST_CHECK bool history_finish(struct history_writer *writer, int64_t attempts, char *ret_error);

// The descriptor, for reading the history back (history_read_file); valid until history_free.
int history_descriptor(const struct history_writer *writer);

void history_free(struct history_writer *writer); // NULL is fine
