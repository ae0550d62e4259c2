// What an answer means: did it have its effect, may it be sent again, and what did it say.
#pragma once

#include "history/history.h"
#include "measure/timeline.h"
#include "run/response.h"

struct answer {
    int status; // 0: there was none
    enum attempt_outcome outcome;
    enum answer_class answer_class;
    bool retryable, replayed;
    int64_t retry_after_s;      // HISTORY_NONE: not said
    int64_t version, remaining; // HISTORY_NONE: not said
    char detail[HISTORY_TEXT_MAX + 1];
};

// From a response. `numbers`: read the body of a 2xx too, for the history.
void answer_read(const struct response *response, bool numbers, struct answer *ret_answer);

// No answer came: a timeout, or a connection that broke. The request may have had its effect.
void answer_missing(const char *why, struct answer *ret_answer);
