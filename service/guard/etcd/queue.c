// The lock recipe of etcd: a queue ordered by create revision. What makes it correct and fast:
//
//   - One transaction makes the claim's names and lists the names ahead. So one round trip tells
//     whether the claim holds the lock.
//   - All names of a set are made in one transaction and share its revision. So any two sets stand
//     in the same order in all queues that they share, and cannot wait for each other, with sorted
//     keys or without.
//   - The values carry a tag of the claim, and the transaction checks first whether its names
//     exist. So it can be repeated until it is acknowledged. It also checks for a tombstone of this
//     tag: then a request that arrives late makes nothing (withdraw.c).
//   - Names are used again (slots, below), but only when the old ones are certain to be deleted. So
//     every delete demands the create revision. The watch counts a reported deletion only if it is
//     later than the revision at which the waiter read the name (watch.c).
//   - A waiter watches all names that it saw ahead. No name can come in ahead later. So it reads
//     the queue again only if the watch has a gap or is silent, or the queue was too long to list.
//     In a long queue it watches the nearest names, and reads again when few of them are left: at
//     its turn would be too late. Each read also checks the revision of its own name, because the
//     lease may have ended meanwhile.
//   - With lock.wait = fail the names are made only in empty queues. A claim that made its names
//     and then deleted them would look like a holder to the next claims, and all could fail for
//     ever.
//
// What breaks it: a lease that ends (session.c); names deleted by another program.
#include "guard/etcd/queue.h"

#include "base/clock.h"
#include "base/random.h"
#include "guard/backoff.h"
#include "guard/guard.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_MAX 8       // names ahead that are listed, per queue
#define AHEAD_MAX_SPIN 64 // a spinning waiter needs the length to know how long to sleep
#define REREAD_AT 3       // names left ahead when the rest of a long queue is read, before our turn
#define EMPTY_KEYS_MAX (ETCD_COMPARES_MAX - 2) // keys that one transaction can check for emptiness
#define ATTEMPT_NS NS_PER_S                    // timeout of a request, which is then repeated
#define REREAD_NS NS_PER_S                     // between two reads while the watch is silent
#define SHORT_TIMEOUT_NS (50 * NS_PER_MS)
#define PACE_MIN_NS NS_PER_MS
#define PACE_MAX_NS (50 * NS_PER_MS)

// ---- slots --------------------------------------------------------------------------------------

// A claim's names contain its slot: the lowest number that no other claim of the process has. So
// names are used again. etcd remembers every name until it is compacted, and listing a queue walks
// over all of them. With new names for each claim a hot queue would soon be slow to list.

// -1: all slots are taken.
static int take_slot(struct etcd_queue *queue)
{
    for (int i = 0; i < ETCD_SLOT_WORDS; i++) {
        uint64_t used = atomic_load(&queue->slots_used[i]);
        while (~used != 0) {
            int bit = __builtin_ctzll(~used);
            if (atomic_compare_exchange_weak(&queue->slots_used[i], &used,
                                             used | UINT64_C(1) << bit))
                return i * 64 + bit;
        }
    }
    return -1;
}

// ---- claims -------------------------------------------------------------------------------------

void etcd_own_name(char *ret_name64, const struct etcd_claim *claim, size_t i)
{
    etcd_name(ret_name64, ETCD_LOCKS "%s/%s.%d", claim->keys[i], claim->lease, claim->slot);
}

void etcd_tombstone_name(char *ret_name64, const struct etcd_claim *claim)
{
    etcd_name(ret_name64, "holdfast/gone/%s", claim->tag);
}

enum rc etcd_claim_new(struct etcd_queue *queue, uint64_t generation, const char *lease,
                       const char *const *keys, size_t n, const char *owner, char attempt,
                       struct etcd_claim **ret_claim)
{
    struct etcd_claim *claim = calloc(1, sizeof *claim + n * sizeof claim->keys[0]);
    struct etcd_watched_key *own = calloc(n, sizeof *own);
    int slot = claim != NULL && own != NULL ? take_slot(queue) : -1;
    if (slot < 0) {
        enum rc rc = claim != NULL && own != NULL ? RC_BACKEND_UNAVAILABLE : RC_NO_MEMORY;
        free(claim);
        free(own);
        return rc;
    }
    *claim = (struct etcd_claim){
        .queue = queue, .generation = generation, .slot = slot, .n = n, .own = own};
    text_copy(claim->lease, sizeof claim->lease, lease);
    text_format(claim->tag, sizeof claim->tag, "%s%c", owner, attempt);
    for (size_t i = 0; i < n; i++) {
        char name64[ETCD_NAME64_MAX];
        text_copy(claim->keys[i], sizeof claim->keys[i], keys[i]);
        etcd_own_name(name64, claim, i);
        own[i] = (struct etcd_watched_key){
            .waiter = &claim->waiter, .name = etcd_name_hash(name64), .own = true};
    }
    etcd_waiter_init(queue->watch, &claim->waiter);
    *ret_claim = claim;
    return RC_OK;
}

static void unwatch_ahead(struct etcd_claim *claim)
{
    etcd_watch_remove(claim->queue->watch, claim->ahead, claim->n_ahead);
    claim->n_ahead = 0;
}

void etcd_claim_unwatch(struct etcd_claim *claim)
{
    unwatch_ahead(claim);
    etcd_watch_remove(claim->queue->watch, claim->own, claim->n);
    etcd_waiter_destroy(&claim->waiter);
    free(claim->ahead);
    free(claim->own);
    claim->ahead = claim->own = NULL;
}

void etcd_claim_discard(struct etcd_claim *claim)
{
    atomic_fetch_and(&claim->queue->slots_used[claim->slot / 64],
                     ~(UINT64_C(1) << (claim->slot % 64)));
    free(claim);
}

void etcd_claim_free(struct etcd_claim *claim)
{
    etcd_claim_unwatch(claim);
    etcd_claim_discard(claim);
}

// ---- requests -----------------------------------------------------------------------------------

static bool joins_empty_only(const struct etcd_claim *claim)
{
    return claim->queue->waiting == ETCD_FAIL && claim->n <= EMPTY_KEYS_MAX;
}

static size_t ahead_max(const struct etcd_claim *claim)
{
    return claim->queue->waiting == ETCD_SPIN && claim->n == 1 ? AHEAD_MAX_SPIN : AHEAD_MAX;
}

static void write_value(const struct etcd_claim *claim, char *ret_value64)
{
    etcd_name(ret_value64, "%.64s/%s", claim->queue->label, claim->tag);
}

static void write_key(const struct etcd_claim *claim, struct etcd_ops *ops, size_t i,
                      const char *name64)
{
    char from64[ETCD_NAME64_MAX], end64[ETCD_NAME64_MAX], value64[ETCD_NAME64_MAX];
    etcd_name(from64, ETCD_LOCKS "%s/", claim->keys[i]);
    etcd_range_end(end64, ETCD_LOCKS "%s/", claim->keys[i]);
    if (name64 != NULL) {
        write_value(claim, value64);
        etcd_put(ops, name64, value64, claim->lease);
    }
    etcd_list(ops, from64, end64, ahead_max(claim) + 1, claim->revision);
}

static void write_join(const struct etcd_claim *claim, struct etcd_txn *txn)
{
    char name64[ETCD_NAME64_MAX], end64[ETCD_NAME64_MAX];
    etcd_own_name(name64, claim, 0);
    etcd_compare_created(txn, name64, 0);
    etcd_tombstone_name(name64, claim);
    etcd_compare_created(txn, name64, 0);
    txn->success.expected = 2 * claim->n;
    for (size_t i = 0; i < claim->n; i++) {
        if (joins_empty_only(claim)) {
            etcd_name(name64, ETCD_LOCKS "%s/", claim->keys[i]);
            etcd_range_end(end64, ETCD_LOCKS "%s/", claim->keys[i]);
            etcd_compare_empty(txn, name64, end64);
        }
        etcd_own_name(name64, claim, i);
        write_key(claim, &txn->success, i, name64);
    }
    etcd_own_name(name64, claim, 0);
    etcd_get(&txn->failure, name64);
}

static void write_reread(const struct etcd_claim *claim, struct etcd_txn *txn)
{
    char name64[ETCD_NAME64_MAX];
    etcd_own_name(name64, claim, 0);
    etcd_compare_created(txn, name64, claim->revision);
    txn->success.expected = claim->n;
    for (size_t i = 0; i < claim->n; i++)
        write_key(claim, &txn->success, i, NULL);
}

// Repeats the request until it is acknowledged or the limit comes.
static enum rc send_until_answered(struct etcd_claim *claim, struct etcd_txn *txn, int64_t limit_ns,
                                   json_t **ret_answer)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    struct backoff backoff = {limit_ns, 0};
    const char *body = etcd_txn_text(txn, &text);
    if (body == NULL)
        return RC_NO_MEMORY;
    for (;;) {
        bool uncertain = false;
        int64_t until_ns = clock_now_ns() + ATTEMPT_NS;
        enum rc rc =
            etcd_request(claim->queue->client, "/v3/kv/txn", body,
                         until_ns < limit_ns ? until_ns : limit_ns, ret_answer, &uncertain);
        claim->uncertain = claim->uncertain || (uncertain && claim->revision == 0);
        if (rc == RC_NOT_FOUND) { // the lease has ended
            claim->requested = false;
            etcd_session_ended(claim->queue->session, claim->generation);
            return RC_LOCK_LOST;
        }
        if (rc != RC_BACKEND_UNAVAILABLE)
            return rc;
        if (!backoff_sleep(&backoff))
            return rc;
        if (!etcd_session_alive(claim->queue->session, claim->generation))
            return RC_LOCK_LOST;
    }
}

// ---- answers ------------------------------------------------------------------------------------

// Adds the names ahead in one queue. False if the claim's own name is missing.
static bool read_queue(struct etcd_claim *claim, size_t i, const json_t *range)
{
    const json_t *kvs = json_object_get(range, "kvs"), *kv;
    bool there = false;
    size_t at;
    json_array_foreach(kvs, at, kv)
    {
        const char *name64 = json_string_value(json_object_get(kv, "key"));
        uint64_t name = name64 != NULL ? etcd_name_hash(name64) : 0;
        if (name == claim->own[i].name) {
            there = true;
            claim->revision = etcd_number(kv, "create_revision");
        } else if (there) { // the newest come first, so these are older
            claim->ahead[claim->n_ahead++] =
                (struct etcd_watched_key){.waiter = &claim->waiter, .name = name};
        }
    }
    claim->more = claim->more || json_is_true(json_object_get(range, "more"));
    return there;
}

// False if one of the claim's names is missing.
static bool read_queues(struct etcd_claim *claim, const json_t *answer)
{
    const json_t *ranges[GUARD_KEYS_MAX];
    size_t n = etcd_ranges(answer, ranges, ARRAY_LENGTH(ranges));
    bool all = n == claim->n;
    claim->more = false;
    for (size_t i = 0; i < n && i < claim->n; i++)
        all = read_queue(claim, i, ranges[i]) && all;
    return all;
}

// ---- pace ---------------------------------------------------------------------------------------

// How long a waiter sleeps before it reads the queue again, with lock.wait = spin or when the watch
// has a gap. It sleeps longer if more names are ahead, and if the queue moves more slowly. Frequent
// reads help only the next in the queue, and all reads together slow the server down.
struct pace {
    int64_t limit_ns; // monotonic: give up at this time
    int64_t each_ns;  // estimate: how long one name ahead takes; 0 before the first sleep
    int64_t moved_ns; // monotonic: when the queue last moved, or the first sleep began
    size_t ahead;     // how many names were ahead then
};

// Sleeps for a quarter of the estimated wait, with jitter. Not longer, because a waiter that
// oversleeps its turn slows down the queue, and all others base their estimate on that. `more`: the
// queue is longer than `ahead`, by an unknown number. False, at once, if the limit has passed.
static bool pace_sleep(struct pace *pace, size_t ahead, bool more)
{
    int64_t now_ns = clock_now_ns();
    if (now_ns >= pace->limit_ns)
        return false;
    if (pace->ahead > ahead)
        pace->each_ns = (now_ns - pace->moved_ns) / (int64_t)(pace->ahead - ahead);
    else if (pace->ahead > 0 && !more && now_ns - pace->moved_ns > pace->each_ns)
        pace->each_ns = now_ns - pace->moved_ns; // it has not moved in this time
    if (pace->ahead != ahead)
        pace->moved_ns = now_ns;
    if (pace->each_ns < PACE_MIN_NS)
        pace->each_ns = PACE_MIN_NS;
    if (pace->each_ns > PACE_MAX_NS)
        pace->each_ns = PACE_MAX_NS;
    pace->ahead = ahead;
    int64_t part_ns = (int64_t)ahead * pace->each_ns / 4;
    int64_t sleep_ns = part_ns / 2 + (int64_t)random_below((uint64_t)part_ns);
    int64_t left_ns = pace->limit_ns - now_ns;
    clock_sleep_ns(sleep_ns < left_ns ? sleep_ns : left_ns);
    return true;
}

// ---- waiting ------------------------------------------------------------------------------------

static bool allocate_ahead(struct etcd_claim *claim)
{
    if (claim->ahead == NULL)
        claim->ahead = calloc(claim->n * (ahead_max(claim) + 1), sizeof *claim->ahead);
    return claim->ahead != NULL;
}

static void watch_keys(struct etcd_claim *claim, bool own, int64_t revision)
{
    if (own)
        etcd_watch_add(claim->queue->watch, claim->own, claim->n, revision);
    etcd_watch_add(claim->queue->watch, claim->ahead, claim->n_ahead, revision);
}

// Reads the queues again. `own`: its own names are not watched yet. RC_LOCK_BUSY: the time left was
// too short for an answer, so the timeout does not mean that etcd is unavailable.
static enum rc reread(struct etcd_claim *claim, bool own, int64_t limit_ns)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    unwatch_ahead(claim);
    write_reread(claim, &txn);
    int64_t now_ns = clock_now_ns();
    enum rc rc = send_until_answered(claim, &txn, limit_ns, &answer);
    if (rc == RC_BACKEND_UNAVAILABLE && limit_ns - now_ns < SHORT_TIMEOUT_NS)
        return RC_LOCK_BUSY;
    if (rc != RC_OK)
        return rc;
    if (!etcd_succeeded(answer) || !read_queues(claim, answer))
        return RC_LOCK_LOST;
    watch_keys(claim, own, etcd_revision(answer));
    return RC_OK;
}

// The transaction made nothing, because the names exist, made by an earlier copy of the request or
// by another claim; or there is a tombstone; or a queue is not empty (lock.wait = fail).
static enum rc read_refusal(struct etcd_claim *claim, const json_t *answer, int64_t limit_ns)
{
    const json_t *kv = etcd_first_kv(answer);
    const char *found64 = json_string_value(json_object_get(kv, "value"));
    char value64[ETCD_NAME64_MAX];
    write_value(claim, value64);
    if (found64 != NULL && strcmp(found64, value64) == 0) {
        claim->revision = etcd_number(kv, "create_revision");
        return reread(claim, true, limit_ns);
    }
    if (!joins_empty_only(claim))
        return RC_LOCK_LOST;
    claim->requested = claim->uncertain;
    return RC_LOCK_BUSY;
}

static enum rc join(struct etcd_claim *claim, int64_t limit_ns)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    if (!allocate_ahead(claim))
        return RC_NO_MEMORY;
    write_join(claim, &txn);
    claim->requested = true;
    enum rc rc = send_until_answered(claim, &txn, limit_ns, &answer);
    if (rc != RC_OK)
        return rc;
    if (!etcd_succeeded(answer))
        return read_refusal(claim, answer, limit_ns);
    if (!read_queues(claim, answer))
        return RC_LOCK_LOST;
    watch_keys(claim, true, etcd_revision(answer));
    return RC_OK;
}

// Reports the names that were ahead at the last read and are deleted now.
static void report_missed(struct etcd_claim *claim, const struct etcd_watched_key *before,
                          size_t n_before)
{
    for (size_t i = 0; i < n_before; i++) {
        size_t at = 0;
        while (at < claim->n_ahead && claim->ahead[at].name != before[i].name)
            at++;
        if (at == claim->n_ahead)
            etcd_watch_report_missed(claim->queue->watch, before[i].name, before[i].revision);
    }
}

// The watch was silent for a whole interval. Reads the queues, and reports to the watch what it
// missed.
static enum rc reread_after_silence(struct etcd_claim *claim, int64_t limit_ns)
{
    size_t n_before = claim->n_ahead;
    struct etcd_watched_key *before CLEANUP(free_memory) = calloc(n_before, sizeof *before);
    if (before == NULL)
        return RC_NO_MEMORY;
    memcpy(before, claim->ahead, n_before * sizeof *before);
    enum rc rc = reread(claim, false, limit_ns);
    if (rc == RC_OK)
        report_missed(claim, before, n_before);
    return rc;
}

static enum rc await_turn(struct etcd_claim *claim, int64_t limit_ns)
{
    struct pace pace = {.limit_ns = limit_ns};
    int64_t interval_ns = (limit_ns - clock_now_ns()) / 2; // at least one read before the limit
    if (interval_ns > REREAD_NS)
        interval_ns = REREAD_NS;
    while (claim->n_ahead > 0) {
        int64_t now_ns = clock_now_ns(), reread_ns = now_ns + interval_ns;
        if (claim->queue->waiting == ETCD_FAIL || now_ns >= limit_ns)
            return RC_LOCK_BUSY;
        bool notify = claim->queue->waiting == ETCD_NOTIFY;
        bool few = notify &&
                   etcd_watch_wait(claim->queue->watch, &claim->waiter, claim->more ? REREAD_AT : 0,
                                   reread_ns < limit_ns ? reread_ns : limit_ns);
        if (few && !claim->more)
            return RC_OK;
        bool silent = notify && !few && clock_now_ns() >= reread_ns;
        // With a gap the watch returns at once, so this sleep sets the pace of the reads.
        if (!few && !silent && !claim->waiter.lost &&
            !pace_sleep(&pace, (claim->n_ahead + claim->n - 1) / claim->n, claim->more))
            return RC_LOCK_BUSY;
        enum rc rc = claim->waiter.lost ? RC_LOCK_LOST
                     : silent           ? reread_after_silence(claim, limit_ns)
                                        : reread(claim, false, limit_ns);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc etcd_claim_acquire(struct etcd_claim *claim, int64_t limit_ns)
{
    enum rc rc = join(claim, limit_ns);
    if (rc == RC_OK)
        rc = await_turn(claim, limit_ns);
    if (rc == RC_LOCK_LOST)
        etcd_session_recheck(claim->queue->session, claim->generation);
    bool trusted = etcd_session_trusted(claim->queue->session, claim->generation);
    if (rc == RC_OK && (claim->waiter.lost || !trusted))
        return RC_LOCK_LOST;
    return rc == RC_LOCK_BUSY && !trusted ? RC_BACKEND_UNAVAILABLE : rc;
}
