// Makes the chroot. The library prefixes it to every path, so a handle cannot create its own. A
// second handle without it does, once per process.
#include "guard/zookeeper/chroot.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/addresses.h"

#include <string.h>

#define CONNECT_NS NS_PER_S

static void on_log(const char *message)
{
    LOG_DEBUG("zookeeper: %s", message);
}

int zookeeper_log_in(zhandle_t *handle, const struct zookeeper_address *address)
{
    const char *login = address->login;
    return *login == '\0' ? ZOK
                          : zoo_add_auth(handle, "digest", login, (int)strlen(login), NULL, NULL);
}

// Creates each node of the path that is missing.
static int create_path(zhandle_t *handle, const char *path, const struct ACL_vector *acl)
{
    char part[ADDRESS_TEXT_MAX];
    int rc = ZOK;
    for (const char *at = path; rc == ZOK && *at != '\0';) {
        at += 1 + strcspn(at + 1, "/");
        (void)text_format(part, sizeof part, "%.*s", (int)(at - path), path);
        rc = zoo_create(handle, part, "", 0, acl, 0, NULL, 0);
        if (rc == ZNODEEXISTS)
            rc = ZOK;
    }
    return rc;
}

int zookeeper_chroot_make(const struct zookeeper_address *address, const struct ACL_vector *acl,
                          int timeout_ms)
{
    int64_t limit_ns = clock_now_ns() + CONNECT_NS;
    zhandle_t *handle = zookeeper_init2(address->servers, NULL, timeout_ms, NULL, NULL,
                                        ZOO_NO_LOG_CLIENTENV, on_log);
    if (handle == NULL)
        return ZSYSTEMERROR;
    int rc = zookeeper_log_in(handle, address);
    while (zoo_state(handle) != ZOO_CONNECTED_STATE && clock_now_ns() < limit_ns)
        clock_sleep_ns(NS_PER_MS);
    if (rc == ZOK)
        rc = zoo_state(handle) == ZOO_CONNECTED_STATE ? create_path(handle, address->chroot, acl)
                                                      : ZCONNECTIONLOSS;
    zookeeper_close(handle);
    return rc;
}
