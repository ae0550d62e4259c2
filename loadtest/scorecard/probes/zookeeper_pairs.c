// The ceiling of a ZooKeeper lock: pairs of creating and deleting an ephemeral node, with many in
// flight on one session, as in a busy service. Prints pairs a second.
//
//     zookeeper_pairs HOST:PORT IN_FLIGHT SECONDS [list]
//
// Asynchronous: the answer to a create sends the delete, whose answer sends the next create. The
// server writes both to its log before it answers. With `list` the client reads the children in
// between, as a waiter must to find its predecessor. With one in flight that is the cost of an
// uncontended lock. There is no watch.
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "guard/zookeeper/api.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define IN_FLIGHT_MAX 4096
#define SESSION_MS 10000
#define TIMEOUT_NS (10 * NS_PER_S) // for connecting, and for the last answers

// A node that is created and deleted in turn. Its callbacks run on the client library's one
// completion thread.
struct slot {
    struct probe *probe;
    char path[48];
};

struct probe {
    zhandle_t *handle;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool connected;
    int failed; // ZooKeeper's code
    bool lists;
    int64_t in_flight, pairs, until_ns;
    struct slot slots[IN_FLIGHT_MAX];
};

static void say(struct probe *probe, int code)
{
    pthread_mutex_lock(&probe->mutex);
    if (code != ZOK && probe->failed == ZOK)
        probe->failed = code;
    probe->in_flight--;
    pthread_cond_signal(&probe->changed);
    pthread_mutex_unlock(&probe->mutex);
}

static void create_node(struct slot *slot);

static void on_deleted(int code, const void *data)
{
    struct slot *slot = (struct slot *)data;
    struct probe *probe = slot->probe;
    if (code != ZOK || clock_now_ns() >= probe->until_ns) {
        probe->pairs += code == ZOK;
        say(probe, code);
        return;
    }
    probe->pairs++;
    create_node(slot);
}

static void on_listed(int code, const struct String_vector *names, const void *data)
{
    (void)names;
    struct slot *slot = (struct slot *)data;
    if (code == ZOK)
        code = zoo_adelete(slot->probe->handle, slot->path, -1, on_deleted, slot);
    if (code != ZOK)
        say(slot->probe, code);
}

static void on_created(int code, const char *path, const void *data)
{
    (void)path;
    struct slot *slot = (struct slot *)data;
    if (code != ZOK || !slot->probe->lists)
        on_listed(code, NULL, data);
    else if ((code = zoo_aget_children(slot->probe->handle, "/", 0, on_listed, slot)) != ZOK)
        say(slot->probe, code);
}

static void create_node(struct slot *slot)
{
    int code = zoo_acreate(slot->probe->handle, slot->path, "", 0, &ZOO_OPEN_ACL_UNSAFE,
                           ZOO_EPHEMERAL, on_created, slot);
    if (code != ZOK)
        say(slot->probe, code);
}

static void on_session(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    (void)handle;
    (void)path;
    struct probe *probe = context;
    pthread_mutex_lock(&probe->mutex);
    if (type == ZOO_SESSION_EVENT)
        probe->connected = state == ZOO_CONNECTED_STATE;
    pthread_cond_signal(&probe->changed);
    pthread_mutex_unlock(&probe->mutex);
}

// Waits until connected, or until nothing is in flight. False after TIMEOUT_NS after `from_ns`.
static bool await(struct probe *probe, bool connection, int64_t from_ns)
{
    bool in_time = true;
    pthread_mutex_lock(&probe->mutex);
    while (in_time && (connection ? !probe->connected : probe->in_flight > 0))
        in_time = clock_wait(&probe->changed, &probe->mutex, from_ns + TIMEOUT_NS);
    pthread_mutex_unlock(&probe->mutex);
    return in_time;
}

static bool run(struct probe *probe, int64_t in_flight, int64_t seconds)
{
    uint64_t number;
    random_bytes(&number, sizeof number);
    int64_t from_ns = clock_now_ns();
    probe->until_ns = from_ns + seconds * NS_PER_S;
    probe->in_flight = in_flight;
    for (int64_t i = 0; i < in_flight; i++) {
        struct slot *slot = &probe->slots[i];
        slot->probe = probe;
        text_format(slot->path, sizeof slot->path, "/probe-%016lx-%d", (unsigned long)number,
                    (int)i);
        create_node(slot);
    }
    if (!await(probe, false, probe->until_ns)) {
        fputs("zookeeper_pairs: some requests got no answer\n", stderr);
        return false;
    }
    if (probe->failed != ZOK) {
        fprintf(stderr, "zookeeper_pairs: %s\n", zerror(probe->failed));
        return false;
    }
    printf("%.1f\n", (double)probe->pairs * (double)NS_PER_S / (double)(clock_now_ns() - from_ns));
    return true;
}

int main(int argc, char **argv)
{
    static struct probe probe = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                 .changed = PTHREAD_COND_INITIALIZER};
    int64_t in_flight, seconds;
    probe.lists = argc == 5 && strcmp(argv[4], "list") == 0;
    if (argc != (probe.lists ? 5 : 4) || !text_to_int64(argv[2], &in_flight) ||
        !text_to_int64(argv[3], &seconds) || in_flight < 1 || in_flight > IN_FLIGHT_MAX ||
        seconds < 1 || seconds > 600) {
        fputs("usage: zookeeper_pairs HOST:PORT IN_FLIGHT SECONDS [list]\n", stderr);
        return 2;
    }
    zoo_set_debug_level((ZooLogLevel)0); // silent: what fails is said below
    probe.handle = zookeeper_init(argv[1], on_session, SESSION_MS, NULL, &probe, 0);
    if (probe.handle == NULL || !await(&probe, true, clock_now_ns())) {
        fprintf(stderr, "zookeeper_pairs: no connection to %s\n", argv[1]);
        return 2;
    }
    bool fine = run(&probe, in_flight, seconds);
    zookeeper_close(probe.handle); // and with the session goes what is left
    return fine ? 0 : 1;
}
