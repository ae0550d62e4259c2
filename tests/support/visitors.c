// Waiters for a redis-lock, and their state as seen from outside. Tests wait for a state, never for
// a fixed time.
#include "visitors.h"

#include "base/clock.h"
#include "redis_servers.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct subject redis_subject = {.strategy = "redis-lock", .server = "HOLDFAST_TEST_REDIS"};

int redis_port(void)
{
    return atoi(strrchr(scratch_server(redis_subject.server), ':') + 1);
}

bool open_notify(struct rig *rig, struct rig_options options)
{
    options.wait = "notify";
    return rig_open(rig, &redis_subject, &options);
}

static void *visitor_main(void *arg)
{
    struct visitor *visitor = arg;
    struct guard_hold hold;
    int64_t begin_ns = clock_now_ns();
    visitor->thread_id = gettid();
    visitor->rc = enter_one(visitor->rig, visitor->guard, &hold);
    visitor->waited_ns = clock_now_ns() - begin_ns;
    if (visitor->rc != RC_OK)
        return NULL;
    if (visitor->order != NULL)
        visitor->came = atomic_fetch_add(visitor->order, 1);
    visitor->token = hold.token;
    visitor->left = guard_leave(visitor->guard, NULL, &hold);
    return NULL;
}

void visit(struct visitor *visitor, struct rig *rig, struct guard *guard, atomic_int *order)
{
    *visitor = (struct visitor){.rig = rig, .guard = guard, .order = order};
    ck_assert_int_eq(pthread_create(&visitor->thread, NULL, visitor_main, visitor), 0);
}

enum rc visited(struct visitor *visitor)
{
    pthread_join(visitor->thread, NULL);
    return visitor->rc;
}

long long in_line(struct rig *rig, int port)
{
    return redis_tell(port, "LLEN holdfast:line:{%s}", rig->keys[0]);
}

void await_line(struct rig *rig, int port, long long length)
{
    int64_t limit_ns = clock_now_ns() + 5 * NS_PER_S;
    while (in_line(rig, port) != length) {
        ck_assert_int_lt(clock_now_ns(), limit_ns);
        clock_sleep_ns(NS_PER_MS);
    }
}

void await_sleep(struct visitor *visitor)
{
    int64_t limit_ns = clock_now_ns() + 5 * NS_PER_S;
    for (int asleep = 0; asleep < 20;) {
        ck_assert_int_lt(clock_now_ns(), limit_ns);
        clock_sleep_ns(NS_PER_MS);
        char path[64], state = 0;
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)visitor->thread_id);
        FILE *file = visitor->thread_id != 0 ? fopen(path, "r") : NULL;
        if (file == NULL)
            continue;
        ck_assert_int_eq(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
        fclose(file);
        asleep = state == 'S' ? asleep + 1 : 0;
    }
}

void first_in_line(struct rig *rig, int port, char *ret_owner, size_t size)
{
    redis_read(port, ret_owner, size, "LINDEX holdfast:line:{%s} 0", rig->keys[0]);
    ck_assert_str_ne(ret_owner, "");
}
