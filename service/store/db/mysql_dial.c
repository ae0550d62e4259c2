// Connects with a deadline. The libraries' timeouts do not bound connecting: libmysqlclient reads
// without a timeout during the TLS handshake. So a second thread watches the clock and shuts the
// socket down at the deadline.
//
// The libraries also differ in how a password travels. MySQL's caching_sha2_password sends it
// through TLS or encrypted with the server's public key. libmysqlclient begins TLS where the server
// offers it, and requests the key only if an option says so. MariaDB's connector always requests
// the key, begins TLS only if an option says so, and has this way to log in as a plugin in a file.
//
// What breaks it: a host name that resolves slowly, because there is no socket to shut down yet;
// the call ends once there is one. Also a library that fails by itself at the same moment: its
// descriptor number may be reused, and then another connection is lost, which every caller
// survives.
#include "store/db/mysql_dial.h"

#include "base/clock.h"

#include <pthread.h>
#include <sys/socket.h>

#define RETRY_NS (20 * NS_PER_MS)

struct dial {
    MYSQL *handle;
    int64_t until_ns;
    pthread_mutex_t mutex; // protects:
    bool done;
    pthread_cond_t changed;
};

// From the deadline on, retries until there is a socket to shut down: the library may open one
// later and block on it. One shutdown is enough.
static void *watch(void *arg)
{
    struct dial *dial = arg;
    int64_t next_ns = dial->until_ns;
    bool shut = false;
    pthread_mutex_lock(&dial->mutex);
    while (!dial->done && !shut) {
        if (clock_wait(&dial->changed, &dial->mutex, next_ns) || dial->done)
            continue;
        // The library writes the descriptor once, when it has connected.
        int fd = __atomic_load_n(&dial->handle->net.fd, __ATOMIC_RELAXED);
        shut = fd >= 0 && shutdown(fd, SHUT_RDWR) == 0;
        next_ns = clock_now_ns() + RETRY_NS;
    }
    pthread_mutex_unlock(&dial->mutex);
    return NULL;
}

static void stop_watching(struct dial *dial, pthread_t watcher)
{
    pthread_mutex_lock(&dial->mutex);
    dial->done = true;
    pthread_cond_signal(&dial->changed);
    pthread_mutex_unlock(&dial->mutex);
    pthread_join(watcher, NULL);
}

// MariaDB's connector always does.
static void request_public_key(MYSQL *handle)
{
#ifdef LIBMARIADB
    (void)handle;
#else
    bool request = true;
    mysql_options(handle, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &request);
#endif
}

bool mysql_dial(MYSQL *handle, const struct address *address, const struct address_host *host,
                int64_t until_ns)
{
    struct dial dial = {.handle = handle, .until_ns = until_ns};
    pthread_t watcher;
    handle->net.fd = -1;
    request_public_key(handle);
    pthread_mutex_init(&dial.mutex, NULL);
    pthread_cond_init(&dial.changed, NULL);
    bool watched = pthread_create(&watcher, NULL, watch, &dial) == 0;
    // FOUND_ROWS: an UPDATE counts the rows it matched, also where the value stays the same.
    bool connected =
        mysql_real_connect(handle, host != NULL ? host->name : NULL, address->user,
                           address->password, address->path, host != NULL ? host->port : 0,
                           host != NULL ? NULL : address->socket,
                           CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS) != NULL;
    if (watched)
        stop_watching(&dial, watcher);
    pthread_cond_destroy(&dial.changed);
    pthread_mutex_destroy(&dial.mutex);
    return connected;
}
