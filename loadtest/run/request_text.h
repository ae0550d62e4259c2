// The requests of the scenarios, as texts for template_compile.
#pragma once

#include "history/history.h"

enum request_text {
    REQUEST_DEDUCT,
    REQUEST_READ,
    REQUEST_ISSUE,
    REQUEST_DRAW,
    REQUEST_EARN,
    REQUEST_SPEND,
    REQUEST_TRANSFER,
    REQUEST_READ_POINTS,
    REQUEST_RESERVE,
    REQUEST_CONFIRM,
    REQUEST_RELEASE,
    REQUEST_EXTEND,
    REQUEST_ORDER,
    REQUEST_CANCEL,
    REQUEST_REFUND,
    REQUEST_REDEEM,
    REQUEST_ROLLBACK,
    REQUEST_COUNT
};

// The text of this number (enum request_text). Static.
const char *request_text(size_t number);

// The number of a kind that may follow an answer (run/follow.c).
size_t request_text_of(enum attempt_kind kind);
