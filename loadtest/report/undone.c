// Finds the kinds of requests that never succeeded.
//
// Problem: a run with a wrong token gets 500 quick refusals. No invariant is violated, nothing is
// slow, and nothing was tested.
//
// Approach: a run must have a 2xx of a change, or of a reading if it sends only those; and each
// kind that it sends often must have one. Of a kind that is sent rarely every request may be
// refused rightly, such as the only confirmation, for a hold that has expired.
#include "report/undone.h"

#include "base/text.h"
#include "history/history.h"

static int64_t sent(const struct measure *measure, int kind)
{
    int64_t all = 0;
    for (int i = 0; i < ANSWER_CLASSES; i++)
        all += measure->kinds[kind][i];
    return all;
}

// Whether there was a 2xx of a kind for which the run was made.
static bool has_done(const struct measure *measure)
{
    int64_t changes = 0, done = 0;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (kind == KIND_READ)
            continue;
        changes += sent(measure, kind);
        done += measure->kinds[kind][ANSWER_OK];
    }
    return changes > 0 ? done > 0 : measure->kinds[KIND_READ][ANSWER_OK] > 0;
}

bool undone_find(const struct measure *measure, char *ret_sentence)
{
    struct buffer kinds CLEANUP(buffer_release) = {0};
    int64_t least = has_done(measure) ? UNDONE_REQUESTS : 1;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        int64_t n = sent(measure, kind);
        if (n >= least && measure->kinds[kind][ANSWER_OK] == 0)
            buffer_format(&kinds, "%s%s (%lld)", kinds.length > 0 ? ", " : "",
                          attempt_kind_name((enum attempt_kind)kind), (long long)n);
    }
    ret_sentence[0] = '\0';
    if (kinds.length == 0)
        return false;
    (void)text_format(ret_sentence, UNDONE_MAX,
                      "no 2xx came for any request of these kinds, so nothing is proven of them: "
                      "%.256s. If refusals are what is tested, give --expect-refusals.",
                      kinds.failed ? "?" : kinds.data);
    return true;
}
