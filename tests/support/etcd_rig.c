// Lines are looked at past the guard, by questions of the test's own.
#include "etcd_rig.h"

#include "base/clock.h"

#include <check.h>
#include <stdio.h>

const struct subject etcd = {.strategy = "etcd-lock", .server = "HOLDFAST_TEST_ETCD"};

const char *etcd_test_server(void)
{
    return scratch_server(etcd.server);
}

static size_t standing_at(const struct rig *rig, size_t i)
{
    char prefix[ETCD_NAME_MAX];
    snprintf(prefix, sizeof prefix, ETCD_LOCKS "%s/", rig->keys[i]);
    return etcd_count(etcd_test_server(), prefix);
}

static bool standing_soon_at(const struct rig *rig, size_t i, size_t n)
{
    for (int tries = 0; tries < 300 && standing_at(rig, i) != n; tries++)
        clock_sleep_ns(10 * NS_PER_MS);
    return standing_at(rig, i) == n;
}

size_t standing(const struct rig *rig)
{
    return standing_at(rig, 0);
}

bool standing_soon(const struct rig *rig, size_t n)
{
    return standing_soon_at(rig, 0, n);
}

bool all_standing_soon(const struct rig *rig, size_t n)
{
    for (size_t i = 0; i < TEST_KEYS; i++)
        if (!standing_soon_at(rig, i, n))
            return false;
    return true;
}
