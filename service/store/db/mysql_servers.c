// Which server a connection is made to, and how it is secured.
//
// Both client libraries have rules of their own that surprise: `localhost` means a Unix socket, the
// port is then ignored, and TLS is begun, or not, or begun without a check of the certificate,
// depending on the library and its version. So everything that the address says is set explicitly.
//
// What breaks it: a client library that ignores an option. mysql_servers_is_secured() then sees a
// connection without TLS. It cannot see a certificate that was not verified; a test does that.
#include "store/db/mysql_servers.h"

#include "store/db/db.h"

#define SYSTEM_AUTHORITIES "/etc/ssl/certs" // libmysqlclient does not know the system's own

static const struct address_form form = {
    .setting = "store",
    .expected = "sqlite:PATH or mysql://user:password@host[:port][,host...]/database"
                "[?tls=verify-full&ca=FILE&connect-timeout=SECONDS], "
                "or mysql://user:password@/database?socket=/PATH",
    .flags = ADDRESS_USER | ADDRESS_HOSTS | ADDRESS_PATH_REQUIRED,
    .schemes = (const struct address_scheme[]){{"mysql", 3306, false, false},
                                               {"mariadb", 3306, false, false},
                                               {"mysqls", 3306, true, false},
                                               {"mariadbs", 3306, true, false},
                                               {NULL, 0, false, false}},
    .options = (const struct address_option[]){ADDRESS_TLS_OPTIONS,
                                               {"connect-timeout", NULL, 1, 60},
                                               {"socket", NULL, 0, 0},
                                               {NULL, NULL, 0, 0}},
};

_Static_assert(DB_ERROR_MAX >= ADDRESS_ERROR_MAX, "an address's error is a store's error");

enum rc mysql_servers_parse(const char *text, struct mysql_servers *ret_servers, char *ret_error)
{
    atomic_init(&ret_servers->current, 0);
    return address_parse(text, &form, &ret_servers->address, ret_error, DB_ERROR_MAX);
}

size_t mysql_servers_count(const struct mysql_servers *servers)
{
    return servers->address.n_hosts > 0 ? servers->address.n_hosts : 1;
}

const struct address_host *mysql_servers_pick(struct mysql_servers *servers, size_t attempt)
{
    const struct address *address = &servers->address;
    if (address->n_hosts == 0)
        return NULL;
    return &address->hosts[(atomic_load(&servers->current) + attempt) % address->n_hosts];
}

void mysql_servers_keep(struct mysql_servers *servers, const struct address_host *host)
{
    if (host != NULL)
        atomic_store(&servers->current, (size_t)(host - servers->address.hosts));
}

#ifdef LIBMARIADB
static void set_tls(MYSQL *handle, const struct address *address)
{
    enum address_tls tls = address_tls(address);
    const char *ca = address_option(address, "ca");
    // Only with the second option does the library send no password to a server that claims to have
    // no TLS. The option includes the host's name, so verify-ca is as strict as verify-full here.
    bool demanded = tls != ADDRESS_TLS_OFF, verified = tls >= ADDRESS_TLS_VERIFY_CA;
    mysql_options(handle, MYSQL_OPT_SSL_ENFORCE, &demanded);
    mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verified);
    if (demanded && ca != NULL)
        mysql_options(handle, MYSQL_OPT_SSL_CA, ca);
}
#else
static void set_tls(MYSQL *handle, const struct address *address)
{
    enum address_tls tls = address_tls(address);
    const char *ca = address_option(address, "ca");
    bool silent = address_option(address, "tls") == NULL;
    unsigned modes[] = {[ADDRESS_TLS_OFF] = silent ? SSL_MODE_PREFERRED : SSL_MODE_DISABLED,
                        [ADDRESS_TLS_UNVERIFIED] = SSL_MODE_REQUIRED,
                        [ADDRESS_TLS_VERIFY_CA] = SSL_MODE_VERIFY_CA,
                        [ADDRESS_TLS_VERIFY_FULL] = SSL_MODE_VERIFY_IDENTITY};
    if (tls >= ADDRESS_TLS_VERIFY_CA)
        mysql_options(handle, ca != NULL ? MYSQL_OPT_SSL_CA : MYSQL_OPT_SSL_CAPATH,
                      ca != NULL ? ca : SYSTEM_AUTHORITIES);
    mysql_options(handle, MYSQL_OPT_SSL_MODE, &modes[tls]);
}
#endif

void mysql_servers_secure(const struct mysql_servers *servers, MYSQL *handle)
{
    const struct address *address = &servers->address;
    unsigned protocol = address->n_hosts == 0 ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    mysql_options(handle, MYSQL_OPT_PROTOCOL, &protocol);
    set_tls(handle, address);
}

bool mysql_servers_is_secured(const struct mysql_servers *servers, MYSQL *handle)
{
    return address_tls(&servers->address) == ADDRESS_TLS_OFF ||
           mysql_get_ssl_cipher(handle) != NULL;
}

bool mysql_servers_are_exposed(const struct mysql_servers *servers)
{
    const struct address *address = &servers->address;
    bool exposed = false;
    for (size_t i = 0; i < address->n_hosts; i++)
        exposed |= !address_is_loopback(&address->hosts[i]);
    return exposed && address_option(address, "tls") == NULL &&
           address_tls(address) == ADDRESS_TLS_OFF;
}
