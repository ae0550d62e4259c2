// Parses the addresses of the lock servers by the common grammar (base/address.h), and adds what is
// each server's own: Redis has one vote per master, ZooKeeper one path for all members, etcd one
// login for all members.
#include "guard/addresses.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static enum rc refuse(char *ret_why, size_t size, const char *why)
{
    (void)text_copy(ret_why, size, why);
    return RC_USAGE;
}

static enum rc no_memory(char *ret_why, size_t size)
{
    (void)text_copy(ret_why, size, "out of memory");
    return RC_NO_MEMORY;
}

// ---- redis --------------------------------------------------------------------------------------

static const struct address_form redis_form = {
    .setting = "redis",
    .expected = "[redis://|rediss://][[user]:password@]host[:port][/database], of rediss with "
                "?ca=FILE&cert=FILE&key=FILE, or unix:/path[?db=N]",
    .flags = ADDRESS_SCHEMELESS | ADDRESS_USER | ADDRESS_PATH,
    .schemes = (const struct address_scheme[]){{"redis", 6379, false, false},
                                               {"rediss", 6379, true, false},
                                               {"unix", 0, false, true},
                                               {0}},
    .options = (const struct address_option[]){ADDRESS_TLS_OPTIONS,
                                               {"cert", NULL, 0, 0},
                                               {"key", NULL, 0, 0},
                                               {"db", NULL, 0, 99999},
                                               {0}},
};

// False if a path is too long. Files that the address does not name are left as they are.
static bool take_tls(const struct address *from, struct tls_settings *tls)
{
    const char *ca = address_option(from, "ca"), *cert = address_option(from, "cert");
    const char *key = address_option(from, "key");
    tls->verify = address_tls(from);
    return (ca == NULL || text_copy(tls->ca, sizeof tls->ca, ca)) &&
           (cert == NULL || text_copy(tls->cert, sizeof tls->cert, cert)) &&
           (key == NULL || text_copy(tls->key, sizeof tls->key, key));
}

static enum rc take_redis(const struct address *from, struct redis_address *ret_address,
                          char *ret_why, size_t size)
{
    struct redis_address address = {0};
    const char *option = address_option(from, "db");
    const char *database = option != NULL ? option : from->path;
    int64_t number = 0;
    if (option != NULL && from->path[0] != '\0')
        return refuse(ret_why, size, "redis: the database is given twice, as /N and as db=N");
    if (*database != '\0' && (!text_to_int64(database, &number) || number < 0 || number > 99999))
        return refuse(ret_why, size, "redis: behind the host's / stands the number of a database");
    if (from->user[0] != '\0' && from->password[0] == '\0')
        return refuse(ret_why, size,
                      "redis: a user without a password; a password alone is written "
                      "redis://:password@host");
    if (*database != '\0')
        (void)text_format(address.database, sizeof address.database, "%d", (int)number);
    (void)text_copy(address.user, sizeof address.user, from->user);
    (void)text_copy(address.password, sizeof address.password, from->password);
    bool is_socket = from->socket[0] != '\0';
    if (!text_copy(address.host, sizeof address.host,
                   is_socket ? from->socket : from->hosts[0].name))
        return refuse(ret_why, size, "redis: the path of the socket is too long");
    if (!take_tls(from, &address.tls))
        return refuse(ret_why, size, "redis: the path of a file is too long");
    if (is_socket && address.tls.verify != ADDRESS_TLS_OFF)
        return refuse(ret_why, size, "redis: a Unix socket has no TLS");
    address.port = from->hosts[0].port;
    if (is_socket)
        (void)text_copy(address.label, sizeof address.label, from->socket);
    else
        (void)address_host_text(&from->hosts[0], address.label, sizeof address.label);
    *ret_address = address;
    return RC_OK;
}

enum rc redis_addresses_parse(const char *text, struct redis_address *ret_addresses, size_t *ret_n,
                              char *ret_why, size_t size)
{
    struct address *list CLEANUP(free_memory) = calloc(REDIS_MASTERS_MAX, sizeof *list);
    size_t n = 0;
    if (list == NULL)
        return no_memory(ret_why, size);
    enum rc rc = address_parse_list(text, &redis_form, REDIS_MASTERS_MAX, list, &n, ret_why, size);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        rc = take_redis(&list[i], &ret_addresses[i], ret_why, size);
        for (size_t j = 0; rc == RC_OK && j < i; j++)
            if (strcmp(ret_addresses[i].label, ret_addresses[j].label) == 0)
                rc = refuse(ret_why, size,
                            "redis: a master is named twice; each master has one vote");
    }
    if (rc == RC_OK && n % 2 == 0)
        rc = refuse(ret_why, size,
                    "redis: an even number of masters survives no more failures than one master "
                    "fewer; name one, or an odd number");
    if (rc == RC_OK)
        *ret_n = n;
    return rc;
}

// ---- zookeeper ----------------------------------------------------------------------------------

static const struct address_form zookeeper_form = {
    .setting = "zookeeper",
    .expected = "[zookeeper://][user:password@]host[:port][,host[:port]...][/path]",
    .flags = ADDRESS_SCHEMELESS | ADDRESS_USER | ADDRESS_HOSTS | ADDRESS_PATH,
    .schemes = (const struct address_scheme[]){{"zookeeper", 2181, false, false},
                                               {"zk", 2181, false, false},
                                               {0}},
};

// The library splits at the last colon, and knows no brackets.
static bool append_server(struct zookeeper_address *address, const struct address_host *host)
{
    size_t used = strlen(address->servers);
    return text_format(address->servers + used, sizeof address->servers - used, "%s%s:%u",
                       used > 0 ? "," : "", host->name, (unsigned)host->port);
}

enum rc zookeeper_address_parse(const char *text, struct zookeeper_address *ret_address,
                                char *ret_why, size_t size)
{
    struct address *from CLEANUP(free_memory) = calloc(1, sizeof *from);
    struct zookeeper_address address = {0};
    if (from == NULL)
        return no_memory(ret_why, size);
    enum rc rc = address_parse(text, &zookeeper_form, from, ret_why, size);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < from->n_hosts; i++)
        if (!append_server(&address, &from->hosts[i]))
            return refuse(ret_why, size, "zookeeper: the list of hosts is too long");
    size_t length = strlen(from->path);
    while (length > 0 && from->path[length - 1] == '/')
        from->path[--length] = '\0';
    if (strstr(from->path, "//") != NULL || from->path[0] == '/')
        return refuse(ret_why, size, "zookeeper: a part of the path is empty");
    if (strchr(from->path, ',') != NULL)
        return refuse(ret_why, size, "zookeeper: the path stands once, behind the last host");
    if (length > 0 && !text_format(address.chroot, sizeof address.chroot, "/%s", from->path))
        return refuse(ret_why, size, "zookeeper: the path is too long");
    if ((from->user[0] == '\0') != (from->password[0] == '\0'))
        return refuse(ret_why, size, "zookeeper: a login is written user:password@");
    if (from->user[0] != '\0')
        (void)text_format(address.login, sizeof address.login, "%s:%s", from->user, from->password);
    *ret_address = address;
    return RC_OK;
}

// ---- etcd ---------------------------------------------------------------------------------------

static const struct address_form etcd_form = {
    .setting = "etcd",
    .expected = "[http://|https://][user:password@]host[:port][,host[:port]...], of https with "
                "?ca=FILE&cert=FILE&key=FILE",
    .flags = ADDRESS_SCHEMELESS | ADDRESS_USER,
    .schemes = (const struct address_scheme[]){{"http", 2379, false, false},
                                               {"https", 2379, true, false},
                                               {0}},
    .options =
        (const struct address_option[]){
            ADDRESS_TLS_OPTIONS, {"cert", NULL, 0, 0}, {"key", NULL, 0, 0}, {0}},
};

static enum rc take_etcd(const struct address *from, struct etcd_address *address, char *ret_why,
                         size_t size)
{
    char host[ADDRESS_HOST_MAX + 16];
    struct tls_settings *tls = &address->tls;
    if ((from->user[0] == '\0') != (from->password[0] == '\0'))
        return refuse(ret_why, size, "etcd: a login is written user:password@");
    if (from->n_options > 0 && !from->scheme->tls)
        return refuse(ret_why, size, "etcd: TLS options need https:// in front of the host");
    enum address_tls before = tls->verify;
    if (!take_tls(from, tls))
        return refuse(ret_why, size, "etcd: the path of a file is too long");
    if (address_option(from, "tls") == NULL && before != ADDRESS_TLS_OFF)
        tls->verify = before; // as an address before this one has asked
    if (from->user[0] != '\0') {
        (void)text_copy(address->user, sizeof address->user, from->user);
        (void)text_copy(address->password, sizeof address->password, from->password);
    }
    if (!address_host_text(&from->hosts[0], host, sizeof host) ||
        !text_format(address->urls[address->n++], ETCD_URL_MAX, "%s://%s", from->scheme->name,
                     host))
        return refuse(ret_why, size, "etcd: a host is too long");
    return RC_OK;
}

enum rc etcd_address_parse(const char *text, struct etcd_address *ret_address, char *ret_why,
                           size_t size)
{
    struct address *list CLEANUP(free_memory) = calloc(ETCD_MEMBERS_MAX, sizeof *list);
    struct etcd_address address = {0};
    size_t n = 0;
    if (list == NULL)
        return no_memory(ret_why, size);
    enum rc rc = address_parse_list(text, &etcd_form, ETCD_MEMBERS_MAX, list, &n, ret_why, size);
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        rc = take_etcd(&list[i], &address, ret_why, size);
    if (rc == RC_OK)
        *ret_address = address;
    return rc;
}

// ---- all of them --------------------------------------------------------------------------------

enum rc lock_servers_check(const char *redis, const char *zookeeper, const char *etcd,
                           char *ret_why, size_t size)
{
    struct redis_address *masters CLEANUP(free_memory) = calloc(REDIS_MASTERS_MAX, sizeof *masters);
    struct zookeeper_address ensemble;
    struct etcd_address members;
    size_t n;
    if (masters == NULL)
        return no_memory(ret_why, size);
    enum rc rc = RC_OK;
    if (*redis != '\0')
        rc = redis_addresses_parse(redis, masters, &n, ret_why, size);
    if (rc == RC_OK && *zookeeper != '\0')
        rc = zookeeper_address_parse(zookeeper, &ensemble, ret_why, size);
    if (rc == RC_OK && *etcd != '\0')
        rc = etcd_address_parse(etcd, &members, ret_why, size);
    return rc;
}
