// Load and decide for a whole batch: what the decisions need is read at once, then each work is
// decided in memory, in order of arrival. Every race of the shop happens between this load and
// batch_save.
#include "engine/batch.h"

#include "base/text.h"
#include "domain/kinds.h"
#include "engine/job.h"
#include "store/db/db.h"

#include <stdlib.h>
#include <string.h>

enum rc batch_grow_counters(struct batch *batch, size_t n)
{
    size_t capacity = 2 * n;
    if (n <= batch->counters_capacity)
        return RC_OK;
    struct counter *loaded = realloc(batch->loaded, capacity * sizeof *loaded);
    if (loaded == NULL)
        return RC_NO_MEMORY;
    batch->loaded = loaded;
    struct counter *counters = realloc(batch->counters, capacity * sizeof *counters);
    if (counters == NULL)
        return RC_NO_MEMORY;
    batch->counters = counters;
    batch->counters_capacity = capacity;
    return RC_OK;
}

size_t batch_legs_max(size_t capacity)
{
    return 4 * capacity + LEGS_MAX;
}

enum rc batch_init(struct batch *batch, size_t capacity, struct recent_keys *recent)
{
    size_t works_max = capacity + BATCH_EXPIRIES_MAX;
    size_t legs_max = batch_legs_max(capacity) + BATCH_EXPIRIES_MAX;
    size_t postings_max = 2 * legs_max + POSTINGS_MORE * capacity;
    *batch = (struct batch){.capacity = capacity, .recent = recent};
    batch->works = calloc(works_max, sizeof *batch->works);
    batch->legs = calloc(legs_max, sizeof *batch->legs);
    batch->children = calloc(legs_max, sizeof *batch->children);
    batch->roots = calloc(GUARD_KEYS_MAX, sizeof *batch->roots);
    batch->subjects = calloc(works_max, sizeof *batch->subjects);
    batch->owners = calloc(works_max, sizeof *batch->owners);
    batch->used_loaded = calloc(works_max, sizeof *batch->used_loaded);
    batch->used = calloc(works_max, sizeof *batch->used);
    batch->postings = calloc(postings_max, sizeof *batch->postings);
    batch->rows = calloc(postings_max, sizeof *batch->rows);
    if (batch->works == NULL || batch->legs == NULL || batch->children == NULL ||
        batch->roots == NULL || batch->subjects == NULL || batch->owners == NULL ||
        batch->used_loaded == NULL || batch->used == NULL || batch->postings == NULL ||
        batch->rows == NULL || batch_grow_counters(batch, GUARD_KEYS_MAX) != RC_OK) {
        batch_release(batch);
        return RC_NO_MEMORY;
    }
    return RC_OK;
}

void batch_release(struct batch *batch)
{
    for (size_t i = 0; batch->roots != NULL && i < GUARD_KEYS_MAX; i++)
        root_facts_release(&batch->roots[i].facts);
    free(batch->works);
    free(batch->legs);
    free(batch->children);
    free(batch->expiries);
    free(batch->roots);
    free(batch->loaded);
    free(batch->counters);
    free(batch->subjects);
    free(batch->owners);
    free(batch->used_loaded);
    free(batch->used);
    free(batch->postings);
    free(batch->changes);
    free(batch->durable);
    free(batch->rows);
    *batch = (struct batch){0};
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool batch_is_blind(const struct batch *batch)
{
    for (size_t i = 0; i < batch->n_works; i++) {
        if (!kinds[batch->works[i].operation->kind].blind)
            return false;
    }
    return true;
}

size_t batch_count(const struct batch *batch, enum work_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->n_works + batch->n_expiries; i++)
        count += batch->works[i].state == state;
    return count;
}

int64_t batch_first_deadline(const struct batch *batch)
{
    int64_t first_ns = INT64_MAX / 2; // leaves room to add a grace period
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        if (work->state != WORK_DONE && work->job->deadline_ns < first_ns)
            first_ns = work->job->deadline_ns;
    }
    return first_ns;
}

// ---- load ---------------------------------------------------------------------------------------

enum rc batch_prepare(struct batch *batch, struct db *db)
{
    struct operation **operations CLEANUP(free_memory) = NULL;
    enum rc rc = RC_OK;
    for (int kind = 0; kind < OPERATION_KIND_COUNT && rc == RC_OK; kind++) {
        size_t n = 0;
        if (kind_facts[kind] == NULL || kind_facts[kind]->prepare == NULL)
            continue;
        for (size_t i = 0; i < batch->n_works; i++) {
            const struct work *work = &batch->works[i];
            if (work->state != WORK_PENDING || (int)work->operation->kind != kind)
                continue;
            if (operations == NULL)
                operations = calloc(batch->n_works, sizeof(struct operation *));
            if (operations == NULL)
                return RC_NO_MEMORY;
            operations[n++] = work->operation;
        }
        if (n > 0)
            rc = kind_facts[kind]->prepare(db, operations, n);
    }
    return rc;
}

static size_t first_root(const struct batch *batch, const struct work *work)
{
    return batch->legs[work->first_leg];
}

static bool has_facts_of(const struct batch *batch, const struct work *work, size_t root)
{
    return first_root(batch, work) == root && facts_are_loaded(work->operation);
}

// Lists the subjects of a root's works, each once, and sets every work's index into that list.
static void gather_subjects(struct batch *batch, size_t root, const char *id)
{
    const struct facts *facts = kind_facts[batch->roots[root].operation->kind];
    const char **subjects = batch->subjects + batch->n_subjects;
    size_t n_all = 0, n = 0;
    for (size_t i = 0; i < batch->n_works; i++) {
        if (has_facts_of(batch, &batch->works[i], root))
            subjects[n_all++] = facts->subject(batch->works[i].operation);
    }
    qsort(subjects, n_all, sizeof *subjects, compare_text);
    for (size_t i = 0; i < n_all; i++) {
        if (n == 0 || strcmp(subjects[n - 1], subjects[i]) != 0) {
            batch->owners[batch->n_subjects + n] = id;
            subjects[n++] = subjects[i];
        }
    }
    for (size_t i = 0; i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        if (!has_facts_of(batch, work, root))
            continue;
        const char *subject = facts->subject(work->operation);
        const char **found = bsearch(&subject, subjects, n, sizeof *subjects, compare_text);
        work->subject = (size_t)(found - batch->subjects);
    }
    batch->n_subjects += n;
}

// Puts the root's children behind the counters of the batch.
static enum rc add_children(struct batch *batch, struct root *root)
{
    size_t n = batch->n_counters + root->facts.n_children;
    if (batch_grow_counters(batch, n) != RC_OK)
        return RC_NO_MEMORY;
    root->first_child = batch->n_counters;
    for (size_t i = 0; i < root->facts.n_children; i++)
        batch->loaded[batch->n_counters++] = root->facts.children[i];
    return RC_OK;
}

// Loads the facts of the roots from `first` on whose kinds load the same, and marks them as loaded.
static enum rc load_facts(struct batch *batch, struct db *db, size_t first, bool *loaded)
{
    const char *ids[GUARD_KEYS_MAX];
    struct root_facts *facts[GUARD_KEYS_MAX];
    size_t from = batch->n_subjects;
    struct facts_asked asked = {.ids = ids,
                                .facts = facts,
                                .owners = batch->owners + from,
                                .subjects = batch->subjects + from,
                                .used = batch->used_loaded + from};
    const struct facts *kind = kind_facts[batch->roots[first].operation->kind];
    for (size_t i = first; i < batch->n_roots; i++) {
        struct root *root = &batch->roots[i];
        if (loaded[i] || kind_facts[root->operation->kind]->load != kind->load)
            continue;
        loaded[i] = true;
        ids[asked.n_roots] = counter_id(batch->loaded[i].name);
        facts[asked.n_roots++] = &root->facts;
        root->facts.now_ms = batch->now_ms;
        gather_subjects(batch, i, ids[asked.n_roots - 1]);
    }
    asked.n_subjects = batch->n_subjects - from;
    return kind->load(db, &asked);
}

static enum rc load_all_facts(struct batch *batch, struct db *db)
{
    bool loaded[GUARD_KEYS_MAX] = {false};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < batch->n_roots; i++) {
        // What does not exist and may not be created has no facts.
        const struct operation *operation = batch->roots[i].operation;
        loaded[i] =
            operation == NULL || (batch->loaded[i].version == 0 && !operation->leg.may_create);
        batch->roots[i].facts.n_children = 0;
    }
    for (size_t i = 0; i < batch->n_roots && rc == RC_OK; i++)
        rc = loaded[i] ? RC_OK : load_facts(batch, db, i, loaded);
    for (size_t i = 0; i < batch->n_roots && rc == RC_OK; i++)
        rc = add_children(batch, &batch->roots[i]);
    return rc;
}

// Forgets what an earlier attempt has read besides counters, and its expiries.
static void forget_facts(struct batch *batch)
{
    batch->n_counters = batch->n_roots + batch->n_named;
    batch->n_legs -= batch->n_expiries; // one leg each
    batch->n_subjects = batch->n_expiries = 0;
    batch->more_due = false;
    for (size_t i = 0; i < batch->n_roots; i++)
        batch->roots[i].due_read = false;
    for (size_t i = 0; i < batch->n_works; i++)
        batch->works[i].subject = SIZE_MAX;
}

// Reads the roots and the children that the legs name in one statement, in the order of their
// names.
static enum rc load_counters(struct batch *batch, struct db *db, bool lock)
{
    size_t n = batch->n_counters;
    if (batch->n_named == 0)
        return counter_load(db, batch->loaded, n, lock, &batch->now_ms);
    struct counter *rows CLEANUP(free_memory) = malloc(n * sizeof *rows);
    if (rows == NULL)
        return RC_NO_MEMORY;
    memcpy(rows, batch->loaded, n * sizeof *rows);
    qsort(rows, n, sizeof *rows, counter_compare);
    enum rc rc = counter_load(db, rows, n, lock, &batch->now_ms);
    for (size_t i = 0; i < n && rc == RC_OK; i++)
        batch->loaded[i] = *(struct counter *)bsearch(batch->loaded[i].name, rows, n, sizeof *rows,
                                                      counter_compare_name);
    return rc;
}

enum rc batch_load(struct batch *batch, struct db *db, bool lock)
{
    forget_facts(batch);
    batch->now_ms = 0;
    enum rc rc = load_counters(batch, db, lock);
    if (rc == RC_OK)
        rc = load_all_facts(batch, db);
    // The counter exists, so its facts must exist too.
    return rc == RC_NOT_FOUND ? RC_INTERNAL : rc;
}

void batch_assume_enough(struct batch *batch)
{
    forget_facts(batch);
    batch->now_ms = 0;
    for (size_t i = 0; i < batch->n_counters; i++) {
        bool is_root = i < batch->n_roots; // a child of a blind operation is new
        batch->loaded[i].remaining = is_root ? REMAINING_MAX / 2 : 0;
        batch->loaded[i].version = is_root;
        batch->loaded[i].fence = 0;
    }
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        for (size_t leg = 0; work->state != WORK_DONE && leg < operation_n_legs(work->operation);
             leg++) {
            struct counter *counter = &batch->loaded[batch->legs[work->first_leg + leg]];
            if (operation_leg(work->operation, leg)->fresh)
                counter->version = counter->remaining = 0;
        }
    }
}

uint64_t batch_loaded_fence(const struct batch *batch)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < batch->n_counters; i++) {
        if ((uint64_t)batch->loaded[i].fence > seen)
            seen = (uint64_t)batch->loaded[i].fence;
    }
    return seen;
}

// ---- decide -------------------------------------------------------------------------------------

// A decision has set the reservation's expiry: the other works on it, under whichever root, find the
// new one.
static void note_expiry(struct batch *batch, const char *reservation, int64_t expires_at_ms)
{
    for (size_t i = 0; i < batch->n_works + batch->n_expiries; i++) {
        const struct work *work = &batch->works[i];
        const struct operation *operation = work->operation;
        if (work->subject != SIZE_MAX && operation->reservation != NULL &&
            kind_facts[operation->kind]->subject == subject_reservation &&
            strcmp(operation->reservation, reservation) == 0)
            batch->used[work->subject] = expires_at_ms;
    }
}

static void decide_one(struct batch *batch, struct work *work)
{
    const struct root *root = &batch->roots[first_root(batch, work)];
    struct view view = {.loaded = batch->loaded,
                        .counters = batch->counters,
                        .legs = batch->legs + work->first_leg,
                        .children = batch->children + work->first_leg,
                        .now_ms = batch->now_ms,
                        .limit = root->facts.limit,
                        .lottery = root->facts.lottery,
                        .first_prize = root->first_child,
                        .postings = batch->postings + batch->n_postings};
    if (work->subject != SIZE_MAX) {
        view.used = &batch->used[work->subject];
        view.expires_at_ms = *view.used; // which of the two it is, is its facts'
    }
    const int64_t expires_at_ms = view.expires_at_ms;
    bool accepted = operation_decide(&view, work->operation) == RC_OK;
    work->state = accepted ? WORK_ACCEPTED : WORK_REFUSED;
    work->used_up = view.used_up;
    work->expire_first = view.expire_first;
    work->slot = view.used != NULL ? *view.used : 0;
    const char *reservation = work->operation->reservation;
    if (reservation != NULL && view.expires_at_ms != expires_at_ms)
        note_expiry(batch, reservation, view.expires_at_ms);
    work->first_posting = batch->n_postings;
    work->n_postings = view.n_postings;
    batch->n_postings += view.n_postings;
}

void batch_decide(struct batch *batch)
{
    memcpy(batch->counters, batch->loaded, batch->n_counters * sizeof *batch->counters);
    memcpy(batch->used, batch->used_loaded, batch->n_subjects * sizeof *batch->used);
    batch->n_postings = 0;
    for (size_t i = 0; i < batch->n_expiries; i++)
        decide_one(batch, &batch->works[batch->n_works + i]);
    for (size_t i = 0; i < batch->n_works; i++) {
        if (batch->works[i].state != WORK_DONE)
            decide_one(batch, &batch->works[i]);
    }
}

// ---- refusals -----------------------------------------------------------------------------------

// A subject's limit is judged from two readings: first the counter, then what the subject has. An
// accepted work is saved only if the counter has not moved since, so its two readings belong
// together. A refused work is not saved: a user's last coupon may be younger than the counter that
// was read, and the answer would name a version at which the user had none. So the counter is read
// again, last. What the user had before that reading, the user still has at its version, because
// coupons, draws and earnings are never returned.

static bool is_over_limit(const struct work *work)
{
    return work->state == WORK_REFUSED && work->used_up;
}

enum rc batch_stamp_refusals(struct batch *batch, struct db *db)
{
    struct counter *now CLEANUP(free_memory) = NULL;
    size_t place[GUARD_KEYS_MAX], n = 0; // of each root in `now`
    for (size_t i = 0; i < batch->n_works; i++) {
        const struct work *work = &batch->works[i];
        size_t root = first_root(batch, work);
        // The save checks a counter that has moved.
        if (!is_over_limit(work) || batch->counters[root].version != batch->loaded[root].version)
            continue;
        if (now == NULL) {
            now = calloc(batch->n_roots, sizeof *now);
            memset(place, 0xff, sizeof place);
        }
        if (now == NULL)
            return RC_NO_MEMORY;
        place[root] = 0;
    }
    if (now == NULL)
        return RC_OK;
    for (size_t i = 0; i < batch->n_roots; i++) {
        if (place[i] != SIZE_MAX) {
            place[i] = n;
            now[n++] = batch->loaded[i];
        }
    }
    int64_t now_ms;
    enum rc rc = counter_load(db, now, n, false, &now_ms);
    for (size_t i = 0; rc == RC_OK && i < batch->n_works; i++) {
        struct work *work = &batch->works[i];
        size_t at = place[first_root(batch, work)];
        if (is_over_limit(work) && at != SIZE_MAX) {
            work->operation->outcome.version = now[at].version;
            work->operation->outcome.remaining = now[at].remaining;
        }
    }
    return rc;
}
