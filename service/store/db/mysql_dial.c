// The libraries' timeouts do not bound the making of a connection: libmysqlclient waits without any
// for what a server says during the TLS handshake. So a thread beside the one that connects has an
// eye on the clock, and shuts the socket down when it is time.
//
// How passwords travel is where the libraries differ. MySQL's own way, caching_sha2_password, sends
// one through TLS or encrypted with the server's key. libmysqlclient begins TLS where the server
// has it, and asks for the key only if it is told to; MariaDB's connector always asks for the key,
// begins TLS only if it is told to, and has that way of logging in as a plugin in a file.
//
// What breaks it: a name that takes long to resolve, since there is no socket yet: it ends once
// there is one. And a library that fails by itself just then: its descriptor may be another
// connection's already, which is then lost, as connections may be.
#include "store/db/mysql_dial.h"

#include "base/clock.h"

#include <pthread.h>
#include <sys/socket.h>

#define AGAIN_NS (20 * NS_PER_MS)

struct dial {
    MYSQL *handle;
    int64_t until_ns;
    pthread_mutex_t mutex; // protects:
    bool over;
    pthread_cond_t end;
};

// Until there is a socket to shut down: the library may get one yet, and then wait on it. Once is
// enough.
static void *watch(void *arg)
{
    struct dial *dial = arg;
    int64_t look_ns = dial->until_ns;
    bool shut = false;
    pthread_mutex_lock(&dial->mutex);
    while (!dial->over && !shut) {
        if (clock_wait(&dial->end, &dial->mutex, look_ns) || dial->over)
            continue;
        // The library writes it once, when it has a connection to speak on.
        int fd = __atomic_load_n(&dial->handle->net.fd, __ATOMIC_RELAXED);
        shut = fd >= 0 && shutdown(fd, SHUT_RDWR) == 0;
        look_ns = clock_now_ns() + AGAIN_NS;
    }
    pthread_mutex_unlock(&dial->mutex);
    return NULL;
}

static void init(struct dial *dial)
{
    pthread_mutex_init(&dial->mutex, NULL);
    pthread_cond_init(&dial->end, NULL);
}

static void end(struct dial *dial, pthread_t watcher)
{
    pthread_mutex_lock(&dial->mutex);
    dial->over = true;
    pthread_cond_signal(&dial->end);
    pthread_mutex_unlock(&dial->mutex);
    pthread_join(watcher, NULL);
}

// MariaDB's connector does so by itself.
static void ask_for_the_key(MYSQL *handle)
{
#ifdef LIBMARIADB
    (void)handle;
#else
    bool ask = true;
    mysql_options(handle, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &ask);
#endif
}

bool mysql_dial(MYSQL *handle, const struct mysql_url *url, int64_t until_ns)
{
    struct dial dial = {.handle = handle, .until_ns = until_ns};
    pthread_t watcher;
    handle->net.fd = -1;
    ask_for_the_key(handle);
    init(&dial);
    bool watched = pthread_create(&watcher, NULL, watch, &dial) == 0;
    // FOUND_ROWS: an UPDATE counts the rows it matched, also where the value stays the same.
    bool connected =
        mysql_real_connect(handle, url->host, url->user, url->password, url->database, url->port,
                           NULL, CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS) != NULL;
    if (watched)
        end(&dial, watcher);
    pthread_cond_destroy(&dial.end);
    pthread_mutex_destroy(&dial.mutex);
    return connected;
}
