// A bad network as a program: a TCP proxy that obeys commands on standard input. The fault tests
// put one between each instance and each of its servers.
//
// Each connection has two threads, one per direction, so that one direction can be held while the
// other continues. A held direction is not read. Its data stays in the kernel and arrives late,
// even if the sender closes meanwhile: a network does this to a request whose sender gave up.
//
// It prints its port, then reads one command per line and answers each with a line:
//   pass                      end all faults: forward everything
//   hold up|down|both         stop reading from clients, from the server, or from both
//   swallow up|down|both      read and discard
//   delay MS                  delay each piece of data by this time, in both directions
//   cut                       reset all connections; accept new ones
//   refuse                    reset all connections, and every new one
//   lose N WORD               for the next N requests that contain WORD, discard the answer and
//                             reset the connection
//   lost                      answer with the number of answers that `lose` has discarded
// It exits when its standard input ends, and so together with the process that started it.
//
// What breaks it: a WORD split over two reads; more than LINKS_MAX connections at once.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX 512
#define POLL_MS 20
#define WORD_MAX 64
#define STACK_BYTES (128 * 1024)

enum direction { UP, DOWN }; // from the client; from the server

// A connection, shared by its two threads. The last thread to end frees it.
struct link {
    struct proxy *proxy;
    int ends[2]; // [UP]: the client's, which UP reads; [DOWN]: the server's
    atomic_int n_threads;
    atomic_bool broken; // tells both threads to end
    atomic_bool lose;   // the next data from the server is discarded
};

struct way {
    struct link *link;
    enum direction direction;
};

struct proxy {
    struct sockaddr_in target;
    int listener;
    atomic_bool hold[2], swallow[2], refuse;
    atomic_int delay_ms, cuts, n_links;
    atomic_int to_lose, n_lost;
    pthread_mutex_t mutex; // protects the word
    char word[WORD_MAX];
};

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

// ---- a connection ------------------------------------------------------------------------------

// Closes with a reset: data in flight does not arrive.
static void reset(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

static bool is_to_lose(struct proxy *proxy, const char *bytes, size_t n)
{
    if (proxy->to_lose <= 0)
        return false;
    pthread_mutex_lock(&proxy->mutex);
    bool found = memmem(bytes, n, proxy->word, strlen(proxy->word)) != NULL;
    bool lose = found && proxy->to_lose > 0;
    proxy->to_lose -= lose;
    pthread_mutex_unlock(&proxy->mutex);
    return lose;
}

static bool send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

// Forwards one read. False if the direction has ended.
static bool carry(struct link *link, enum direction direction)
{
    struct proxy *proxy = link->proxy;
    char bytes[16384];
    ssize_t n = recv(link->ends[direction], bytes, sizeof bytes, 0);
    if (n <= 0)
        return false;
    if (direction == DOWN && link->lose) {
        proxy->n_lost++;
        link->broken = true;
        return false;
    }
    if (direction == UP && !link->lose && is_to_lose(proxy, bytes, (size_t)n))
        link->lose = true;
    if (proxy->delay_ms > 0)
        sleep_ms(proxy->delay_ms);
    return proxy->swallow[direction] || send_all(link->ends[!direction], bytes, (size_t)n);
}

static void *carry_all(void *arg)
{
    struct way way = *(struct way *)arg;
    struct link *link = way.link;
    struct proxy *proxy = link->proxy;
    int cuts = proxy->cuts;
    free(arg);
    struct pollfd fd = {.fd = link->ends[way.direction], .events = POLLIN};
    while (!link->broken) {
        if (cuts != proxy->cuts)
            link->broken = true;
        else if (proxy->hold[way.direction])
            sleep_ms(POLL_MS / 4);
        else if (poll(&fd, 1, POLL_MS) > 0 && !proxy->hold[way.direction] && cuts == proxy->cuts &&
                 !carry(link, way.direction))
            break; // a command given during the poll applies to data that arrived after it
    }
    // The other direction may still carry data; it ends when its own side closes.
    shutdown(link->ends[!way.direction], SHUT_WR);
    if (atomic_fetch_sub(&link->n_threads, 1) > 1)
        return NULL;
    for (int i = 0; i < 2; i++)
        if (link->broken)
            reset(link->ends[i]);
        else
            close(link->ends[i]);
    proxy->n_links--;
    free(link);
    return NULL;
}

static bool start_way(struct link *link, enum direction direction)
{
    struct way *way = malloc(sizeof *way);
    pthread_attr_t attributes;
    pthread_t thread;
    if (way == NULL)
        return false;
    *way = (struct way){link, direction};
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    bool started = pthread_create(&thread, &attributes, carry_all, way) == 0;
    pthread_attr_destroy(&attributes);
    if (!started)
        free(way);
    return started;
}

static void open_link(struct proxy *proxy, int client)
{
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct link *link = calloc(1, sizeof *link);
    if (server < 0 || link == NULL || proxy->refuse || proxy->n_links >= LINKS_MAX ||
        connect(server, (struct sockaddr *)&proxy->target, sizeof proxy->target) != 0) {
        reset(client);
        if (server >= 0)
            close(server);
        free(link);
        return;
    }
    int on = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *link = (struct link){.proxy = proxy, .ends = {client, server}, .n_threads = 2};
    proxy->n_links++;
    if (!start_way(link, UP) || !start_way(link, DOWN)) {
        fputs("proxy: no more threads\n", stderr);
        exit(1);
    }
}

static void *accept_all(void *arg)
{
    struct proxy *proxy = arg;
    for (;;) {
        int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0)
            open_link(proxy, client);
        else if (errno != EINTR && errno != ECONNABORTED)
            sleep_ms(POLL_MS);
    }
    return NULL;
}

// ---- commands ----------------------------------------------------------------------------------

static bool choose(atomic_bool *flags, const char *which)
{
    bool both = strcmp(which, "both") == 0;
    bool up = both || strcmp(which, "up") == 0, down = both || strcmp(which, "down") == 0;
    flags[UP] = up;
    flags[DOWN] = down;
    return up || down;
}

static void pass(struct proxy *proxy)
{
    proxy->hold[UP] = proxy->hold[DOWN] = proxy->swallow[UP] = proxy->swallow[DOWN] = false;
    proxy->refuse = false;
    proxy->delay_ms = proxy->to_lose = 0;
}

static void lose(struct proxy *proxy, int n, const char *word)
{
    pthread_mutex_lock(&proxy->mutex);
    snprintf(proxy->word, sizeof proxy->word, "%s", word);
    proxy->to_lose = n;
    pthread_mutex_unlock(&proxy->mutex);
}

static bool obey(struct proxy *proxy, const char *line)
{
    char verb[16], text[WORD_MAX];
    int number;
    if (sscanf(line, "lose %d %63s", &number, text) == 2) {
        lose(proxy, number, text);
        return true;
    }
    if (sscanf(line, "delay %d", &number) == 1) {
        proxy->delay_ms = number;
        return true;
    }
    int words = sscanf(line, "%15s %63s", verb, text);
    if (words == 2 && strcmp(verb, "hold") == 0)
        return choose(proxy->hold, text);
    if (words == 2 && strcmp(verb, "swallow") == 0)
        return choose(proxy->swallow, text);
    if (words != 1)
        return false;
    if (strcmp(verb, "pass") == 0)
        pass(proxy);
    else if (strcmp(verb, "refuse") == 0)
        proxy->refuse = true;
    else if (strcmp(verb, "cut") != 0)
        return false;
    proxy->cuts += strcmp(verb, "pass") != 0;
    return true;
}

static void obey_all(struct proxy *proxy)
{
    char line[160];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "lost") == 0)
            printf("%d\n", proxy->n_lost);
        else
            puts(obey(proxy, line) ? "ok" : "not a command");
        fflush(stdout);
    }
}

static bool parse_target(const char *text, struct sockaddr_in *ret_target)
{
    char host[64];
    unsigned port;
    *ret_target = (struct sockaddr_in){.sin_family = AF_INET};
    if (sscanf(text, "%63[0-9.]:%5u", host, &port) != 2 || port == 0 || port > 65535)
        return false;
    ret_target->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &ret_target->sin_addr) == 1;
}

int main(int argc, char **argv)
{
    static struct proxy proxy = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    if (argc != 2 || !parse_target(argv[1], &proxy.target)) {
        fputs("Usage: proxy HOST:PORT   (numbers; then commands on standard input)\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof local;
    pthread_t thread;
    proxy.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy.listener < 0 || bind(proxy.listener, (struct sockaddr *)&local, size) != 0 ||
        listen(proxy.listener, SOMAXCONN) != 0 ||
        getsockname(proxy.listener, (struct sockaddr *)&local, &size) != 0 ||
        pthread_create(&thread, NULL, accept_all, &proxy) != 0) {
        perror("proxy");
        return 1;
    }
    printf("%d\n", ntohs(local.sin_port));
    fflush(stdout);
    obey_all(&proxy);
    return 0;
}
