// Tests of the ZooKeeper session below zookeeper-lock: it expires, loses its connection, is kept
// alive and is closed. Also: which requests may be sent in which session.
#include "base/clock.h"
#include "base/text.h"
#include "guard/zookeeper/batch.h"
#include "guard/zookeeper/claim.h"
#include "guards.h"
#include "proxy.h"

#include "suite.h"

#include <check.h>
#include <signal.h>

static const struct subject zookeeper = {.strategy = "zookeeper-lock",
                                         .server = "HOLDFAST_TEST_ZOOKEEPER"};

static struct zookeeper_session *session_of(const struct guard_hold *hold)
{
    return ((const struct zookeeper_claim *)hold->state)->session;
}

static void ignore_event(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    (void)handle, (void)type, (void)state, (void)path, (void)context;
}

static void ignore_log(const char *message)
{
    (void)message;
}

// Makes the server end the session, by closing a second handle on it. The first handle may take the
// session back before that, so this is repeated until the server reports the session as expired.
static void expire(struct zookeeper_session *session)
{
    clientid_t id = *zoo_client_id(session->handle);
    bool expired = false;
    for (int tries = 0; tries < 50 && !expired; tries++) {
        zhandle_t *twin = zookeeper_init2(scratch_server(zookeeper.server), ignore_event, 8000, &id,
                                          NULL, ZOO_NO_LOG_CLIENTENV, ignore_log);
        ck_assert_ptr_nonnull(twin);
        for (int i = 0; i < 2000 && zoo_state(twin) != ZOO_CONNECTED_STATE && !expired; i++) {
            clock_sleep_ns(NS_PER_MS);
            expired = zoo_state(twin) == ZOO_EXPIRED_SESSION_STATE;
        }
        zookeeper_close(twin);
    }
    ck_assert(expired);
}

START_TEST(zookeeper_session_expires)
{
    struct rig rig;
    if (!rig_open(&rig, &zookeeper, &(struct rig_options){0}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold stale, next;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &stale), RC_OK);
    ck_assert(guard_held(rig.guard, &stale));
    expire(session_of(&stale));
    ck_assert_int_eq(enter_one(&rig, other, &next), RC_OK);
    ck_assert_uint_gt(next.token, stale.token);
    ck_assert(within(6000, not_held, rig.guard, &stale)); // noticed at the next ping
    clock_sleep_ns(500 * NS_PER_MS); // by now it has noticed, and has a new session
    ck_assert(!guard_held(rig.guard, &stale));
    ck_assert_int_eq(guard_lift(rig.guard, NULL, &stale, 0), RC_LOCK_LOST);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &stale), RC_LOCK_LOST);
    ck_assert_int_eq(try_enter(&rig, rig.guard, NULL, 0, 1, &stale), RC_LOCK_BUSY);
    ck_assert_int_eq(guard_leave(other, NULL, &next), RC_OK);
    check_works(&rig, rig.guard);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// A waiter whose own session expires joins the queue again in a new one, and gets the lock.
START_TEST(zookeeper_session_expires_while_waiting)
{
    struct rig rig;
    if (!rig_open(&rig, &zookeeper, &(struct rig_options){.wait_ms = 20000}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    struct zookeeper_session *session = session_of(&hold);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    ck_assert_int_eq(enter_one(&rig, other, &hold), RC_OK);
    struct entrance entrance;
    entrance_begin(&entrance, &rig);
    clock_sleep_ns(200 * NS_PER_MS);
    expire(session);
    clock_sleep_ns(500 * NS_PER_MS);
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    ck_assert(guard_held(rig.guard, &entrance.hold));
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// ZooKeeper deletes an empty queue by itself, about once a minute; then there is no such node.
static const char *own_node(struct zookeeper_session *session, const struct zookeeper_claim *claim,
                            char *ret_own)
{
    struct zookeeper_batch *batch;
    ck_assert_int_eq(zookeeper_batch_new(session, 1, &batch), RC_OK);
    zookeeper_batch_list(batch, claim->places[0].parent, claim->tag);
    ck_assert(zookeeper_batch_wait(batch, clock_now_ns() + 5 * NS_PER_S));
    int rc = zookeeper_batch_reply(batch, 0)->rc;
    ck_assert(rc == ZOK || rc == ZNONODE);
    text_copy(ret_own, ZOOKEEPER_NODE_MAX, rc == ZOK ? zookeeper_batch_reply(batch, 0)->own : "");
    zookeeper_batch_free(batch);
    return ret_own;
}

// Between the check of the session and the request for a place in the queue, the session can end
// and the next one can begin. A node created in the next one would stay for as long as that one
// lives, because the code that would delete it assumes that it ended with the old session.
START_TEST(zookeeper_session_expires_before_the_line)
{
    struct rig rig;
    if (!rig_open(&rig, &zookeeper, &(struct rig_options){0}))
        return;
    size_t n = _i == 0 ? 1 : TEST_KEYS;
    struct guard_hold hold;
    ck_assert_int_eq(rig_enter(&rig, rig.guard, NULL, 0, n, 5000, &hold),
                     RC_OK); // makes the queues
    struct zookeeper_session *session = session_of(&hold);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    int64_t limit_ns = clock_now_ns() + 10 * NS_PER_S;
    uint64_t old, generation;
    ck_assert_int_eq(zookeeper_session_ready(session, limit_ns, &old), RC_OK);
    expire(session);
    do {
        clock_sleep_ns(10 * NS_PER_MS);
        ck_assert_int_eq(zookeeper_session_ready(session, limit_ns, &generation), RC_OK);
    } while (generation == old);
    struct zookeeper_claim *claim;
    char own[ZOOKEEPER_NODE_MAX];
    ck_assert_int_eq(zookeeper_claim_new(session, old, rig.keys, n, hold.owner, 'z', &claim),
                     RC_OK);
    ck_assert_int_eq(zookeeper_claim_acquire(claim, "late", true, limit_ns), RC_LOCK_LOST);
    ck_assert_str_eq(own_node(session, claim, own), "");
    zookeeper_claim_withdraw(claim);
    check_works(&rig, rig.guard);
    rig_close(&rig);
}
END_TEST

START_TEST(zookeeper_connection_breaks)
{
    if (scratch_server(zookeeper.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(zookeeper.server));
    struct rig rig;
    ck_assert(rig_open(&rig, &zookeeper, &(struct rig_options){.zookeeper = proxy_address(proxy)}));
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    proxy_swallow_answers(proxy, true); // so that it cannot reconnect at once
    proxy_cut(proxy);
    ck_assert(within(1000, not_held, rig.guard, &hold)); // long before any expiry
    ck_assert_uint_eq(rig.guard->strategy->reconnects(rig.guard), 0);
    proxy_swallow_answers(proxy, false);
    proxy_cut(proxy);
    ck_assert(within(3000, guard_held, rig.guard, &hold)); // the same session: still ours
    ck_assert_uint_ge(rig.guard->strategy->reconnects(rig.guard), 1);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    check_works(&rig, rig.guard);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// Waits, and then holds the lock, each for longer than the session's timeout. The session stays
// alive, also by our own clock, although no caller sends a request.
START_TEST(zookeeper_session_is_kept_alive)
{
    struct rig rig;
    if (!rig_open(&rig, &zookeeper, &(struct rig_options){.ttl_ms = 2000, .max_hold_ms = 60000}))
        return;
    struct guard *other = rig_second_guard(&rig);
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, other, &hold), RC_OK);
    struct entrance entrance;
    entrance_begin(&entrance, &rig);
    clock_sleep_ns(3 * NS_PER_S);
    ck_assert_int_eq(guard_leave(other, NULL, &hold), RC_OK);
    ck_assert_int_eq(entrance_end(&entrance), RC_OK);
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    while (clock_now_ns() < until_ns) {
        ck_assert(guard_held(rig.guard, &entrance.hold));
        clock_sleep_ns(20 * NS_PER_MS);
    }
    ck_assert_int_eq(guard_lift(rig.guard, NULL, &entrance.hold, 0), RC_OK); // the nodes exist
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &entrance.hold), RC_OK);
    ck_assert_uint_eq(rig.guard->strategy->reconnects(rig.guard), 0);
    guard_close(other);
    rig_close(&rig);
}
END_TEST

// No write reaches the server, and the library has not noticed yet. Our own clock has, and ends the
// trust in the session.
START_TEST(zookeeper_silence_ends_trust)
{
    if (scratch_server(zookeeper.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(zookeeper.server));
    struct rig rig;
    ck_assert(
        rig_open(&rig, &zookeeper,
                 &(struct rig_options){.zookeeper = proxy_address(proxy), .max_hold_ms = 60000}));
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    struct zookeeper_session *session = session_of(&hold);
    proxy_swallow_requests(proxy, true);
    pthread_mutex_lock(&session->mutex); // as if the process had been stopped for that long
    ck_assert(session->connected);
    session->acked_ns -= session->timeout_ms * NS_PER_MS;
    pthread_mutex_unlock(&session->mutex);
    ck_assert(!guard_held(rig.guard, &hold));
    ck_assert_int_eq(guard_lift(rig.guard, NULL, &hold, 0), RC_LOCK_LOST);
    proxy_swallow_requests(proxy, false);
    proxy_cut(proxy);
    ck_assert(within(3000, guard_held, rig.guard, &hold)); // a heartbeat at once shows it alive
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    rig_close(&rig);
    proxy_stop(proxy);
}
END_TEST

// A member answers reads from its own state, which may be behind the leader's. So a search for a
// node that a create in flight may still make sends a write to the leader first. That is the only
// write in this test, because the next heartbeat is far away.
START_TEST(zookeeper_looks_behind_what_is_under_way)
{
    struct rig rig;
    if (!rig_open(&rig, &zookeeper, &(struct rig_options){0}))
        return;
    struct guard_hold hold;
    ck_assert_int_eq(enter_one(&rig, rig.guard, &hold), RC_OK);
    struct zookeeper_session *session = session_of(&hold);
    ck_assert_int_eq(guard_leave(rig.guard, NULL, &hold), RC_OK);
    clock_sleep_ns(500 * NS_PER_MS); // by now the delete is acknowledged
    struct zookeeper_claim *claim;
    int64_t from_ns = clock_now_ns(), acked_ns = 0;
    pthread_mutex_lock(&session->mutex);
    session->heartbeat_ns = from_ns + 60 * NS_PER_S;
    uint64_t generation = session->generation;
    pthread_mutex_unlock(&session->mutex);
    ck_assert_int_eq(zookeeper_claim_new(session, generation, rig.keys, 1, hold.owner, 'z', &claim),
                     RC_OK);
    claim->may_exist = true;
    zookeeper_claim_withdraw(claim);
    while (acked_ns < from_ns && clock_now_ns() < from_ns + 5 * NS_PER_S) {
        clock_sleep_ns(10 * NS_PER_MS);
        pthread_mutex_lock(&session->mutex);
        acked_ns = session->acked_ns;
        pthread_mutex_unlock(&session->mutex);
    }
    ck_assert_int_ge(acked_ns, from_ns);
    rig_close(&rig);
}
END_TEST

static void note_answer(void *arg, const struct zookeeper_batch *batch)
{
    *(int *)arg = zookeeper_batch_reply(batch, 0)->rc;
}

static void *release_later(void *proxy)
{
    clock_sleep_ns(200 * NS_PER_MS);
    proxy_release_requests(proxy, false);
    return NULL;
}

// A request that no thread waits for still gets its answer before the session is closed.
START_TEST(zookeeper_closes_when_all_is_answered)
{
    if (scratch_server(zookeeper.server) == NULL)
        return;
    struct proxy *proxy = proxy_start(scratch_server(zookeeper.server));
    struct zookeeper_session *session;
    char why[GUARD_ERROR_MAX];
    ck_assert_int_eq(zookeeper_session_new(proxy_address(proxy), 8000, &session, why, sizeof why),
                     RC_OK);
    uint64_t generation;
    ck_assert_int_eq(zookeeper_session_ready(session, clock_now_ns() + 5 * NS_PER_S, &generation),
                     RC_OK);
    proxy_hold_requests(proxy);
    struct zookeeper_batch *batch;
    int answer = ZAPIERROR;
    const struct zookeeper_op parts[] = {{.type = ZOOKEEPER_CHECK, .path = "/"},
                                         {.type = ZOOKEEPER_CHECK, .path = "/zookeeper"}};
    ck_assert_int_eq(zookeeper_batch_new(session, 1, &batch), RC_OK);
    zookeeper_batch_multi(batch, parts, 2);
    zookeeper_batch_detach(batch, note_answer, &answer);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, release_later, proxy), 0);
    zookeeper_session_free(session);
    pthread_join(thread, NULL);
    ck_assert_int_eq(answer, ZOK);
    proxy_stop(proxy);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("zookeeper-sessions");
    TCase *cases = tcase_create("sessions");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, zookeeper_session_expires);
    tcase_add_test(cases, zookeeper_session_expires_while_waiting);
    tcase_add_loop_test(cases, zookeeper_session_expires_before_the_line, 0, 2);
    tcase_add_test(cases, zookeeper_connection_breaks);
    tcase_add_test(cases, zookeeper_session_is_kept_alive);
    tcase_add_test(cases, zookeeper_silence_ends_trust);
    tcase_add_test(cases, zookeeper_looks_behind_what_is_under_way);
    tcase_add_test(cases, zookeeper_closes_when_all_is_answered);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
