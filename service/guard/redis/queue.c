// No wake-up is lost. Who asks is registered with the listener before the question that puts it
// into the line in Redis, so that a grant finds it however early it comes. A message that is lost
// all the same (the connection breaks, Redis is restarted) is made up for by asking again: when the
// connection breaks and when it is back, when the lease in the way must have run out, and at the
// latest after a third of a lease or a second. Such a question also keeps the place in line, and
// finds a grant that was not heard of, for the lock is ours then. The lease of a granted lock is
// counted from the last question that was answered: the grant came later, so it is ours for longer.
//
// While nobody listens for us (not yet, or the connection is down), and with several masters, which
// have no line in common, the first in the process's line spins.
#include "guard/redis/queue.h"

#include "base/clock.h"
#include "guard/backoff.h"
#include "guard/guard.h"
#include "guard/redis/claim.h"
#include "guard/redis/withdrawal.h"

#include <stdlib.h>

#define ASK_AGAIN_NS NS_PER_S         // at the latest
#define TENURE_NS (50 * NS_PER_MS)    // then others are let in, if a third of the lease is no less
#define ABANDON_NS (250 * NS_PER_MS)  // at most, out of what enter has left
#define WITHDRAW_NS (100 * NS_PER_MS) // at most, past the limit: Redis has just answered

struct redis_queue {
    const struct guard_settings *settings;
    struct redis_masters *masters;
    struct redis_withdrawals *withdrawals;
    struct redis_listener *listener; // NULL: several masters
    struct redis_lines *lines;
    int64_t ttl_ns, ask_again_ns, tenure_ns;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum rc redis_queue_new(const struct guard_settings *settings, struct redis_masters *masters,
                        struct redis_withdrawals *withdrawals, struct redis_queue **ret_queue)
{
    struct redis_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return RC_NO_MEMORY;
    queue->settings = settings;
    queue->masters = masters;
    queue->withdrawals = withdrawals;
    queue->ttl_ns = settings->lock_ttl_ms * NS_PER_MS;
    queue->ask_again_ns = least(queue->ttl_ns / 3, ASK_AGAIN_NS);
    queue->tenure_ns = least(queue->ttl_ns / 3, TENURE_NS);
    const struct redis_address *address = redis_masters_only(masters);
    enum rc rc = redis_lines_new(&queue->lines);
    if (rc == RC_OK && address != NULL)
        rc = redis_listener_new(address, &queue->listener);
    if (rc != RC_OK) {
        redis_queue_free(queue);
        return rc;
    }
    *ret_queue = queue;
    return RC_OK;
}

void redis_queue_free(struct redis_queue *queue)
{
    if (queue == NULL)
        return;
    redis_listener_free(queue->listener);
    redis_lines_free(queue->lines);
    free(queue);
}

uint64_t redis_queue_reconnects(struct redis_queue *queue)
{
    return queue->listener != NULL ? redis_listener_reconnects(queue->listener) : 0;
}

// ---- asking -------------------------------------------------------------------------------------

static struct redis_tenure *register_new(struct redis_queue *queue, const char *const *keys,
                                         size_t n, const char *name)
{
    struct redis_tenure *tenure = redis_tenure_new(keys, n, queue->settings, name);
    if (tenure != NULL && queue->listener != NULL)
        redis_listener_expect(queue->listener, &tenure->grant, tenure->claim->owner);
    return tenure;
}

// It is not asked for any more.
static void settle(struct redis_queue *queue, struct redis_tenure *tenure)
{
    if (queue->listener != NULL)
        redis_listener_forget(queue->listener, &tenure->grant);
}

// Once; the channel says whether we stand in line now. RC_LOCK_BUSY: not had, ret_grip says when to
// come again.
static enum rc ask_once(struct redis_queue *queue, struct redis_tenure *tenure, const char *channel,
                        int64_t limit_ns, struct redis_grip *ret_grip)
{
    int64_t left_ns = limit_ns - clock_now_ns();
    struct redis_wish wish = {.tokens = REDIS_QUEUE_TURNS,
                              .channel = channel,
                              .place_ms = 3 * queue->ask_again_ns / NS_PER_MS + 500};
    if (queue->listener != NULL)
        wish.ask = redis_listener_ask(queue->listener, &tenure->grant);
    // A quarter of the time is kept back for giving up.
    enum rc rc =
        redis_claim_acquire(queue->masters, tenure->claim, &wish, limit_ns - left_ns / 4, ret_grip);
    if (rc != RC_OK)
        return rc;
    if (ret_grip->token == 0)
        return RC_LOCK_BUSY;
    redis_tenure_begin(tenure, ret_grip->token, REDIS_QUEUE_TURNS, ret_grip->expires_ns);
    return RC_OK;
}

// In line: until the lock is granted, or there is a reason to ask again.
static bool wait_for_grant(struct redis_queue *queue, struct redis_tenure *tenure, int64_t asked_ns,
                           int64_t retry_ns, int64_t limit_ns)
{
    int64_t pause_ns = queue->ask_again_ns;
    if (retry_ns > 0)
        pause_ns = least(pause_ns, retry_ns + NS_PER_MS);
    uint64_t token =
        redis_listener_wait(queue->listener, &tenure->grant, least(limit_ns, asked_ns + pause_ns));
    if (token == 0 || clock_now_ns() >= asked_ns + queue->ttl_ns)
        return false;
    tenure->claim->had = tenure->claim->sent;
    redis_tenure_begin(tenure, token, REDIS_QUEUE_TURNS, asked_ns + queue->ttl_ns);
    return true;
}

static enum rc ask(struct redis_queue *queue, struct redis_tenure *tenure, int64_t limit_ns)
{
    struct backoff backoff = {limit_ns, 0};
    for (bool met = false;; met = true) {
        const char *channel =
            queue->listener != NULL ? redis_listener_channel(queue->listener, met) : "";
        struct redis_grip grip;
        int64_t asked_ns = clock_now_ns();
        enum rc rc = ask_once(queue, tenure, channel, limit_ns, &grip);
        if (rc == RC_BACKEND_UNAVAILABLE && met && limit_ns - asked_ns < REDIS_HURRY_NS)
            return RC_LOCK_BUSY;
        if (rc != RC_LOCK_BUSY)
            return rc;
        if (channel[0] == '\0') {
            if (!backoff_sleep(&backoff))
                return RC_LOCK_BUSY;
        } else {
            if (wait_for_grant(queue, tenure, asked_ns, grip.retry_ns, limit_ns))
                return RC_OK;
            if (clock_now_ns() >= limit_ns)
                return RC_LOCK_BUSY;
        }
    }
}

// It is for us to ask, on behalf of all who wait behind us.
static enum rc ask_in_turn(struct redis_queue *queue, struct redis_line *line,
                           struct redis_tenure *tenure, int64_t limit_ns)
{
    enum rc rc = tenure != NULL ? ask(queue, tenure, limit_ns) : RC_NO_MEMORY;
    if (rc == RC_OK) {
        settle(queue, tenure);
        redis_line_won(queue->lines, line, tenure);
        return RC_OK;
    }
    if (rc == RC_LOCK_BUSY) {
        if (redis_line_give_up(queue->lines, line, tenure))
            return rc;
    } else {
        redis_line_fail(queue->lines, line, rc);
    }
    if (tenure == NULL)
        return rc;
    settle(queue, tenure);
    int64_t now_ns = clock_now_ns();
    struct redis_claim *claim = redis_tenure_end(tenure);
    bool unanswered = rc != RC_LOCK_BUSY || claim->had != 0;
    redis_claim_abandon(queue->masters, claim, unanswered,
                        rc == RC_LOCK_BUSY ? now_ns + WITHDRAW_NS
                                           : least(limit_ns, now_ns + ABANDON_NS));
    redis_withdraw(queue->withdrawals, claim, unanswered);
    return rc;
}

enum rc redis_queue_enter(struct redis_queue *queue, const char *const *keys, size_t n,
                          const char *name, int64_t limit_ns, struct redis_tenure **ret_tenure)
{
    struct redis_line *line;
    struct redis_tenure *tenure;
    enum rc rc;
    switch (redis_lines_enter(queue->lines, keys, n, limit_ns, &line, &tenure, &rc)) {
    case REDIS_TURN_ASK:
        if (tenure == NULL)
            tenure = register_new(queue, keys, n, name);
        rc = ask_in_turn(queue, line, tenure, limit_ns);
        break;
    case REDIS_TURN_HOLD:
        rc = RC_OK;
        break;
    case REDIS_TURN_LATE:
        rc = RC_LOCK_BUSY;
        break;
    case REDIS_TURN_FAIL:
        break;
    }
    if (rc == RC_OK)
        *ret_tenure = tenure;
    return rc;
}

bool redis_queue_pass(struct redis_queue *queue, struct redis_tenure *tenure, bool trusted)
{
    int64_t now_ns = clock_now_ns();
    return trusted && tenure->tokens > 0 && now_ns - tenure->begun_ns < queue->tenure_ns &&
           tenure->expires_ns - now_ns >= queue->ttl_ns / 2 &&
           redis_line_pass(queue->lines, tenure);
}

struct redis_claim *redis_queue_left(struct redis_queue *queue, struct redis_tenure *tenure)
{
    redis_line_leave(queue->lines, tenure);
    return redis_tenure_end(tenure);
}
