// Keeps one lease in etcd alive, on a thread of its own. All lock keys of the process hang on it.
//
// One lease per process, as in etcd's own session library, and not one per lock. Then a lock costs
// two round trips instead of four, and one keep-alive tells whether all locks are valid. That is
// why etcd-lock has no `renew`: a hold has nothing of its own to renew. The price: when the lease
// ends, all locks of the process end.
//
//   - The thread sends a keep-alive after a third of the lease.
//   - The lease is trusted for one TTL, counted by our monotonic clock from the moment at which the
//     last acknowledged keep-alive, or the grant, was sent. etcd began to count later than that.
//   - An answer without a TTL means that the lease has ended. All locks on it are lost. The
//     generation increases, and the thread asks for a new lease at once.
//   - No answer proves nothing. The trust just runs out.
//   - Once the trust has run out, the thread extends the lease only after etcd has confirmed that
//     it still exists. Our requests may arrive although no answer comes back. Such keep-alives
//     would keep keys that are useless to us at the head of every queue.
//
// What breaks it: an operator who revokes the lease; a monotonic clock slower than etcd's.
#include "guard/etcd/session.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <pthread.h>
#include <stdlib.h>

#define RETRY_NS (200 * NS_PER_MS)
#define REQUEST_TIMEOUT_NS NS_PER_S
#define REVOKE_TIMEOUT_NS (500 * NS_PER_MS)
#define IDLE_NS (60 * NS_PER_S)

struct etcd_session {
    struct etcd_client *client;
    int64_t ttl_s; // as requested from etcd
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex;
    pthread_cond_t changed;     // a new lease, its end, a chore, stopping
    bool wanted, stopping;      // wanted: a caller needs a lease
    bool reachable;             // the last request was answered
    bool confirmed;             // by the last answer: the lease exists
    uint64_t generation;        // increases when a lease begins and when it ends
    char lease[ETCD_LEASE_MAX]; // "" while there is none
    int64_t trusted_ns;         // monotonic: trust runs out
    int64_t due_ns;             // monotonic: the next request
    int64_t next_ns;            // monotonic: the thread wakes by itself
    struct chores chores;
};

// ---- the lease ----------------------------------------------------------------------------------

static void drop_lease(struct etcd_session *session)
{
    session->lease[0] = '\0';
    session->trusted_ns = 0;
    session->due_ns = 0;
    session->generation++;
}

enum request { GRANT, KEEP_ALIVE, TIME_TO_LIVE };

// With the mutex held.
static void read_answer(struct etcd_session *session, enum request request, const json_t *answer,
                        int64_t sent_ns)
{
    int64_t ttl_ns = etcd_number(answer, "TTL") * NS_PER_S;
    if (ttl_ns <= 0) {
        LOG_WARNING("etcd: the lease has ended; all locks on it are lost");
        drop_lease(session);
        return;
    }
    if (request == TIME_TO_LIVE) {
        session->due_ns = 0; // it exists: send a keep-alive now
        return;
    }
    if (request == GRANT) {
        const char *id = json_string_value(json_object_get(answer, "ID"));
        text_copy(session->lease, sizeof session->lease, id != NULL ? id : "");
        session->generation++;
    }
    session->trusted_ns = sent_ns + ttl_ns;
    session->due_ns = sent_ns + ttl_ns / 3;
}

static enum request next_request(const struct etcd_session *session)
{
    if (session->lease[0] == '\0')
        return GRANT;
    return session->confirmed || clock_now_ns() < session->trusted_ns ? KEEP_ALIVE : TIME_TO_LIVE;
}

// Called with the mutex held; releases it during the request.
static void send_request(struct etcd_session *session)
{
    static const char *const paths[] = {"/v3/lease/grant", "/v3/lease/keepalive",
                                        "/v3/lease/timetolive"};
    char body[64];
    enum request request = next_request(session);
    if (request == GRANT)
        text_format(body, sizeof body, "{\"TTL\":\"%lld\"}", (long long)session->ttl_s);
    else
        text_format(body, sizeof body, "{\"ID\":\"%s\"}", session->lease);
    uint64_t generation = session->generation;
    pthread_mutex_unlock(&session->mutex);

    int64_t sent_ns = clock_now_ns(), timeout_ns = session->ttl_s * NS_PER_S / 3;
    if (timeout_ns > REQUEST_TIMEOUT_NS)
        timeout_ns = REQUEST_TIMEOUT_NS;
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    enum rc rc =
        etcd_request(session->client, paths[request], body, sent_ns + timeout_ns, &answer, NULL);
    pthread_mutex_lock(&session->mutex);
    session->reachable = rc != RC_BACKEND_UNAVAILABLE;
    session->confirmed = session->reachable && request == TIME_TO_LIVE;
    session->due_ns = clock_now_ns() + RETRY_NS;
    if (session->generation == generation && session->reachable)
        read_answer(session, request,
                    request == KEEP_ALIVE ? json_object_get(answer, "result") : answer, sent_ns);
    pthread_cond_broadcast(&session->changed);
}

// ---- the session's thread -----------------------------------------------------------------------

static void sleep_until_due(struct etcd_session *session, int64_t now_ns)
{
    session->next_ns = session->wanted ? session->due_ns : now_ns + IDLE_NS;
    if (session->reachable && chores_due(&session->chores) < session->next_ns)
        session->next_ns = chores_due(&session->chores);
    clock_wait(&session->changed, &session->mutex, session->next_ns);
}

static void *session_main(void *arg)
{
    struct etcd_session *session = arg;
    pthread_mutex_lock(&session->mutex);
    while (!session->stopping) {
        int64_t now_ns = clock_now_ns();
        if (session->wanted && now_ns >= session->due_ns)
            send_request(session);
        else if (!chores_run_one(&session->chores, now_ns, session->reachable, session->generation))
            sleep_until_due(session, now_ns);
    }
    pthread_mutex_unlock(&session->mutex);
    return NULL;
}

// ---- new and free -------------------------------------------------------------------------------

enum rc etcd_session_new(struct etcd_client *client, int64_t ttl_ms,
                         struct etcd_session **ret_session)
{
    struct etcd_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return RC_NO_MEMORY;
    session->client = client;
    session->ttl_s = (ttl_ms + 999) / 1000;
    pthread_cond_init(&session->changed, NULL);
    pthread_mutex_init(&session->mutex, NULL);
    session->chores = (struct chores){.mutex = &session->mutex, .changed = &session->changed};
    session->started = pthread_create(&session->thread, NULL, session_main, session) == 0;
    if (!session->started) {
        etcd_session_free(session);
        return RC_NO_MEMORY;
    }
    *ret_session = session;
    return RC_OK;
}

static void revoke_lease(struct etcd_session *session)
{
    char body[64];
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    text_format(body, sizeof body, "{\"ID\":\"%s\"}", session->lease);
    (void)!etcd_request(session->client, "/v3/lease/revoke", body,
                        clock_now_ns() + REVOKE_TIMEOUT_NS, &answer, NULL);
}

void etcd_session_free(struct etcd_session *session)
{
    if (session == NULL)
        return;
    if (session->started) {
        pthread_mutex_lock(&session->mutex);
        session->stopping = true;
        pthread_cond_broadcast(&session->changed);
        pthread_mutex_unlock(&session->mutex);
        pthread_join(session->thread, NULL);
    }
    if (session->lease[0] != '\0')
        revoke_lease(session);
    chores_free(&session->chores);
    pthread_mutex_destroy(&session->mutex);
    pthread_cond_destroy(&session->changed);
    free(session);
}

// ---- for other threads --------------------------------------------------------------------------

static bool trusted(const struct etcd_session *session)
{
    return session->lease[0] != '\0' && clock_now_ns() < session->trusted_ns;
}

enum rc etcd_session_ready(struct etcd_session *session, int64_t limit_ns, uint64_t *ret_generation,
                           char *ret_lease)
{
    bool ready;
    pthread_mutex_lock(&session->mutex);
    if (!session->wanted) {
        session->wanted = true;
        pthread_cond_broadcast(&session->changed);
    }
    while (!(ready = trusted(session)))
        if (!clock_wait(&session->changed, &session->mutex, limit_ns))
            break;
    *ret_generation = session->generation;
    text_copy(ret_lease, ETCD_LEASE_MAX, session->lease);
    pthread_mutex_unlock(&session->mutex);
    return ready ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

bool etcd_session_trusted(struct etcd_session *session, uint64_t generation)
{
    pthread_mutex_lock(&session->mutex);
    bool is_trusted = session->generation == generation && trusted(session);
    pthread_mutex_unlock(&session->mutex);
    return is_trusted;
}

bool etcd_session_alive(struct etcd_session *session, uint64_t generation)
{
    pthread_mutex_lock(&session->mutex);
    bool alive = session->generation == generation;
    pthread_mutex_unlock(&session->mutex);
    return alive;
}

void etcd_session_recheck(struct etcd_session *session, uint64_t generation)
{
    pthread_mutex_lock(&session->mutex);
    if (session->generation == generation) {
        session->due_ns = 0;
        pthread_cond_broadcast(&session->changed);
    }
    pthread_mutex_unlock(&session->mutex);
}

void etcd_session_ended(struct etcd_session *session, uint64_t generation)
{
    pthread_mutex_lock(&session->mutex);
    if (session->generation == generation && session->lease[0] != '\0') {
        drop_lease(session);
        pthread_cond_broadcast(&session->changed);
    }
    pthread_mutex_unlock(&session->mutex);
}

void etcd_session_add(struct etcd_session *session, struct chore *chore)
{
    pthread_mutex_lock(&session->mutex);
    chores_add(&session->chores, chore);
    if (chore->due_ns < session->next_ns) // else the thread wakes early enough
        pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->mutex);
}

bool etcd_session_cancel_chore(struct etcd_session *session, struct chore *chore)
{
    pthread_mutex_lock(&session->mutex);
    bool taken = chores_cancel(&session->chores, chore);
    pthread_mutex_unlock(&session->mutex);
    return taken;
}
