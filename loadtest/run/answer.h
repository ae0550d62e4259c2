// What an answer means: whether the request took effect, whether it may be retried, and which
// numbers the answer carried.
#pragma once

#include "history/history.h"
#include "measure/timeline.h"
#include "run/response.h"

#define ANSWER_MORE_MAX 10 // legs besides the first

struct answer_leg {
    struct maybe version, remaining;
};

struct answer {
    int status; // 0: there was no answer
    enum attempt_outcome outcome;
    enum answer_class answer_class;
    bool retryable, replayed;
    int64_t retry_after_s;           // -1: absent
    struct maybe version, remaining; // of the first leg
    struct maybe expires_at_ms;
    struct answer_leg more[ANSWER_MORE_MAX]; // of the others
    struct answer_leg account, code;         // that refused an order: their numbers are not told
    char detail[HISTORY_TEXT_MAX + 1];
};

// Reads a response to a request of this kind. `numbers`: also reads the body of a 2xx to
// KIND_OTHER, for the history. `proxied`: see attempt_outcome_of. False if the response is
// malformed: its body is not the JSON that the API promises for this kind. Then ret_answer is that
// of answer_missing.
bool answer_read(const struct response *response, enum attempt_kind kind, bool numbers,
                 bool proxied, struct answer *ret_answer);

// Describes a missing answer: a timeout, or a broken connection. The request may have taken effect.
void answer_missing(const char *why, struct answer *ret_answer);
