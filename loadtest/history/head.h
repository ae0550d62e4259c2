// The head of a history: its first line.
#pragma once

#include "history/counters.h"

// Reads the head into counters->head, and its counters. `counters` is zeroed but for `head` and
// `arena`. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes). The caller releases head
// and counters, also after a failure.
MUST_CHECK bool head_parse(const char *text, size_t length, struct counters *counters,
                           char *ret_error);
