// The checker: joins history and ledger, runs every rule over them, and counts what the history had
// in it, because an empty run proves nothing.
#include "check/check.h"

#include "base/clock.h"
#include "base/text.h"
#include "check/evidence.h"
#include "check/finding.h"
#include "check/rules.h"

static void count(const struct evidence *evidence, struct verdict *verdict)
{
    const struct history *history = evidence->history;
    verdict->attempts = (int64_t)history->n_attempts;
    verdict->counters = (int64_t)history->head.n_counters;
    for (size_t i = 0; i < history->head.n_counters; i++) {
        struct range range = evidence_rows_above(evidence, i);
        verdict->ledger_rows += range.end - range.from;
    }
    for (size_t i = 0; i < history->n_attempts; i++) {
        const struct attempt *attempt = &history->attempts[i];
        verdict->operations += attempt->attempt == 0;
        verdict->reads += attempt->kind == KIND_READ && attempt->outcome == OUTCOME_OK;
        verdict->replays += attempt->replayed;
        verdict->refusals += attempt->outcome == OUTCOME_FAIL && attempt->status == 409;
        verdict->unknown += attempt->outcome == OUTCOME_INFO;
    }
}

static bool check_all(struct check *check)
{
    if (!finding_init(check))
        return false;
    answers_check(check);
    versions_check(check);
    presence_check(check);
    conservation_check(check);
    whole_check(check);
    draws_check(check);
    moves_check(check);
    holds_check(check);
    orders_check(check);
    readings_check(check);
    real_time_check(check);
    if (!codes_check(check) || !sold_out_check(check) || !order_check(check))
        return false;
    tokens_check(check);
    caps_check(check);
    return keys_check(check);
}

void check_history(const struct history *history, const struct ledger *ledger,
                   const struct check_options *options, struct verdict *ret_verdict)
{
    int64_t begun_ns = clock_now_ns();
    struct evidence evidence;
    *ret_verdict = (struct verdict){.done = false};
    struct check check = {.evidence = &evidence, .options = options, .verdict = ret_verdict};
    if (evidence_init(&evidence, history, ledger)) {
        count(&evidence, ret_verdict);
        ret_verdict->done = check_all(&check);
        evidence_release(&evidence);
    }
    if (!ret_verdict->done)
        text_copy(ret_verdict->why_not, sizeof ret_verdict->why_not,
                  "Not enough memory to check the history.");
    ret_verdict->took_s = (double)(clock_now_ns() - begun_ns) / (double)NS_PER_S;
}
