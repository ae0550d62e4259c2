// A held line knows its tenure, because a lock is a lease: when that has run out and the holder has
// not come back, the first in line does not wait for it any longer and asks Redis for itself. The
// late holder's tenure is then nobody's but its own, and frees nothing of the next one's.
#include "guard/redis/line.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/guard.h"
#include "guard/redis/claim.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256

struct waiter {
    struct waiter *next;
    pthread_cond_t cond;
    bool called;
    enum redis_turn turn; // once called
    struct redis_tenure *tenure;
    enum rc rc;
};

struct redis_line {
    struct redis_line *next; // in its bucket
    struct waiter *first, *last;
    struct redis_tenure *tenure; // held; NULL: asked
    uint64_t hash;
    char name[]; // the keys, with blanks between
};

struct redis_lines {
    pthread_mutex_t mutex;
    struct redis_line *buckets[BUCKETS]; // those that are not open
};

// ---- the tenure ---------------------------------------------------------------------------------

struct redis_tenure *redis_tenure_new(const char *const *keys, size_t n,
                                      const struct guard_settings *settings, const char *name)
{
    struct redis_tenure *tenure = calloc(1, sizeof *tenure);
    if (tenure == NULL)
        return NULL;
    tenure->claim = redis_claim_new(keys, n, settings->lock_ttl_ms, settings->instance, name);
    if (tenure->claim == NULL) {
        free(tenure);
        return NULL;
    }
    return tenure;
}

void redis_tenure_free(struct redis_tenure *tenure)
{
    if (tenure == NULL)
        return;
    free(tenure->claim);
    free(tenure);
}

struct redis_claim *redis_tenure_end(struct redis_tenure *tenure)
{
    struct redis_claim *claim = tenure->claim;
    free(tenure);
    return claim;
}

void redis_tenure_begin(struct redis_tenure *tenure, uint64_t token, uint64_t tokens,
                        int64_t expires_ns)
{
    tenure->begun_ns = clock_now_ns();
    tenure->expires_ns = expires_ns;
    tenure->token = token;
    tenure->tokens = tokens;
}

uint64_t redis_tenure_token(struct redis_tenure *tenure)
{
    return tenure->token - --tenure->tokens;
}

// ---- open and close -----------------------------------------------------------------------------

enum rc redis_lines_new(struct redis_lines **ret_lines)
{
    struct redis_lines *lines = calloc(1, sizeof *lines);
    if (lines == NULL)
        return RC_NO_MEMORY;
    pthread_mutex_init(&lines->mutex, NULL);
    *ret_lines = lines;
    return RC_OK;
}

void redis_lines_free(struct redis_lines *lines)
{
    if (lines == NULL)
        return;
    pthread_mutex_destroy(&lines->mutex);
    free(lines);
}

// ---- under the mutex ----------------------------------------------------------------------------

static struct redis_line *find(struct redis_lines *lines, uint64_t hash, const char *name)
{
    struct redis_line *line = lines->buckets[hash % BUCKETS];
    while (line != NULL && (line->hash != hash || strcmp(line->name, name) != 0))
        line = line->next;
    return line;
}

static struct redis_line *add(struct redis_lines *lines, uint64_t hash, const char *name)
{
    size_t size = strlen(name) + 1;
    struct redis_line *line = malloc(sizeof *line + size);
    if (line == NULL)
        return NULL;
    *line = (struct redis_line){.next = lines->buckets[hash % BUCKETS], .hash = hash};
    memcpy(line->name, name, size);
    lines->buckets[hash % BUCKETS] = line;
    return line;
}

// Nobody is in it any more.
static void open_up(struct redis_lines *lines, struct redis_line *line)
{
    struct redis_line **at = &lines->buckets[line->hash % BUCKETS];
    while (*at != line)
        at = &(*at)->next;
    *at = line->next;
    free(line);
}

// Who has become the first must mind the lease of the tenure, and wakes up to do so.
static void stir_first(struct redis_line *line)
{
    if (line->first != NULL && line->tenure != NULL)
        pthread_cond_signal(&line->first->cond);
}

static void append(struct redis_line *line, struct waiter *waiter)
{
    if (line->first == NULL)
        line->first = waiter;
    else
        line->last->next = waiter;
    line->last = waiter;
}

static void remove_waiter(struct redis_line *line, struct waiter *waiter)
{
    struct waiter *before = NULL, **at = &line->first;
    while (*at != waiter) {
        before = *at;
        at = &before->next;
    }
    *at = waiter->next;
    if (line->last == waiter)
        line->last = before;
    if (before == NULL)
        stir_first(line);
}

// The first in line, if any, goes on with this.
static bool call_first(struct redis_line *line, enum redis_turn turn, struct redis_tenure *tenure,
                       enum rc rc)
{
    struct waiter *waiter = line->first;
    if (waiter == NULL)
        return false;
    remove_waiter(line, waiter);
    waiter->called = true;
    waiter->turn = turn;
    waiter->tenure = tenure;
    waiter->rc = rc;
    pthread_cond_signal(&waiter->cond);
    return true;
}

static void wait_in(struct redis_lines *lines, struct redis_line *line, struct waiter *waiter,
                    int64_t limit_ns)
{
    append(line, waiter);
    while (!waiter->called) {
        int64_t now_ns = clock_now_ns(), until_ns = limit_ns;
        struct redis_tenure *tenure = line->first == waiter ? line->tenure : NULL;
        int64_t expires_ns = tenure != NULL ? tenure->expires_ns : INT64_MAX;
        if (tenure != NULL && now_ns >= expires_ns) {
            tenure->line = NULL;
            line->tenure = NULL;
            call_first(line, REDIS_TURN_ASK, NULL, RC_OK);
        } else if (now_ns >= limit_ns) {
            remove_waiter(line, waiter);
            waiter->called = true;
            waiter->turn = REDIS_TURN_LATE;
        } else {
            if (expires_ns < until_ns)
                until_ns = expires_ns;
            clock_wait(&waiter->cond, &lines->mutex, until_ns);
        }
    }
}

// ---- the line -----------------------------------------------------------------------------------

static void name_set(struct buffer *name, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buffer_append_text(name, " ");
        buffer_append_text(name, keys[i]);
    }
}

static void waiter_init(struct waiter *waiter)
{
    *waiter = (struct waiter){.rc = RC_OK};
    pthread_cond_init(&waiter->cond, NULL);
}

enum redis_turn redis_lines_enter(struct redis_lines *lines, const char *const *keys, size_t n,
                                  int64_t limit_ns, struct redis_line **ret_line,
                                  struct redis_tenure **ret_tenure, enum rc *ret_rc)
{
    struct buffer name CLEANUP(buffer_release) = {0};
    name_set(&name, keys, n);
    *ret_tenure = NULL;
    *ret_rc = RC_NO_MEMORY;
    if (name.data == NULL || name.failed)
        return REDIS_TURN_FAIL;
    uint64_t hash = text_hash(TEXT_HASH_START, name.data, name.length);
    struct waiter waiter;
    waiter_init(&waiter);
    pthread_mutex_lock(&lines->mutex);
    struct redis_line *line = find(lines, hash, name.data);
    if (line != NULL) {
        wait_in(lines, line, &waiter, limit_ns);
    } else {
        line = add(lines, hash, name.data);
        waiter.turn = line != NULL ? REDIS_TURN_ASK : REDIS_TURN_FAIL;
        waiter.rc = RC_NO_MEMORY;
    }
    pthread_mutex_unlock(&lines->mutex);
    pthread_cond_destroy(&waiter.cond);
    *ret_line = line;
    *ret_tenure = waiter.tenure;
    *ret_rc = waiter.rc;
    return waiter.turn;
}

void redis_line_won(struct redis_lines *lines, struct redis_line *line, struct redis_tenure *tenure)
{
    pthread_mutex_lock(&lines->mutex);
    tenure->line = line;
    line->tenure = tenure;
    stir_first(line);
    pthread_mutex_unlock(&lines->mutex);
}

bool redis_line_give_up(struct redis_lines *lines, struct redis_line *line,
                        struct redis_tenure *tenure)
{
    pthread_mutex_lock(&lines->mutex);
    bool goes_on = call_first(line, REDIS_TURN_ASK, tenure, RC_OK);
    if (!goes_on)
        open_up(lines, line);
    pthread_mutex_unlock(&lines->mutex);
    return goes_on;
}

void redis_line_fail(struct redis_lines *lines, struct redis_line *line, enum rc rc)
{
    pthread_mutex_lock(&lines->mutex);
    while (call_first(line, REDIS_TURN_FAIL, NULL, rc))
        continue;
    open_up(lines, line);
    pthread_mutex_unlock(&lines->mutex);
}

bool redis_line_pass(struct redis_lines *lines, struct redis_tenure *tenure)
{
    pthread_mutex_lock(&lines->mutex);
    bool passed = tenure->line != NULL && call_first(tenure->line, REDIS_TURN_HOLD, tenure, RC_OK);
    pthread_mutex_unlock(&lines->mutex);
    return passed;
}

void redis_line_leave(struct redis_lines *lines, struct redis_tenure *tenure)
{
    pthread_mutex_lock(&lines->mutex);
    struct redis_line *line = tenure->line;
    tenure->line = NULL;
    if (line != NULL) {
        line->tenure = NULL;
        if (!call_first(line, REDIS_TURN_ASK, NULL, RC_OK))
            open_up(lines, line);
    }
    pthread_mutex_unlock(&lines->mutex);
}
