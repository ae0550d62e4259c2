// A lock on one Redis master, or on a majority of independent masters (Redlock).
//
// The lock is acquired when a majority has granted it and its validity has not ended. The validity
// is the lease, less the time that the attempt took, less what the clocks may drift apart
// meanwhile. With one master the majority is that master. No drift is taken off then: both sides
// measure the same short time, and ours starts first.
//
// Fencing tokens rise across a majority. Each master counts its own. The token is the highest of
// the answers. Before the lock counts as acquired, every counter below the token is raised to it,
// until a majority has it. Proof that tokens rise from holder to holder: let H with token t hold
// the lock before K. Their majorities have a master M in common. M raised its counter to t only
// while H held the lock there (the script checks), and granted the lock to K only after that. So
// M's answer to K is above t, and so is the highest answer.
//
// What breaks it: the proof relies on M's memory. If M restarts empty while H holds the lock, K may
// get a majority too, with a token below t. Then the row version in the database decides, and K's
// token is lifted above every token that its rows have seen.
#include "guard/redis/claim.h"

#include "base/text.h"
#include "guard/guard.h"
#include "guard/redis/client.h"
#include "guard/redis/scripts.h"

#include <inttypes.h>
#include <stdlib.h>

#define DRIFT_PARTS 100 // of the lease: 0.01
#define DRIFT_NS (2 * NS_PER_MS)
#define NUMBER_MAX 24

// The braces are a hash tag: they keep a lock, its token and its queue in one slot of a cluster.
struct redis_claim *redis_claim_new(const char *const *keys, size_t n, int64_t ttl_ms,
                                    const char *instance, const char *name)
{
    struct redis_claim *claim = malloc(sizeof *claim + n * sizeof claim->locks[0]);
    if (claim == NULL)
        return NULL;
    claim->n = n;
    claim->ttl_ms = ttl_ms;
    claim->unsettled = claim->granted = 0;
    text_format(claim->owner, REDIS_OWNER_MAX, "%.64s/%s", instance, name);
    for (size_t i = 0; i < n; i++)
        text_format(claim->locks[i], REDIS_LOCK_MAX, REDIS_LOCK_PREFIX "{%s}", keys[i]);
    return claim;
}

// Runs a script with the claim's locks as KEYS. ARGV is the owner, then `words` up to NULL (at most
// five).
static void run_script(struct redis_masters *masters, unsigned targets, enum redis_script script,
                       const struct redis_claim *claim, const char *const *words, int64_t limit_ns,
                       struct redis_votes *ret_votes)
{
    const char *values[REDIS_ARGUMENTS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < claim->n; i++)
        values[n++] = claim->locks[i];
    values[n++] = claim->owner;
    for (size_t i = 0; words[i] != NULL; i++)
        values[n++] = words[i];
    struct redis_arguments arguments = {.values = values, .n = n, .n_keys = claim->n};
    redis_masters_run(masters, targets, script, &arguments, limit_ns, ret_votes);
}

static int64_t highest(const struct redis_votes *votes)
{
    int64_t most = 0;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if ((votes->answered & 1U << i) != 0 && votes->answers[i] > most)
            most = votes->answers[i];
    return most;
}

// Raises the counters of a majority to the highest token among the answers (see the proof above).
static enum rc settle_token(struct redis_masters *masters, const struct redis_claim *claim,
                            const struct redis_votes *votes, int64_t limit_ns, uint64_t *ret_token)
{
    int64_t token = highest(votes);
    unsigned raised = redis_votes_at_least(votes, token);
    unsigned below = redis_votes_at_least(votes, 1) & ~raised;
    if (redis_masters_decide(masters, votes, raised) != RC_OK) {
        char text[NUMBER_MAX];
        text_format(text, sizeof text, "%" PRId64, token);
        const char *const words[] = {text, NULL};
        struct redis_votes answers;
        run_script(masters, below, REDIS_RAISE, claim, words, limit_ns, &answers);
        raised |= redis_votes_at_least(&answers, 1);
        enum rc rc = redis_masters_decide(masters, &answers, raised);
        if (rc != RC_OK)
            return rc;
    }
    *ret_token = (uint64_t)token;
    return RC_OK;
}

// ---- the lock -----------------------------------------------------------------------------------

static int64_t expiry(const struct redis_masters *masters, const struct redis_claim *claim,
                      int64_t begun_ns)
{
    int64_t ttl_ns = claim->ttl_ms * NS_PER_MS;
    int64_t drift_ns = redis_masters_count(masters) > 1 ? ttl_ns / DRIFT_PARTS + DRIFT_NS : 0;
    return begun_ns + ttl_ns - drift_ns;
}

// Releases what a minority granted at once; else competing owners would block each other's
// majority.
static void release_minority(struct redis_masters *masters, struct redis_claim *claim, unsigned yes,
                             int64_t limit_ns)
{
    static const char *const none[] = {NULL};
    struct redis_votes votes;
    if (yes == 0)
        return;
    run_script(masters, yes, REDIS_RELEASE, claim, none, limit_ns, &votes);
    claim->granted &= ~votes.answered;
}

// RC_OK: acquired, with the token. RC_LOCK_LOST: not acquired.
static enum rc acquire_from(struct redis_masters *masters, unsigned targets,
                            struct redis_claim *claim, const char *const *words, int64_t limit_ns,
                            struct redis_votes *ret_votes, struct redis_result *ret_result)
{
    int64_t begun_ns = clock_now_ns();
    claim->unsettled |= targets;
    run_script(masters, targets, REDIS_ACQUIRE, claim, words, limit_ns, ret_votes);
    unsigned yes = redis_votes_at_least(ret_votes, 1);
    claim->granted |= yes | (ret_votes->asked & ~ret_votes->answered);
    *ret_result = (struct redis_result){.expires_ns = expiry(masters, claim, begun_ns)};
    enum rc rc = redis_masters_decide(masters, ret_votes, yes);
    if (rc == RC_OK)
        rc = settle_token(masters, claim, ret_votes, limit_ns, &ret_result->token);
    if (rc == RC_OK && clock_now_ns() >= ret_result->expires_ns)
        rc = RC_LOCK_LOST;
    return rc;
}

enum rc redis_claim_acquire(struct redis_masters *masters, struct redis_claim *claim,
                            const struct redis_attempt *attempt, int64_t limit_ns,
                            struct redis_result *ret_result)
{
    char ttl[NUMBER_MAX], tokens[NUMBER_MAX], place[NUMBER_MAX], number[NUMBER_MAX];
    text_format(ttl, sizeof ttl, "%" PRId64, claim->ttl_ms);
    text_format(tokens, sizeof tokens, "%" PRId64, attempt->n_tokens);
    text_format(place, sizeof place, "%" PRId64, attempt->place_ms);
    text_format(number, sizeof number, "%u", attempt->number);
    const char *const words[] = {ttl, tokens, attempt->channel, place, number, NULL};
    struct redis_votes votes;
    unsigned healthy = redis_masters_healthy(masters), all = redis_masters_all(masters);
    enum rc rc = acquire_from(masters, healthy, claim, words, limit_ns, &votes, ret_result);
    // Too few of the healthy masters answered; the others may have recovered by now.
    if (rc != RC_OK && healthy != all &&
        redis_masters_decide(masters, &votes, votes.answered) != RC_OK)
        rc = acquire_from(masters, all, claim, words, limit_ns, &votes, ret_result);
    if (rc == RC_OK)
        return RC_OK;
    ret_result->token = 0;
    if (redis_masters_count(masters) == 1 && votes.answered != 0 && votes.answers[0] < 0)
        ret_result->retry_ns = -votes.answers[0] * NS_PER_MS;
    release_minority(masters, claim, redis_votes_at_least(&votes, 1), limit_ns);
    return redis_masters_decide(masters, &votes, votes.answered);
}

static unsigned repeated_of(const struct redis_votes *votes)
{
    unsigned bits = 0;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if ((votes->answered & 1U << i) != 0 && votes->repeated[i])
            bits |= 1U << i;
    return bits;
}

enum rc redis_claim_release(struct redis_masters *masters, struct redis_claim *claim,
                            const bool *unknown, int64_t expires_ns, int64_t limit_ns)
{
    char marks[GUARD_KEYS_MAX + 1];
    for (size_t i = 0; i < claim->n; i++)
        marks[i] = unknown != NULL && unknown[i] ? '1' : '0';
    marks[claim->n] = '\0';
    const char *const words[] = {marks, NULL};
    struct redis_votes votes;
    run_script(masters, claim->granted, REDIS_RELEASE, claim, words, limit_ns, &votes);
    claim->unsettled = votes.asked & ~votes.answered;
    unsigned yes = redis_votes_at_least(&votes, (int64_t)claim->n);
    // A retried release that finds nothing is ambiguous: the first one freed the lock, or the lock
    // was lost. With one master a running lease proves the former. With several it is no answer.
    unsigned unsure = votes.answered & ~yes & repeated_of(&votes);
    if (redis_masters_count(masters) > 1)
        votes.answered &= ~unsure;
    else if (clock_now_ns() < expires_ns)
        yes |= unsure;
    return redis_masters_decide(masters, &votes, yes);
}

void redis_claim_abandon(struct redis_masters *masters, struct redis_claim *claim, bool in_flight,
                         int64_t limit_ns)
{
    char refuse_ms[NUMBER_MAX];
    text_format(refuse_ms, sizeof refuse_ms, "%" PRId64, in_flight ? claim->ttl_ms : 0);
    const char *const words[] = {refuse_ms, NULL};
    struct redis_votes votes;
    run_script(masters, claim->unsettled, REDIS_ABANDON, claim, words, limit_ns, &votes);
    claim->unsettled &= ~votes.answered;
}

enum rc redis_claim_renew(struct redis_masters *masters, const struct redis_claim *claim,
                          int64_t limit_ns, int64_t *ret_expires_ns)
{
    char ttl[NUMBER_MAX];
    text_format(ttl, sizeof ttl, "%" PRId64, claim->ttl_ms);
    const char *const words[] = {ttl, NULL};
    struct redis_votes votes;
    int64_t begun_ns = clock_now_ns();
    run_script(masters, claim->granted, REDIS_RENEW, claim, words, limit_ns, &votes);
    enum rc rc = redis_masters_decide(masters, &votes, redis_votes_at_least(&votes, 1));
    if (rc == RC_OK)
        *ret_expires_ns = expiry(masters, claim, begun_ns);
    return rc;
}

enum rc redis_claim_lift(struct redis_masters *masters, const struct redis_claim *claim,
                         uint64_t floor, int64_t n_tokens, int64_t limit_ns, uint64_t *ret_token)
{
    char text[NUMBER_MAX], number[NUMBER_MAX];
    text_format(text, sizeof text, "%" PRIu64, floor);
    text_format(number, sizeof number, "%" PRId64, n_tokens);
    const char *const words[] = {text, number, NULL};
    struct redis_votes votes;
    run_script(masters, claim->granted, REDIS_LIFT, claim, words, limit_ns, &votes);
    enum rc rc = redis_masters_decide(masters, &votes, redis_votes_at_least(&votes, 1));
    return rc == RC_OK ? settle_token(masters, claim, &votes, limit_ns, ret_token) : rc;
}
