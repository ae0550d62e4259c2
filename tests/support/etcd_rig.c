// Helpers for the etcd-lock tests. They inspect the queues in etcd directly, not through the guard.
#include "etcd_rig.h"

#include "base/clock.h"

#include <check.h>
#include <stdio.h>

const struct subject etcd = {.strategy = "etcd-lock", .server = "HOLDFAST_TEST_ETCD"};

const char *etcd_test_server(void)
{
    return scratch_server(etcd.server);
}

static size_t queued_at(const struct rig *rig, size_t i)
{
    char prefix[ETCD_NAME_MAX];
    snprintf(prefix, sizeof prefix, ETCD_LOCKS "%s/", rig->keys[i]);
    return etcd_count(etcd_test_server(), prefix);
}

static bool queued_soon_at(const struct rig *rig, size_t i, size_t n)
{
    for (int tries = 0; tries < 300 && queued_at(rig, i) != n; tries++)
        clock_sleep_ns(10 * NS_PER_MS);
    return queued_at(rig, i) == n;
}

size_t queued(const struct rig *rig)
{
    return queued_at(rig, 0);
}

bool queued_soon(const struct rig *rig, size_t n)
{
    return queued_soon_at(rig, 0, n);
}

bool all_queued_soon(const struct rig *rig, size_t n)
{
    for (size_t i = 0; i < TEST_KEYS; i++)
        if (!queued_soon_at(rig, i, n))
            return false;
    return true;
}
