// Tests that the load tester tries every address of a host. The name server is a function here: it
// gives the host's first addresses to nothing that listens.
#include "base/text.h"
#include "history/history.h"
#include "run/connection.h"
#include "suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOSTS 3

// 127.0.0.1 to 127.0.0.HOSTS, in this order.
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret_found)
{
    (void)host, (void)hints;
    *ret_found = NULL;
    for (unsigned i = HOSTS; i > 0; i--) {
        struct addrinfo *found = calloc(1, sizeof *found);
        struct sockaddr_in *address = calloc(1, sizeof *address);
        *address = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
                                        .sin_addr.s_addr = htonl(0x7f000000 + i)};
        *found = (struct addrinfo){.ai_addr = (struct sockaddr *)address,
                                   .ai_addrlen = sizeof *address,
                                   .ai_next = *ret_found};
        *ret_found = found;
    }
    return 0;
}

void freeaddrinfo(struct addrinfo *found)
{
    while (found != NULL) {
        struct addrinfo *next = found->ai_next;
        free(found->ai_addr);
        free(found);
        found = next;
    }
}

// A listener at 127.0.0.`host`, at *port, or, if that is 0, at a free one, which is then in *port.
// Returns its descriptor.
static int listen_at(unsigned host, int *port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)*port),
                                  .sin_addr.s_addr = htonl(0x7f000000 + host)};
    socklen_t length = sizeof address;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return listener;
}

static struct addresses resolve(int port)
{
    char url[64], error[HISTORY_ERROR_MAX] = "";
    struct target target;
    struct addresses addresses;
    text_format(url, sizeof url, "http://shop.example:%d", port);
    ck_assert_msg(target_parse(url, &target, error), "%s", error);
    ck_assert_msg(target_resolve(&target, &addresses, error), "%s", error);
    ck_assert_uint_eq(addresses.n, HOSTS);
    return addresses;
}

// Opens the connection. Returns 0, or the errno of the last address.
static int open_now(struct connection *connection)
{
    struct epoll_event event;
    int code = connection_open(connection);
    while (code == 0 && connection->state == CONNECTION_OPENING) {
        ck_assert_int_eq(epoll_wait(connection->epoll, &event, 1, 5000), 1);
        code = connection_opened(connection);
        code = code == EINPROGRESS ? 0 : code;
    }
    return code;
}

START_TEST(each_address_is_tried)
{
    for (unsigned host = 1; host <= HOSTS; host++) {
        int port = 0, listener = listen_at(host, &port);
        const struct addresses addresses = resolve(port);
        struct connection connection;
        connection_init(&connection, epoll_create1(EPOLL_CLOEXEC), &addresses);
        for (int again = 0; again < 2; again++) {
            ck_assert_int_eq(open_now(&connection), 0);
            ck_assert_uint_eq(connection.address, host - 1);
        }
        close(listener);
        for (int again = 0; again < 2; again++)
            ck_assert_int_eq(open_now(&connection), ECONNREFUSED);
        close(connection.epoll);
        connection_release(&connection);
    }
}
END_TEST

START_TEST(an_address_that_takes_too_long_is_left)
{
    int port = 0, listeners[HOSTS];
    for (unsigned i = 0; i < HOSTS; i++)
        listeners[i] = listen_at(i + 1, &port);
    const struct addresses addresses = resolve(port);
    struct connection connection;
    connection_init(&connection, epoll_create1(EPOLL_CLOEXEC), &addresses);
    ck_assert_int_eq(connection_open(&connection), 0);
    for (unsigned i = 1; i < HOSTS; i++) {
        ck_assert(connection_try_next(&connection));
        ck_assert_uint_eq(connection.address, i);
    }
    ck_assert(!connection_try_next(&connection)); // each was tried once
    close(connection.epoll);
    for (unsigned i = 0; i < HOSTS; i++)
        close(listeners[i]);
    connection_release(&connection);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load addresses");
    TCase *tests = tcase_create("load addresses");
    tcase_add_test(tests, each_address_is_tried);
    tcase_add_test(tests, an_address_that_takes_too_long_is_left);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
