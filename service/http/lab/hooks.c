// What the laboratory does at the pause points of its engines: it writes the record, lets requests
// think, makes the first buyer sleep, holds requests of a manual run at their stops, and takes and
// gives back a lock at a wrong place.
//
// The hook runs on the engine's worker. Under such a lock the engine runs `none`, which has no
// transaction open where the lock is taken and given back, so it may use the section's connection.
#include "http/lab/run.h"

#include "base/clock.h"
#include "base/text.h"
#include "engine/batch.h"
#include "guard/strategy/registry.h"

#include <string.h>

static struct actor *actor_of(const struct work *work)
{
    if (work->job == NULL)
        return NULL; // an expiry
    struct call *call = CONTAINER_OF(work->job, struct call, job);
    struct actor *actor = CONTAINER_OF(call, struct actor, call);
    return actor->number != SIZE_MAX ? actor : NULL;
}

void run_note(struct actor *actor, struct lab_event event)
{
    if (actor->number == SIZE_MAX)
        return;
    event.actor = actor->number;
    record_add(&actor->run->record, event);
    pthread_mutex_lock(&actor->run->mutex);
    actor->at = event.step;
    pthread_mutex_unlock(&actor->run->mutex);
}

size_t run_leg(const struct run *run, struct operation *operation)
{
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        if (strcmp(operation_leg(operation, i)->counter, run->scenario->counter) == 0)
            return i;
    }
    return 0;
}

// ---- waiting ------------------------------------------------------------------------------------

// Sleeps, but not after a cancellation.
static void wait_ns(struct run *run, int64_t duration_ns)
{
    int64_t until_ns = clock_now_ns() + duration_ns;
    pthread_mutex_lock(&run->mutex);
    while (!run->cancelled && clock_now_ns() < until_ns)
        (void)clock_wait(&run->changed, &run->mutex, until_ns);
    pthread_mutex_unlock(&run->mutex);
}

// Manual runs: until a step is granted.
static void stop(struct actor *actor)
{
    struct run *run = actor->run;
    if (!run->settings.manual)
        return;
    pthread_mutex_lock(&run->mutex);
    actor->waiting = true;
    pthread_cond_broadcast(&run->changed);
    while (actor->permits == 0 && !run->cancelled)
        pthread_cond_wait(&run->changed, &run->mutex);
    actor->permits -= actor->permits > 0;
    actor->waiting = false;
    pthread_mutex_unlock(&run->mutex);
}

// Between a half and one and a half of think_ms, by the seed and the actor's number.
static void think(struct actor *actor)
{
    const struct lab_settings *settings = &actor->run->settings;
    uint64_t hash = text_hash_int(TEXT_HASH_START, settings->seed);
    hash = text_hash_int(hash, (int64_t)actor->number) >> 32;
    int64_t think_ns = settings->think_ms * NS_PER_MS;
    if (!settings->manual && think_ns > 0)
        wait_ns(actor->run, think_ns / 2 + (int64_t)(hash % (uint64_t)think_ns));
}

// Another actor that holds the misplaced lock; NULL if there is none. With the run's mutex held.
static struct actor *other_holder(const struct actor *actor)
{
    struct run *run = actor->run;
    int64_t now_ns = clock_now_ns();
    for (size_t i = 0; i < run->n_actors; i++) {
        struct actor *other = &run->actors[i];
        if (other->holds && other != actor && other->hold.expires_ns > now_ns)
            return other;
    }
    return NULL;
}

// On a busy machine the next holder is late, and then there is no lock of another to give back.
static void await_other_holder(struct actor *actor)
{
    struct run *run = actor->run;
    bool found = false;
    for (int i = 0; i < 100 && !found && !run->cancelled; i++) {
        pthread_mutex_lock(&run->mutex);
        found = other_holder(actor) != NULL;
        pthread_mutex_unlock(&run->mutex);
        wait_ns(run, 10 * NS_PER_MS);
    }
}

static void sleep_once(struct actor *actor, enum pause_point point)
{
    struct run *run = actor->run;
    if (actor->number != 0 || actor->slept || point != run->scenario->sleeps)
        return;
    actor->slept = actor->act[1].what == NULL; // in its last request
    if (!actor->slept || run->settings.manual)
        return;
    wait_ns(run, run->settings.sleep_ms * NS_PER_MS);
    if (run->settings.lock == LAB_LOCK_NO_OWNER)
        await_other_holder(actor);
}

// ---- the misplaced lock -------------------------------------------------------------------------

static void lock(struct actor *actor, struct db *db)
{
    struct run *run = actor->run;
    if (actor->holds)
        return;
    enum rc rc = RC_LOCK_BUSY;
    while (rc == RC_LOCK_BUSY && !run->cancelled)
        rc = guard_enter(run->guard, db, &run->scenario->counter, 1, actor->call.job.deadline_ns,
                         &actor->hold);
    pthread_mutex_lock(&run->mutex);
    actor->holds = rc == RC_OK;
    pthread_mutex_unlock(&run->mutex);
}

static void unlock(struct actor *actor, struct db *db)
{
    struct run *run = actor->run;
    pthread_mutex_lock(&run->mutex);
    bool holds = actor->holds;
    actor->holds = false;
    pthread_mutex_unlock(&run->mutex);
    if (holds)
        (void)guard_leave(run->guard, db, &actor->hold);
}

// Gives back the lock of its present holder, as a program that does not compare the owner does.
static void unlock_any(struct actor *actor, struct db *db)
{
    struct run *run = actor->run;
    pthread_mutex_lock(&run->mutex);
    struct actor *holder = other_holder(actor);
    if (holder != NULL)
        holder->holds = false;
    pthread_mutex_unlock(&run->mutex);
    if (holder != NULL)
        (void)guard_leave(run->guard, db, &holder->hold);
    unlock(actor, db);
}

static void note_expiry(struct actor *actor)
{
    if (actor->holds && actor->hold.expires_ns <= clock_now_ns())
        run_note(actor, (struct lab_event){.step = LAB_EXPIRED});
}

// ---- the pause points ---------------------------------------------------------------------------

static bool has_lock(const struct run *run)
{
    const struct strategy *strategy = strategy_find(run->settings.strategy);
    return strategy->scope == SCOPE_PROCESS || strategy_is_lock(strategy);
}

static void note_left(struct actor *actor, bool left)
{
    pthread_mutex_lock(&actor->run->mutex);
    actor->left = left;
    if (actor->run->settings.manual)
        pthread_cond_broadcast(&actor->run->changed);
    pthread_mutex_unlock(&actor->run->mutex);
}

static void before_load(struct actor *actor, const struct paused *paused)
{
    enum lab_lock place = actor->run->settings.lock;
    note_left(actor, false);
    if (place != LAB_LOCK_NONE && place != LAB_LOCK_CHECK_FIRST)
        lock(actor, paused->db);
    if (place != LAB_LOCK_CHECK_FIRST)
        run_note(actor, (struct lab_event){.step = LAB_LOCK});
    if (has_lock(actor->run) && place != LAB_LOCK_CHECK_FIRST)
        stop(actor);
}

static void note_read(struct actor *actor, const struct batch *batch, const struct work *work)
{
    size_t leg = run_leg(actor->run, work->operation);
    const struct counter *read = &batch->loaded[batch->legs[work->first_leg + leg]];
    if (batch->now_ms == 0)
        return; // nothing was read: the save finds out
    run_note(actor, (struct lab_event){
                        .step = LAB_READ, .version = read->version, .remaining = read->remaining});
}

static void leave_early(struct actor *actor, struct db *db)
{
    unlock(actor, db);
    run_note(actor, (struct lab_event){.step = LAB_LEAVE});
}

// Once a batch: the actor is the first whose request is to be saved.
static void before_save(struct actor *actor, const struct paused *paused)
{
    enum lab_lock place = actor->run->settings.lock;
    if (place == LAB_LOCK_UNLOCK_EARLY)
        leave_early(actor, paused->db);
    think(actor);
    sleep_once(actor, paused->point);
    note_expiry(actor);
    stop(actor);
    if (place != LAB_LOCK_CHECK_FIRST)
        return;
    lock(actor, paused->db);
    run_note(actor, (struct lab_event){.step = LAB_LOCK});
}

static void after_commit(struct actor *actor, const struct work *work)
{
    const struct outcome *outcome = &work->operation->outcome;
    if (outcome->replayed || outcome->rc != RC_OK)
        return;
    const struct leg *leg = operation_leg(work->operation, run_leg(actor->run, work->operation));
    run_note(actor, (struct lab_event){
                        .step = LAB_SAVE, .version = leg->version, .remaining = leg->remaining});
}

static void before_leave(struct actor *actor, const struct paused *paused)
{
    enum lab_lock place = actor->run->settings.lock;
    sleep_once(actor, paused->point);
    note_expiry(actor);
    if (has_lock(actor->run))
        stop(actor);
    if (place != LAB_LOCK_UNLOCK_EARLY || actor->holds) // else it has left before its save
        run_note(actor, (struct lab_event){.step = LAB_LEAVE});
    if (place == LAB_LOCK_NO_OWNER)
        unlock_any(actor, paused->db);
    else if (place != LAB_LOCK_NONE)
        unlock(actor, paused->db);
    note_left(actor, true);
}

static void at_pause(void *arg, const struct paused *paused)
{
    (void)arg;
    struct actor *saver = NULL;
    for (size_t i = 0; i < paused->batch->n_works; i++) {
        const struct work *work = &paused->batch->works[i];
        struct actor *actor = actor_of(work);
        if (actor == NULL)
            continue;
        if (paused->point == PAUSE_BEFORE_LOAD)
            before_load(actor, paused);
        if (paused->point == PAUSE_AFTER_COMMIT)
            after_commit(actor, work);
        if (paused->point == PAUSE_BEFORE_LEAVE)
            before_leave(actor, paused);
        if (paused->point != PAUSE_BEFORE_SAVE || work->state != WORK_ACCEPTED)
            continue;
        note_read(actor, paused->batch, work);
        if (saver == NULL)
            saver = actor;
    }
    if (saver != NULL)
        before_save(saver, paused);
}

struct engine_hooks run_hooks(struct run *run)
{
    return (struct engine_hooks){.pause = at_pause, .arg = run};
}
