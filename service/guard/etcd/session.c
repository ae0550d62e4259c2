// A lease a process, as etcd's own session does it, and not one a lock: a lock costs two round
// trips then, not four, and there is one keep-alive to judge them all by. That is also why
// etcd-lock has no `renew`: a hold has nothing of its own to renew. What it costs: the locks of a
// process end together.
//
// The lease is kept alive at a third of its length. It is trusted for its length from before the
// last answered keep-alive was sent, by our monotonic clock: etcd began to count later than that.
// An answer without a TTL means that the lease is gone; whoever has a key on it has lost it, the
// generation counts up, and a new lease is asked for at once. As long as nobody answers nothing is
// concluded but that trust runs out. From then on the lease is not extended before etcd has said
// that it is still there: it may hear us although we do not hear it, and keep-alives without an
// answer would keep keys that are no use to us in front of everybody else's.
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
    int64_t ttl_s; // asked for
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex;
    pthread_cond_t changed;     // a lease, its end, a chore, stopping
    bool wanted, stopping;      // wanted: somebody has entered once
    bool reachable;             // the last request was answered
    bool confirmed;             // it was whether the lease is still there
    uint64_t generation;        // counts leases; keys of an older one are gone, or will be
    char lease[ETCD_LEASE_MAX]; // "" while there is none
    int64_t trusted_ns;         // monotonic: until then
    int64_t due_ns;             // monotonic: the next request
    int64_t next_ns;            // monotonic: when the thread wakes by itself
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

// What etcd said about the lease, or the new one. With the mutex held.
static void read_answer(struct etcd_session *session, enum request request, const json_t *answer,
                        int64_t sent_ns)
{
    int64_t ttl_ns = etcd_number(answer, "TTL") * NS_PER_S;
    if (ttl_ns <= 0) {
        LOG_WARNING("etcd: the lease is gone, and all locks on it");
        drop_lease(session);
        return;
    }
    if (request == TIME_TO_LIVE) {
        session->due_ns = 0; // now it is worth extending
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

// Called with the mutex held, and lets go of it while asking.
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

    int64_t sent_ns = clock_now_ns(), third_ns = session->ttl_s * NS_PER_S / 3;
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    enum rc rc = etcd_request(
        session->client, paths[request], body,
        sent_ns + (third_ns < REQUEST_TIMEOUT_NS ? third_ns : REQUEST_TIMEOUT_NS), &answer, NULL);
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

// ---- making and ending --------------------------------------------------------------------------

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

// ---- what others ask ----------------------------------------------------------------------------

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
    bool is = session->generation == generation && trusted(session);
    pthread_mutex_unlock(&session->mutex);
    return is;
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
    if (chore->due_ns < session->next_ns) // else it wakes early enough
        pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->mutex);
}

bool etcd_session_take_back(struct etcd_session *session, struct chore *chore)
{
    pthread_mutex_lock(&session->mutex);
    bool taken = chores_take_back(&session->chores, chore);
    pthread_mutex_unlock(&session->mutex);
    return taken;
}
