// A COMMIT that is executed although its answer is lost, for one operation on MySQL.
#pragma once

#include "fixture.h"
#include "gate.h"

struct lost_answer {
    struct fixture fixture;
    struct gate gate; // never closed; signals that the armed COMMIT is about to be sent
    bool armed;
};

// Opens one instance behind a proxy for the i-th case. False if the case does not apply or was
// skipped.
bool lost_answer_open(struct lost_answer *lost, int i);

// Submits the volley's only operation and loses the answer of its COMMIT. The counter has this
// version afterwards. Returns when the operation was answered.
void lost_answer_submit(struct lost_answer *lost, struct volley *volley, const char *counter,
                        int64_t version);
