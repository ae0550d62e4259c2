// A majority of masters that know nothing of each other (Redlock): a lock is had when a majority
// has given it and its validity, the lease less the time that asking took and less what the clocks
// may drift apart meanwhile, is not over. With one master the majority is that one, and no drift is
// taken off: both ends measure the same short while, and ours begins first.
//
// The token of a majority. Each master counts its own; the token is the highest of the answers, and
// before the lock counts as had, every counter below it is raised to it, until a majority stands
// there. Then tokens rise from holder to holder: let H with token t come before K. Their majorities
// have a master M in common. M raised H's counter only while the lock there was H's (the script
// looks), and gave it to K only after that, so K's answer from M is above t, and the highest of K's
// answers is too. The proof leans on M's memory. If M comes back empty while H holds, K may have a
// majority as well, and a token that is below H's: then the versions in the database decide, and
// K's token is lifted above any that its rows have seen.
#include "guard/redis/claim.h"

#include "base/text.h"
#include "guard/redis/client.h"
#include "guard/redis/scripts.h"

#include <inttypes.h>
#include <stdlib.h>

#define DRIFT_PARTS 100 // of the lease: 0.01
#define DRIFT_NS (2 * NS_PER_MS)
#define NUMBER_MAX 24

// The braces are a hash tag: a lock, its token and its line belong together.
struct redis_claim *redis_claim_new(const char *const *keys, size_t n, int64_t ttl_ms,
                                    const char *instance, const char *name)
{
    struct redis_claim *claim = malloc(sizeof *claim + n * sizeof claim->locks[0]);
    if (claim == NULL)
        return NULL;
    claim->n = n;
    claim->ttl_ms = ttl_ms;
    claim->sent = claim->had = 0;
    text_format(claim->owner, REDIS_OWNER_MAX, "%.64s/%s", instance, name);
    for (size_t i = 0; i < n; i++)
        text_format(claim->locks[i], REDIS_LOCK_MAX, REDIS_LOCK_PREFIX "{%s}", keys[i]);
    return claim;
}

// About a claim: its locks, its owner, and up to five words more, ended by NULL.
static void ask_about(struct redis_masters *masters, unsigned whom, enum redis_script script,
                      const struct redis_claim *claim, const char *const *words, int64_t limit_ns,
                      struct redis_votes *ret_votes)
{
    const char *values[REDIS_ARGUMENTS_MAX];
    struct redis_arguments arguments = {.values = values, .n_keys = claim->n};
    size_t n = 0;
    for (size_t i = 0; i < claim->n; i++)
        values[n++] = claim->locks[i];
    values[n++] = claim->owner;
    for (size_t i = 0; words[i] != NULL; i++)
        values[n++] = words[i];
    arguments.n = n;
    redis_masters_ask(masters, whom, script, &arguments, limit_ns, ret_votes);
}

static int64_t highest(const struct redis_votes *votes)
{
    int64_t most = 0;
    for (size_t i = 0; i < REDIS_MASTERS_MAX; i++)
        if ((votes->answered & 1U << i) != 0 && votes->answers[i] > most)
            most = votes->answers[i];
    return most;
}

// Brings the counters of a majority to the highest token among the answers: see above.
static enum rc agree(struct redis_masters *masters, const struct redis_claim *claim,
                     const struct redis_votes *votes, int64_t limit_ns, uint64_t *ret_token)
{
    int64_t token = highest(votes);
    unsigned there = redis_who_said(votes, token);
    unsigned below = redis_who_said(votes, 1) & ~there;
    if (redis_verdict(masters, votes, there) != RC_OK) {
        char text[NUMBER_MAX];
        text_format(text, sizeof text, "%" PRId64, token);
        const char *const words[] = {text, NULL};
        struct redis_votes raised;
        ask_about(masters, below, REDIS_RAISE, claim, words, limit_ns, &raised);
        enum rc rc = redis_verdict(masters, &raised, there | redis_who_said(&raised, 1));
        if (rc != RC_OK)
            return rc;
    }
    *ret_token = (uint64_t)token;
    return RC_OK;
}

// ---- the lock -----------------------------------------------------------------------------------

static int64_t expiry(const struct redis_masters *masters, const struct redis_claim *claim,
                      int64_t asked_ns)
{
    int64_t ttl_ns = claim->ttl_ms * NS_PER_MS;
    int64_t drift_ns = redis_masters_count(masters) > 1 ? ttl_ns / DRIFT_PARTS + DRIFT_NS : 0;
    return asked_ns + ttl_ns - drift_ns;
}

// What a minority gave goes back at once, or nobody would ever get a majority.
static void give_back(struct redis_masters *masters, struct redis_claim *claim, unsigned yes,
                      int64_t limit_ns)
{
    static const char *const none[] = {NULL};
    struct redis_votes votes;
    if (yes == 0)
        return;
    ask_about(masters, yes, REDIS_RELEASE, claim, none, limit_ns, &votes);
    claim->had &= ~votes.answered;
}

// RC_OK: had, with the token. RC_LOCK_LOST: not had.
static enum rc acquire_from(struct redis_masters *masters, unsigned whom, struct redis_claim *claim,
                            const char *const *words, int64_t limit_ns,
                            struct redis_votes *ret_votes, struct redis_grip *ret_grip)
{
    int64_t asked_ns = clock_now_ns();
    claim->sent |= whom;
    ask_about(masters, whom, REDIS_ACQUIRE, claim, words, limit_ns, ret_votes);
    unsigned yes = redis_who_said(ret_votes, 1);
    claim->had |= yes | (ret_votes->asked & ~ret_votes->answered);
    *ret_grip = (struct redis_grip){.expires_ns = expiry(masters, claim, asked_ns)};
    enum rc rc = redis_verdict(masters, ret_votes, yes);
    if (rc == RC_OK)
        rc = agree(masters, claim, ret_votes, limit_ns, &ret_grip->token);
    if (rc == RC_OK && clock_now_ns() >= ret_grip->expires_ns)
        rc = RC_LOCK_LOST;
    return rc;
}

enum rc redis_claim_acquire(struct redis_masters *masters, struct redis_claim *claim,
                            const struct redis_wish *wish, int64_t limit_ns,
                            struct redis_grip *ret_grip)
{
    char ttl[NUMBER_MAX], tokens[NUMBER_MAX], place[NUMBER_MAX], number[NUMBER_MAX];
    text_format(ttl, sizeof ttl, "%" PRId64, claim->ttl_ms);
    text_format(tokens, sizeof tokens, "%" PRId64, wish->tokens);
    text_format(place, sizeof place, "%" PRId64, wish->place_ms);
    text_format(number, sizeof number, "%u", wish->ask);
    const char *const words[] = {ttl, tokens, wish->channel, place, number, NULL};
    struct redis_votes votes;
    unsigned whom = redis_masters_willing(masters), all = redis_masters_all(masters);
    enum rc rc = acquire_from(masters, whom, claim, words, limit_ns, &votes, ret_grip);
    // Not enough answered of those that seemed well: perhaps the others are well by now.
    if (rc != RC_OK && whom != all && redis_verdict(masters, &votes, votes.answered) != RC_OK)
        rc = acquire_from(masters, all, claim, words, limit_ns, &votes, ret_grip);
    if (rc == RC_OK)
        return RC_OK;
    ret_grip->token = 0;
    if (redis_masters_count(masters) == 1 && votes.answered != 0 && votes.answers[0] < 0)
        ret_grip->retry_ns = -votes.answers[0] * NS_PER_MS;
    give_back(masters, claim, redis_who_said(&votes, 1), limit_ns);
    return redis_verdict(masters, &votes, votes.answered);
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
                            int64_t expires_ns, int64_t limit_ns)
{
    static const char *const none[] = {NULL};
    struct redis_votes votes;
    ask_about(masters, claim->had, REDIS_RELEASE, claim, none, limit_ns, &votes);
    claim->sent = votes.asked & ~votes.answered;
    unsigned yes = redis_who_said(&votes, (int64_t)claim->n);
    // A second try that finds nothing does not tell: the first may have freed it, or it was lost.
    // Of one master we know that the lease was running. Of several it counts as silent.
    unsigned unsure = votes.answered & ~yes & repeated_of(&votes);
    if (redis_masters_count(masters) > 1)
        votes.answered &= ~unsure;
    else if (clock_now_ns() < expires_ns)
        yes |= unsure;
    return redis_verdict(masters, &votes, yes);
}

void redis_claim_abandon(struct redis_masters *masters, struct redis_claim *claim, bool unanswered,
                         int64_t limit_ns)
{
    char mark[NUMBER_MAX];
    text_format(mark, sizeof mark, "%" PRId64, unanswered ? claim->ttl_ms : 0);
    const char *const words[] = {mark, NULL};
    struct redis_votes votes;
    ask_about(masters, claim->sent, REDIS_ABANDON, claim, words, limit_ns, &votes);
    claim->sent &= ~votes.answered;
}

enum rc redis_claim_renew(struct redis_masters *masters, const struct redis_claim *claim,
                          int64_t limit_ns, int64_t *ret_expires_ns)
{
    char ttl[NUMBER_MAX];
    text_format(ttl, sizeof ttl, "%" PRId64, claim->ttl_ms);
    const char *const words[] = {ttl, NULL};
    struct redis_votes votes;
    int64_t asked_ns = clock_now_ns();
    ask_about(masters, claim->had, REDIS_RENEW, claim, words, limit_ns, &votes);
    enum rc rc = redis_verdict(masters, &votes, redis_who_said(&votes, 1));
    if (rc == RC_OK)
        *ret_expires_ns = expiry(masters, claim, asked_ns);
    return rc;
}

enum rc redis_claim_lift(struct redis_masters *masters, const struct redis_claim *claim,
                         uint64_t floor, int64_t tokens, int64_t limit_ns, uint64_t *ret_token)
{
    char text[NUMBER_MAX], number[NUMBER_MAX];
    text_format(text, sizeof text, "%" PRIu64, floor);
    text_format(number, sizeof number, "%" PRId64, tokens);
    const char *const words[] = {text, number, NULL};
    struct redis_votes votes;
    ask_about(masters, claim->had, REDIS_LIFT, claim, words, limit_ns, &votes);
    enum rc rc = redis_verdict(masters, &votes, redis_who_said(&votes, 1));
    return rc == RC_OK ? agree(masters, claim, &votes, limit_ns, ret_token) : rc;
}
