// The thread that renews leases.
//
// Problem: a lease must be longer than the slowest honest section, and as short as possible for
// the waiters behind a holder that died. No fixed length is both.
//
// Approach: leases are short, and one thread extends those of all holds that are inside. It always
// serves the hold that is due first. A renewal times out after a sixth of the lease. When a server
// does not answer, all holds of its guard back off, so that every other guard has its turn between
// two timeouts. A lease is due at a third; two silent servers cost a sixth each; so a third is left
// for a server that answers. After lock.max_hold_ms a hold is no longer renewed: a stuck worker
// loses its lock although its process is alive.
//
// What breaks it: correct numbers do not depend on it; a lease that expires too soon only costs a
// second attempt. A silent database holds the thread for at least one second, whatever the lease
// (see db_limit_waits).
#include "guard/renewal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "guard/guard.h"
#include "store/db/db.h"

#include <pthread.h>
#include <stdlib.h>

#define NOTHING_DUE INT64_MAX

struct renewal {
    const struct guard_settings *settings;
    struct store *store;
    renewal_event_fn on_event;
    struct db *db; // the thread's; NULL until the first renewal
    pthread_t thread;

    pthread_mutex_t mutex;    // protects everything below, and `renewal` of every hold
    pthread_cond_t earlier;   // something is due before wakes_ns, or stopping
    pthread_cond_t done;      // `busy` has changed
    struct guard_hold *holds; // being renewed, in no order
    struct guard_hold *busy;  // its renewal is in flight, without the mutex
    int64_t wakes_ns;         // when the thread wakes by itself
    bool stopping;
};

static int64_t part_of_ttl(const struct renewal *renewal, int64_t divisor)
{
    return renewal->settings->lock_ttl_ms * NS_PER_MS / divisor;
}

// A third of the lease, or up to a fifth of that earlier: jitter keeps holds from renewing in step.
static int64_t next_due(const struct renewal *renewal, int64_t now_ns)
{
    int64_t jitter_ns = (int64_t)random_below((uint64_t)part_of_ttl(renewal, 15) + 1);
    return now_ns + part_of_ttl(renewal, 3) - jitter_ns;
}

static void report(const struct renewal *renewal, struct guard_hold *hold, enum renewal_event event)
{
    if (renewal->on_event != NULL)
        renewal->on_event(hold->renewal.guard, hold, event);
}

// ---- the list; all with the mutex held ----------------------------------------------------------

static void link_hold(struct renewal *renewal, struct guard_hold *hold)
{
    hold->renewal.next = renewal->holds;
    hold->renewal.link = &renewal->holds;
    if (renewal->holds != NULL)
        renewal->holds->renewal.link = &hold->renewal.next;
    renewal->holds = hold;
}

static void unlink_hold(struct guard_hold *hold)
{
    if (hold->renewal.link == NULL)
        return;
    *hold->renewal.link = hold->renewal.next;
    if (hold->renewal.next != NULL)
        hold->renewal.next->renewal.link = hold->renewal.link;
    hold->renewal.link = NULL;
}

static struct guard_hold *first_due(const struct renewal *renewal)
{
    struct guard_hold *first = renewal->holds;
    for (struct guard_hold *hold = first; hold != NULL; hold = hold->renewal.next) {
        if (hold->renewal.due_ns < first->renewal.due_ns)
            first = hold;
    }
    return first;
}

// ---- the thread ---------------------------------------------------------------------------------

static struct db *connection(struct renewal *renewal)
{
    if (renewal->db == NULL && db_new(renewal->store, &renewal->db) == RC_OK)
        db_limit_waits(renewal->db, part_of_ttl(renewal, 6) / NS_PER_MS);
    return renewal->db;
}

// One round trip to the lock server, without the mutex.
static enum rc send_renewal(struct renewal *renewal, const struct guard_hold *hold,
                            int64_t *ret_expires_ns)
{
    struct guard *guard = hold->renewal.guard;
    struct db *db = connection(renewal);
    if (db == NULL)
        return RC_BACKEND_UNAVAILABLE;
    int64_t deadline_ns = clock_now_ns() + part_of_ttl(renewal, 6), expires_ns = hold->expires_ns;
    return guard->strategy->renew(
        guard, db, hold, deadline_ns < expires_ns ? deadline_ns : expires_ns, ret_expires_ns);
}

static void mark_lost(struct renewal *renewal, struct guard_hold *hold, const char *why)
{
    hold->expires_ns = 0;
    report(renewal, hold, RENEWAL_LOST);
    LOG_WARNING("%s of %s was lost: %s", hold->renewal.guard->strategy->name, hold->keys[0], why);
    unlink_hold(hold);
}

// The server behind this guard does not answer: delays the guard's other renewals as well.
static void back_off(struct renewal *renewal, const struct guard *guard)
{
    int64_t again_ns = clock_now_ns() + part_of_ttl(renewal, 12);
    for (struct guard_hold *hold = renewal->holds; hold != NULL; hold = hold->renewal.next) {
        if (hold->renewal.guard == guard && hold->renewal.due_ns < again_ns)
            hold->renewal.due_ns = again_ns;
    }
}

// With the mutex held; releases it during the round trip. The hold stays linked meanwhile, because
// renewal_remove waits for it.
static void renew(struct renewal *renewal, struct guard_hold *hold)
{
    struct guard *guard = hold->renewal.guard;
    int64_t now_ns = clock_now_ns(), expires_ns = 0;
    if (now_ns >= hold->expires_ns) {
        mark_lost(renewal, hold, "its lease expired before it was extended");
        return;
    }
    if (now_ns >= hold->renewal.until_ns) {
        report(renewal, hold, RENEWAL_ENDED);
        LOG_WARNING("%s of %s is no longer renewed: held for longer than lock.max_hold_ms",
                    guard->strategy->name, hold->keys[0]);
        unlink_hold(hold);
        return;
    }
    renewal->busy = hold;
    pthread_mutex_unlock(&renewal->mutex);
    enum rc rc = send_renewal(renewal, hold, &expires_ns);
    pthread_mutex_lock(&renewal->mutex);
    renewal->busy = NULL;
    pthread_cond_broadcast(&renewal->done);
    if (rc == RC_OK) {
        hold->expires_ns = expires_ns;
        hold->renewal.due_ns = next_due(renewal, now_ns);
        report(renewal, hold, RENEWAL_EXTENDED);
    } else if (rc == RC_LOCK_LOST) {
        mark_lost(renewal, hold, "the server does not have it as ours any more");
    } else {
        report(renewal, hold, RENEWAL_FAILED);
        back_off(renewal, guard);
    }
}

// Sleeps until then. A hold that is due earlier, or the stop, ends the sleep.
static void wait_until(struct renewal *renewal, int64_t wakes_ns)
{
    renewal->wakes_ns = wakes_ns;
    if (wakes_ns == NOTHING_DUE)
        pthread_cond_wait(&renewal->earlier, &renewal->mutex);
    else
        clock_wait(&renewal->earlier, &renewal->mutex, wakes_ns);
}

static void *run(void *arg)
{
    struct renewal *renewal = arg;
    pthread_mutex_lock(&renewal->mutex);
    while (!renewal->stopping) {
        struct guard_hold *hold = first_due(renewal);
        if (hold != NULL && clock_now_ns() >= hold->renewal.due_ns)
            renew(renewal, hold);
        else
            wait_until(renewal, hold != NULL ? hold->renewal.due_ns : NOTHING_DUE);
    }
    pthread_mutex_unlock(&renewal->mutex);
    return NULL;
}

// ---- the callers --------------------------------------------------------------------------------

// The thread mostly sleeps until a hold that has left long ago would have been due. A hold that is
// due later than that does not wake it, so entering costs no thread switch.
void renewal_add(struct renewal *renewal, struct guard *guard, struct guard_hold *hold)
{
    hold->renewal.guard = guard;
    hold->renewal.due_ns = next_due(renewal, hold->entered_ns);
    hold->renewal.until_ns = hold->entered_ns + renewal->settings->lock_max_hold_ms * NS_PER_MS;
    pthread_mutex_lock(&renewal->mutex);
    link_hold(renewal, hold);
    if (hold->renewal.due_ns < renewal->wakes_ns)
        pthread_cond_signal(&renewal->earlier);
    pthread_mutex_unlock(&renewal->mutex);
}

void renewal_remove(struct renewal *renewal, struct guard_hold *hold)
{
    pthread_mutex_lock(&renewal->mutex);
    while (renewal->busy == hold)
        pthread_cond_wait(&renewal->done, &renewal->mutex);
    unlink_hold(hold);
    pthread_mutex_unlock(&renewal->mutex);
}

enum rc renewal_new(const struct guard_settings *settings, struct store *store,
                    renewal_event_fn on_event, struct renewal **ret_renewal)
{
    struct renewal *renewal = calloc(1, sizeof *renewal);
    if (renewal == NULL)
        return RC_NO_MEMORY;
    renewal->settings = settings;
    renewal->store = store;
    renewal->on_event = on_event;
    pthread_mutex_init(&renewal->mutex, NULL);
    pthread_cond_init(&renewal->earlier, NULL);
    pthread_cond_init(&renewal->done, NULL);
    if (pthread_create(&renewal->thread, NULL, run, renewal) != 0) {
        pthread_cond_destroy(&renewal->earlier);
        pthread_cond_destroy(&renewal->done);
        pthread_mutex_destroy(&renewal->mutex);
        free(renewal);
        return RC_NO_MEMORY;
    }
    *ret_renewal = renewal;
    return RC_OK;
}

void renewal_free(struct renewal *renewal)
{
    if (renewal == NULL)
        return;
    pthread_mutex_lock(&renewal->mutex);
    renewal->stopping = true;
    pthread_cond_signal(&renewal->earlier);
    pthread_mutex_unlock(&renewal->mutex);
    pthread_join(renewal->thread, NULL);
    db_free(renewal->db);
    pthread_cond_destroy(&renewal->earlier);
    pthread_cond_destroy(&renewal->done);
    pthread_mutex_destroy(&renewal->mutex);
    free(renewal);
}
