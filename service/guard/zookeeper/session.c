// The session's states, and what its thread does in each:
//
//   - Connected. The library pings the server, but does not say when the last ping was answered. A
//     process that was stopped would trust the session until the library's thread had run. So the
//     session records when each acknowledged write was sent. If there was none for a third of the
//     timeout, the thread sends a heartbeat: a write that changes nothing. Trust ends two thirds of
//     the timeout after the last acknowledged write was sent; by then the library, too, gives up a
//     silent connection. The last third is a margin for the leader. It learns of this session from
//     the other members only now and then, and a member that is cut off from the leader may still
//     answer pings and reads.
//   - Disconnected. Trust is suspended at once. ZooKeeper reports expiry only after a reconnect.
//     By then another process may have held the lock for long.
//   - Reconnected in time. It is the same session, and its nodes still exist.
//   - Expired. The thread closes the handle, opens a new one, and increments the generation.
//   - Disconnected for longer than the session's timeout. The thread opens a new handle with the
//     old session's id, and the session either continues or has expired. The old handle might never
//     reconnect: it refuses servers that have lost their data, because it has seen later
//     transactions than theirs.
//   - Connecting without an answer (ASSOCIATING). The servers may receive the requests although
//     their answers do not arrive. Each attempt would then keep the old session alive, and its
//     nodes in front of all others, for as long as the network fault lasts. So the new handle does
//     not use the old id, and the old session expires.
//
// After the first connection the thread makes the chroot, if the address has one (chroot.c), and
// only then lets callers use the session.
#include "guard/zookeeper/session.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/addresses.h"
#include "guard/zookeeper/batch.h"
#include "guard/zookeeper/chroot.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_NS (200 * NS_PER_MS) // between checks while disconnected; to drain an old handle
#define IDLE_NS NS_PER_S           // the longest sleep of the thread
#define DRAIN_NS NS_PER_S          // for requests in flight when the session is freed
#define SERVERS_MAX (2 * ADDRESS_TEXT_MAX)
#define UNREACHABLE_NS NS_PER_S // without a connection, until the log says so

// Without this the library writes its log to standard error.
static void on_log(const char *message)
{
    LOG_DEBUG("zookeeper: %s", message);
}

// Wakes the waiters for a path; NULL: all.
static void wake(struct zookeeper_session *session, const char *path)
{
    for (struct zookeeper_waiter *at = session->waiters; at != NULL; at = at->next)
        if (path == NULL || strcmp(at->path, path) == 0) {
            at->woken = true;
            pthread_cond_signal(&at->wake);
        }
}

// Called on ZooKeeper's event thread; sends no request, and takes only the mutex.
static void on_event(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    struct zookeeper_session *session = context;
    pthread_mutex_lock(&session->mutex);
    if (type != ZOO_SESSION_EVENT) {
        wake(session, path);
        pthread_mutex_unlock(&session->mutex);
        return;
    }
    bool was_connected = session->connected;
    session->connected = state == ZOO_CONNECTED_STATE;
    if (session->connected)
        session->timeout_ms = zoo_recv_timeout(handle);
    if (session->connected && !was_connected) {
        session->connections++;
        session->heartbeat_ns = 0; // one in flight was lost with the old connection
    }
    if (was_connected && !session->connected)
        session->disconnected_ns = clock_now_ns();
    if (state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE)
        session->ended = true;
    bool log_lost = !session->connected && !session->logged_lost;
    bool log_connected = session->connected && session->logged_lost;
    session->logged_lost = !session->connected;
    wake(session, NULL);
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->mutex);
    if (log_lost)
        LOG_WARNING("zookeeper %s: not connected; its locks are not trusted until it is",
                    session->servers);
    if (log_connected)
        LOG_INFO("zookeeper %s: connected", session->servers);
}

// ---- the session's thread -----------------------------------------------------------------------

static bool needs_handle(const struct zookeeper_session *session)
{
    if (!session->wanted)
        return false;
    return !session->open || session->ended ||
           (!session->connected &&
            clock_now_ns() - session->disconnected_ns > session->timeout_ms * NS_PER_MS);
}

static int64_t third_of_timeout(const struct zookeeper_session *session)
{
    return session->timeout_ms * NS_PER_MS / 3;
}

static int64_t heartbeat_due(const struct zookeeper_session *session)
{
    int64_t last_ns =
        session->acked_ns > session->heartbeat_ns ? session->acked_ns : session->heartbeat_ns;
    return last_ns + third_of_timeout(session);
}

// Called with the mutex held; releases it meanwhile. Does not wait for the answer, which sets
// acked_ns.
static void send_heartbeat(struct zookeeper_session *session, int64_t now_ns)
{
    struct zookeeper_batch *batch;
    session->heartbeat_ns = now_ns;
    pthread_mutex_unlock(&session->mutex);
    if (zookeeper_batch_new(session, 1, &batch) == RC_OK) {
        zookeeper_batch_noop(batch);
        zookeeper_batch_detach(batch, NULL, NULL);
    }
    pthread_mutex_lock(&session->mutex);
}

static void close_handle(struct zookeeper_session *session, zhandle_t *handle, int64_t limit_ns)
{
    zookeeper_batch_drain(session, limit_ns);
    zookeeper_close(handle);
    zookeeper_batch_fail_all(session);
}

// Called with the mutex held; releases it meanwhile.
static void make_chroot(struct zookeeper_session *session)
{
    pthread_mutex_unlock(&session->mutex);
    int rc = zookeeper_chroot_make(session->address, session->acl, session->timeout_ms);
    pthread_mutex_lock(&session->mutex);
    session->has_chroot = rc == ZOK;
    if (rc != ZOK && !session->logged_chroot)
        LOG_WARNING(
            "zookeeper %s: cannot create %s: %s; create it by hand, or give a login that may",
            session->servers, session->address->chroot, zerror(rc));
    session->logged_chroot = rc != ZOK;
    pthread_cond_broadcast(&session->changed);
}

// Called with the mutex held; releases it meanwhile, because closing a handle waits for threads
// that need the mutex.
static void replace_handle(struct zookeeper_session *session)
{
    bool resume = session->open && !session->ended;
    int timeout_ms = session->timeout_ms;
    session->open = false;
    session->connected = false;
    session->disconnected_ns = clock_now_ns();
    pthread_mutex_unlock(&session->mutex);

    pthread_rwlock_wrlock(&session->handle_lock);
    zhandle_t *old = session->handle;
    session->handle = NULL;
    pthread_rwlock_unlock(&session->handle_lock);
    clientid_t id = {0};
    if (old != NULL) {
        id = *zoo_client_id(old);
        bool unanswered = zoo_state(old) == ZOO_ASSOCIATING_STATE;
        resume = resume && !unanswered && id.client_id != 0;
        close_handle(session, old, clock_now_ns() + RETRY_NS);
    }
    pthread_mutex_lock(&session->mutex);
    session->ended = false;
    session->connected = false; // the old handle's last event may have set it
    if (!resume) {
        session->generation++;
        session->acked_ns = 0;
    }
    pthread_mutex_unlock(&session->mutex);

    zhandle_t *handle = zookeeper_init2(session->servers, on_event, timeout_ms, resume ? &id : NULL,
                                        session, ZOO_NO_LOG_CLIENTENV, on_log);
    if (handle != NULL && zookeeper_log_in(handle, session->address) != ZOK)
        LOG_WARNING("zookeeper %s: cannot log in", session->servers);
    pthread_rwlock_wrlock(&session->handle_lock);
    session->handle = handle;
    pthread_rwlock_unlock(&session->handle_lock);
    pthread_mutex_lock(&session->mutex);
    session->open = handle != NULL;
    wake(session, NULL);
    pthread_cond_broadcast(&session->changed);
}

static void sleep_until_due(struct zookeeper_session *session, int64_t now_ns)
{
    bool waits = session->wanted && (!session->connected || !session->has_chroot);
    session->wake_ns = now_ns + (waits ? RETRY_NS : IDLE_NS);
    if (session->connected && heartbeat_due(session) < session->wake_ns)
        session->wake_ns = heartbeat_due(session);
    if (session->connected && chores_due(&session->chores) < session->wake_ns)
        session->wake_ns = chores_due(&session->chores);
    clock_wait(&session->changed, &session->mutex, session->wake_ns);
}

// The library reports that a connection was lost, but not that none was made. With the mutex held.
static void warn_if_unreachable(struct zookeeper_session *session)
{
    if (!session->wanted || session->connected || session->logged_lost ||
        clock_now_ns() - session->disconnected_ns < UNREACHABLE_NS)
        return;
    session->logged_lost = true;
    pthread_mutex_unlock(&session->mutex);
    LOG_WARNING("zookeeper %s: not connected; is it running, and is the setting zookeeper right?",
                session->servers);
    pthread_mutex_lock(&session->mutex);
}

static void *session_main(void *arg)
{
    struct zookeeper_session *session = arg;
    pthread_mutex_lock(&session->mutex);
    while (!session->stopping) {
        int64_t now_ns = clock_now_ns();
        warn_if_unreachable(session);
        if (needs_handle(session)) {
            replace_handle(session);
            sleep_until_due(session, clock_now_ns());
        } else if (session->connected && !session->has_chroot) {
            make_chroot(session);
            if (!session->has_chroot)
                sleep_until_due(session, clock_now_ns());
        } else if (session->connected && now_ns >= heartbeat_due(session)) {
            send_heartbeat(session, now_ns);
        } else if (!chores_run_one(&session->chores, now_ns, session->connected,
                                   session->generation)) {
            sleep_until_due(session, now_ns);
        }
    }
    pthread_mutex_unlock(&session->mutex);
    return NULL;
}

// ---- new and free -------------------------------------------------------------------------------

static enum rc take_address(struct zookeeper_session *session, const char *servers, char *ret_why,
                            size_t size)
{
    session->address = malloc(sizeof *session->address);
    session->servers = malloc(SERVERS_MAX);
    if (session->address == NULL || session->servers == NULL)
        return RC_NO_MEMORY;
    enum rc rc = zookeeper_address_parse(servers, session->address, ret_why, size);
    if (rc != RC_OK)
        return rc;
    (void)text_format(session->servers, SERVERS_MAX, "%s%s", session->address->servers,
                      session->address->chroot);
    session->has_chroot = session->address->chroot[0] == '\0';
    session->acl = session->address->login[0] != '\0' ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
    return RC_OK;
}

enum rc zookeeper_session_new(const char *servers, int64_t timeout_ms,
                              struct zookeeper_session **ret_session, char *ret_why, size_t size)
{
    struct zookeeper_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return RC_NO_MEMORY;
    enum rc rc = take_address(session, servers, ret_why, size);
    if (rc != RC_OK) {
        free(session->servers);
        free(session->address);
        free(session);
        return rc;
    }
    session->timeout_ms = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    pthread_cond_init(&session->changed, NULL);
    pthread_mutex_init(&session->mutex, NULL);
    session->chores = (struct chores){.mutex = &session->mutex, .changed = &session->changed};
    pthread_rwlock_init(&session->handle_lock, NULL);
    bool started = pthread_create(&session->thread, NULL, session_main, session) == 0;
    if (!started) {
        session->stopping = true;
        zookeeper_session_free(session);
        return RC_NO_MEMORY;
    }
    *ret_session = session;
    return RC_OK;
}

void zookeeper_session_free(struct zookeeper_session *session)
{
    if (session == NULL)
        return;
    if (!session->stopping) { // else its thread was never started
        pthread_mutex_lock(&session->mutex);
        session->stopping = true;
        pthread_cond_broadcast(&session->changed);
        pthread_mutex_unlock(&session->mutex);
        pthread_join(session->thread, NULL);
    }
    if (session->handle != NULL)
        close_handle(session, session->handle, clock_now_ns() + DRAIN_NS);
    chores_free(&session->chores);
    pthread_rwlock_destroy(&session->handle_lock);
    pthread_mutex_destroy(&session->mutex);
    pthread_cond_destroy(&session->changed);
    free(session->servers);
    free(session->address);
    free(session);
}

// ---- state, chores, waiters ---------------------------------------------------------------------

enum rc zookeeper_session_ready(struct zookeeper_session *session, int64_t limit_ns,
                                uint64_t *ret_generation)
{
    pthread_mutex_lock(&session->mutex);
    if (!session->wanted) {
        session->wanted = true;
        pthread_cond_broadcast(&session->changed);
    }
    bool ready;
    while (!(ready = session->open && session->connected && session->has_chroot && !session->ended))
        if (!clock_wait(&session->changed, &session->mutex, limit_ns))
            break;
    *ret_generation = session->generation;
    pthread_mutex_unlock(&session->mutex);
    return ready ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

static bool unexpired(const struct zookeeper_session *session, uint64_t generation)
{
    return !session->ended && session->generation == generation &&
           clock_now_ns() < session->acked_ns + 2 * third_of_timeout(session);
}

bool zookeeper_session_trusted(struct zookeeper_session *session, uint64_t generation)
{
    pthread_mutex_lock(&session->mutex);
    bool trusted = session->open && session->connected && unexpired(session, generation);
    pthread_mutex_unlock(&session->mutex);
    return trusted;
}

bool zookeeper_session_unexpired(struct zookeeper_session *session, uint64_t generation)
{
    pthread_mutex_lock(&session->mutex);
    bool result = unexpired(session, generation);
    pthread_mutex_unlock(&session->mutex);
    return result;
}

bool zookeeper_session_alive(struct zookeeper_session *session, uint64_t generation)
{
    pthread_mutex_lock(&session->mutex);
    bool alive = !session->ended && session->generation == generation;
    pthread_mutex_unlock(&session->mutex);
    return alive;
}

uint64_t zookeeper_session_reconnects(struct zookeeper_session *session)
{
    pthread_mutex_lock(&session->mutex);
    uint64_t reconnects = session->connections > 0 ? session->connections - 1 : 0;
    pthread_mutex_unlock(&session->mutex);
    return reconnects;
}

void zookeeper_session_add_chore(struct zookeeper_session *session, struct chore *chore)
{
    pthread_mutex_lock(&session->mutex);
    chores_add(&session->chores, chore);
    if (chore->due_ns < session->wake_ns) // else it wakes in time by itself
        pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->mutex);
}

bool zookeeper_session_cancel_chore(struct zookeeper_session *session, struct chore *chore)
{
    pthread_mutex_lock(&session->mutex);
    bool taken = chores_cancel(&session->chores, chore);
    pthread_mutex_unlock(&session->mutex);
    return taken;
}

void zookeeper_waiter_begin(struct zookeeper_session *session, struct zookeeper_waiter *waiter,
                            const char *path)
{
    waiter->path = path;
    waiter->woken = false;
    pthread_cond_init(&waiter->wake, NULL);
    pthread_mutex_lock(&session->mutex);
    waiter->next = session->waiters;
    session->waiters = waiter;
    pthread_mutex_unlock(&session->mutex);
}

void zookeeper_waiter_sleep(struct zookeeper_session *session, struct zookeeper_waiter *waiter,
                            int64_t limit_ns)
{
    pthread_mutex_lock(&session->mutex);
    while (!waiter->woken && clock_wait(&waiter->wake, &session->mutex, limit_ns))
        continue;
    pthread_mutex_unlock(&session->mutex);
}

void zookeeper_waiter_end(struct zookeeper_session *session, struct zookeeper_waiter *waiter)
{
    pthread_mutex_lock(&session->mutex);
    struct zookeeper_waiter **at = &session->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    pthread_mutex_unlock(&session->mutex);
    pthread_cond_destroy(&waiter->wake);
}
