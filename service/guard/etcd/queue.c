// The recipe, and what goes wrong with it:
//
//   - One transaction makes the keys and lists who is ahead: one round trip tells whether we are
//   in.
//   - All keys of a set are made in one transaction and share its revision. So any two sets stand
//   in
//     the same order in all lines that they share, and cannot wait for each other, sorted or not.
//   - The values carry a tag of their own and the transaction asks first whether the keys are
//   there,
//     so it may be repeated until it is answered. It also asks whether this tag was given up: then
//     a request that arrives late makes nothing (etcd_withdraw.c).
//   - The names are used again (etcd_slots.h), but only when it is certain that the last keys with
//     them are gone. So whatever is deleted is asked for its create revision first, and a deletion
//     that is told counts only if it is younger than what one knew (etcd_watch.c).
//   - A waiter hears of all whom it saw ahead (etcd_watch.c) and looks again only where it was
//     blind, or saw not all: nobody can come in ahead later. In a long line it sees the nearest,
//     and looks once more when few of these are left: when it is its turn already would be too
//     late. Looking again also reads our own key's revision again: the lease may have gone
//     meanwhile.
//   - With lock.wait = fail the keys are made only in empty lines. Those who made theirs and took
//     them back would be taken for holders by the next ones, and all could fail for ever.
#include "guard/etcd/queue.h"

#include "base/clock.h"
#include "guard/backoff.h"
#include "guard/etcd/pace.h"
#include "guard/guard.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_MAX 8       // listed in each line
#define AHEAD_SPIN_MAX 64 // who only asks must know how long to sleep
#define FEW 3 // when so few of them are left the rest is looked for, before it is our turn
#define EMPTY_MAX (ETCD_COMPARES_MAX - 2) // keys of which one transaction can ask all that
#define TRY_NS NS_PER_S                   // then the question is asked again
#define LOOK_NS NS_PER_S                  // between two looks, were a watch to fall silent
#define SHORT_NS (50 * NS_PER_MS)

void etcd_own_name(char *ret_name64, const struct etcd_stay *stay, size_t i)
{
    etcd_name(ret_name64, ETCD_LOCKS "%s/%s.%d", stay->keys[i], stay->lease, stay->slot);
}

void etcd_gone_name(char *ret_name64, const struct etcd_stay *stay)
{
    etcd_name(ret_name64, "holdfast/gone/%s", stay->tag);
}

enum rc etcd_stay_new(struct etcd_line *line, uint64_t generation, const char *lease,
                      const char *const *keys, size_t n, const char *owner, char attempt,
                      struct etcd_stay **ret_stay)
{
    struct etcd_stay *stay = calloc(1, sizeof *stay + n * sizeof stay->keys[0]);
    struct etcd_mark *own = calloc(n, sizeof *own);
    int slot = stay != NULL && own != NULL ? etcd_slots_take(&line->slots) : -1;
    if (slot < 0) {
        enum rc rc = stay != NULL && own != NULL ? RC_BACKEND_UNAVAILABLE : RC_NO_MEMORY;
        free(stay);
        free(own);
        return rc;
    }
    *stay = (struct etcd_stay){
        .line = line, .generation = generation, .slot = slot, .n = n, .own = own};
    text_copy(stay->lease, sizeof stay->lease, lease);
    text_format(stay->tag, sizeof stay->tag, "%s%c", owner, attempt);
    for (size_t i = 0; i < n; i++) {
        char name64[ETCD_NAME64_MAX];
        text_copy(stay->keys[i], sizeof stay->keys[i], keys[i]);
        etcd_own_name(name64, stay, i);
        own[i] =
            (struct etcd_mark){.wait = &stay->wait, .name = etcd_name_hash(name64), .own = true};
    }
    etcd_watch_begin(line->watch, &stay->wait);
    *ret_stay = stay;
    return RC_OK;
}

static void forget_ahead(struct etcd_stay *stay)
{
    etcd_watch_dismiss(stay->line->watch, stay->ahead, stay->n_ahead);
    stay->n_ahead = 0;
}

void etcd_stay_settle(struct etcd_stay *stay)
{
    forget_ahead(stay);
    etcd_watch_dismiss(stay->line->watch, stay->own, stay->n);
    etcd_watch_end(&stay->wait);
    free(stay->ahead);
    free(stay->own);
    stay->ahead = stay->own = NULL;
}

void etcd_stay_free(struct etcd_stay *stay)
{
    etcd_stay_settle(stay);
    etcd_slots_give(&stay->line->slots, stay->slot);
    free(stay);
}

// ---- asking -------------------------------------------------------------------------------------

static bool asks_for_emptiness(const struct etcd_stay *stay)
{
    return stay->line->waiting == ETCD_FAIL && stay->n <= EMPTY_MAX;
}

static size_t ahead_max(const struct etcd_stay *stay)
{
    return stay->line->waiting == ETCD_SPIN && stay->n == 1 ? AHEAD_SPIN_MAX : AHEAD_MAX;
}

static void write_value(const struct etcd_stay *stay, char *ret_value64)
{
    etcd_name(ret_value64, "%.64s/%s", stay->line->label, stay->tag);
}

static void write_lists(const struct etcd_stay *stay, struct etcd_ops *ops, size_t i,
                        const char *name64)
{
    char from64[ETCD_NAME64_MAX], after64[ETCD_NAME64_MAX], value64[ETCD_NAME64_MAX];
    etcd_name(from64, ETCD_LOCKS "%s/", stay->keys[i]);
    etcd_name_after(after64, ETCD_LOCKS "%s/", stay->keys[i]);
    if (name64 != NULL) {
        write_value(stay, value64);
        etcd_put(ops, name64, value64, stay->lease);
    }
    etcd_list(ops, from64, after64, ahead_max(stay) + 1, stay->revision);
}

static void write_join(const struct etcd_stay *stay, struct etcd_txn *txn)
{
    char name64[ETCD_NAME64_MAX], after64[ETCD_NAME64_MAX];
    etcd_own_name(name64, stay, 0);
    etcd_compare_created(txn, name64, 0);
    etcd_gone_name(name64, stay);
    etcd_compare_created(txn, name64, 0);
    txn->success.expected = 2 * stay->n;
    for (size_t i = 0; i < stay->n; i++) {
        if (asks_for_emptiness(stay)) {
            etcd_name(name64, ETCD_LOCKS "%s/", stay->keys[i]);
            etcd_name_after(after64, ETCD_LOCKS "%s/", stay->keys[i]);
            etcd_compare_empty(txn, name64, after64);
        }
        etcd_own_name(name64, stay, i);
        write_lists(stay, &txn->success, i, name64);
    }
    etcd_own_name(name64, stay, 0);
    etcd_get(&txn->failure, name64);
}

static void write_look(const struct etcd_stay *stay, struct etcd_txn *txn)
{
    char name64[ETCD_NAME64_MAX];
    etcd_own_name(name64, stay, 0);
    etcd_compare_created(txn, name64, stay->revision);
    txn->success.expected = stay->n;
    for (size_t i = 0; i < stay->n; i++)
        write_lists(stay, &txn->success, i, NULL);
}

// One question, again until it is answered.
static enum rc ask(struct etcd_stay *stay, struct etcd_txn *txn, int64_t limit_ns,
                   json_t **ret_answer)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    struct backoff backoff = {limit_ns, 0};
    const char *body = etcd_txn_text(txn, &text);
    if (body == NULL)
        return RC_NO_MEMORY;
    for (;;) {
        bool uncertain = false;
        int64_t until_ns = clock_now_ns() + TRY_NS;
        enum rc rc = etcd_ask(stay->line->client, "/v3/kv/txn", body,
                              until_ns < limit_ns ? until_ns : limit_ns, ret_answer, &uncertain);
        stay->uncertain = stay->uncertain || (uncertain && stay->revision == 0);
        if (rc == RC_NOT_FOUND) { // our lease
            stay->asked = false;
            etcd_session_ended(stay->line->session, stay->generation);
            return RC_LOCK_LOST;
        }
        if (rc != RC_BACKEND_UNAVAILABLE)
            return rc;
        if (!backoff_sleep(&backoff))
            return rc;
        if (!etcd_session_alive(stay->line->session, stay->generation))
            return RC_LOCK_LOST;
    }
}

// ---- reading ------------------------------------------------------------------------------------

// Adds those ahead of us in one line. False if we are not in it ourselves.
static bool read_line(struct etcd_stay *stay, size_t i, const json_t *range)
{
    const json_t *kvs = json_object_get(range, "kvs"), *kv;
    bool there = false;
    size_t at;
    json_array_foreach(kvs, at, kv)
    {
        const char *name64 = json_string_value(json_object_get(kv, "key"));
        uint64_t name = name64 != NULL ? etcd_name_hash(name64) : 0;
        if (name == stay->own[i].name) {
            there = true;
            stay->revision = etcd_number(kv, "create_revision");
        } else if (there) { // the newest come first: these are older
            stay->ahead[stay->n_ahead++] = (struct etcd_mark){.wait = &stay->wait, .name = name};
        }
    }
    stay->more = stay->more || json_is_true(json_object_get(range, "more"));
    return there;
}

// False if one of our keys is missing.
static bool read_lines(struct etcd_stay *stay, const json_t *answer)
{
    const json_t *ranges[GUARD_KEYS_MAX];
    size_t n = etcd_ranges(answer, ranges, ARRAY_LENGTH(ranges));
    bool all = n == stay->n;
    stay->more = false;
    for (size_t i = 0; i < n && i < stay->n; i++)
        all = read_line(stay, i, ranges[i]) && all;
    return all;
}

// ---- waiting ------------------------------------------------------------------------------------

static bool make_room(struct etcd_stay *stay)
{
    if (stay->ahead == NULL)
        stay->ahead = calloc(stay->n * (ahead_max(stay) + 1), sizeof *stay->ahead);
    return stay->ahead != NULL;
}

static void enlist(struct etcd_stay *stay, bool own, int64_t revision)
{
    if (own)
        etcd_watch_enlist(stay->line->watch, stay->own, stay->n, revision);
    etcd_watch_enlist(stay->line->watch, stay->ahead, stay->n_ahead, revision);
}

// `own`: for the first time. RC_LOCK_BUSY: there was no time left for an answer, which says nothing
// about etcd.
static enum rc look(struct etcd_stay *stay, bool own, int64_t limit_ns)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    forget_ahead(stay);
    write_look(stay, &txn);
    int64_t now_ns = clock_now_ns();
    enum rc rc = ask(stay, &txn, limit_ns, &answer);
    if (rc == RC_BACKEND_UNAVAILABLE && limit_ns - now_ns < SHORT_NS)
        return RC_LOCK_BUSY;
    if (rc != RC_OK)
        return rc;
    if (!etcd_succeeded(answer) || !read_lines(stay, answer))
        return RC_LOCK_LOST;
    enlist(stay, own, etcd_revision(answer));
    return RC_OK;
}

// Nothing was made: our keys are there already, by an earlier try, or they may not be made.
static enum rc find_own(struct etcd_stay *stay, const json_t *answer, int64_t limit_ns)
{
    const json_t *range = NULL;
    (void)etcd_ranges(answer, &range, 1);
    const json_t *kv = json_array_get(json_object_get(range, "kvs"), 0);
    const char *found64 = json_string_value(json_object_get(kv, "value"));
    char value64[ETCD_NAME64_MAX];
    write_value(stay, value64);
    if (found64 != NULL && strcmp(found64, value64) == 0) {
        stay->revision = etcd_number(kv, "create_revision");
        return look(stay, true, limit_ns);
    }
    if (!asks_for_emptiness(stay))
        return RC_LOCK_LOST;
    stay->asked = stay->uncertain;
    return RC_LOCK_BUSY;
}

static enum rc join(struct etcd_stay *stay, int64_t limit_ns)
{
    struct etcd_txn txn CLEANUP(etcd_txn_cleanup) = {0};
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    if (!make_room(stay))
        return RC_NO_MEMORY;
    write_join(stay, &txn);
    stay->asked = true;
    enum rc rc = ask(stay, &txn, limit_ns, &answer);
    if (rc != RC_OK)
        return rc;
    if (!etcd_succeeded(answer))
        return find_own(stay, answer, limit_ns);
    if (!read_lines(stay, answer))
        return RC_LOCK_LOST;
    enlist(stay, true, etcd_revision(answer));
    return RC_OK;
}

// Of those who were ahead at the last look, whom we do not see any more.
static void report_missed(struct etcd_stay *stay, const struct etcd_mark *before, size_t n_before)
{
    for (size_t i = 0; i < n_before; i++) {
        size_t at = 0;
        while (at < stay->n_ahead && stay->ahead[at].name != before[i].name)
            at++;
        if (at == stay->n_ahead)
            etcd_watch_missed(stay->line->watch, before[i].name, before[i].revision);
    }
}

// The watch was silent for so long that we look for ourselves, and tell it what it ought to have
// told us.
static enum rc look_past_watch(struct etcd_stay *stay, int64_t limit_ns)
{
    size_t n_before = stay->n_ahead;
    struct etcd_mark *before CLEANUP(free_memory) = calloc(n_before, sizeof *before);
    if (before == NULL)
        return RC_NO_MEMORY;
    memcpy(before, stay->ahead, n_before * sizeof *before);
    enum rc rc = look(stay, false, limit_ns);
    if (rc == RC_OK)
        report_missed(stay, before, n_before);
    return rc;
}

static enum rc await_turn(struct etcd_stay *stay, int64_t limit_ns)
{
    struct pace pace = {.limit_ns = limit_ns};
    int64_t apart_ns = (limit_ns - clock_now_ns()) / 2; // once at least
    if (apart_ns > LOOK_NS)
        apart_ns = LOOK_NS;
    while (stay->n_ahead > 0) {
        int64_t now_ns = clock_now_ns(), look_ns = now_ns + apart_ns;
        if (stay->line->waiting == ETCD_FAIL || now_ns >= limit_ns)
            return RC_LOCK_BUSY;
        bool notify = stay->line->waiting == ETCD_NOTIFY;
        bool few = notify && etcd_watch_sleep(stay->line->watch, &stay->wait, stay->more ? FEW : 0,
                                              look_ns < limit_ns ? look_ns : limit_ns);
        if (few && !stay->more)
            return RC_OK;
        bool silent = notify && !few && clock_now_ns() >= look_ns;
        // Where the watch is blind it returns at once.
        if (!few && !silent && !stay->wait.lost &&
            !pace_sleep(&pace, (stay->n_ahead + stay->n - 1) / stay->n, stay->more))
            return RC_LOCK_BUSY;
        enum rc rc = stay->wait.lost ? RC_LOCK_LOST
                     : silent        ? look_past_watch(stay, limit_ns)
                                     : look(stay, false, limit_ns);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc etcd_stand_in_line(struct etcd_stay *stay, int64_t limit_ns)
{
    enum rc rc = join(stay, limit_ns);
    if (rc == RC_OK)
        rc = await_turn(stay, limit_ns);
    if (rc == RC_LOCK_LOST)
        etcd_session_doubt(stay->line->session, stay->generation);
    bool trusted = etcd_session_trusted(stay->line->session, stay->generation);
    if (rc == RC_OK && (stay->wait.lost || !trusted))
        return RC_LOCK_LOST;
    return rc == RC_LOCK_BUSY && !trusted ? RC_BACKEND_UNAVAILABLE : rc;
}
