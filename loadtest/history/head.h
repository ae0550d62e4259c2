// The head of a history: its first line.
#pragma once

#include "history/history.h"
#include "history/index.h"

// Reads the head, and an index of its counters by name. False with a sentence in ret_error
// (HISTORY_ERROR_MAX bytes). The caller releases both, also after a failure.
MUST_CHECK bool head_parse(const char *text, size_t length, struct history_head *ret_head,
                           struct index *ret_index, char *ret_error);
