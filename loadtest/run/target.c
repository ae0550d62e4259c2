// Parses target URLs and resolves their hosts. It rejects what the load tester cannot do, such as
// TLS and credentials in the URL, with a sentence that says what to do instead.
#include "run/target.h"

#include "base/text.h"
#include "history/history.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define PORT_DEFAULT 80
#define HOST_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static bool bad_target(const char *url, const char *why, char *ret_error)
{
    (void)text_format(ret_error, HISTORY_ERROR_MAX, "target '%.120s': %s", url, why);
    return false;
}

// "name", "10.0.0.1" or "[::1]". Returns NULL, or the reason why it is not a host.
static const char *read_host(const char *text, size_t length, struct target *target)
{
    struct in6_addr address;
    bool brackets = length > 2 && text[0] == '[' && text[length - 1] == ']';
    if (length == 0)
        return "it has no host; expected http://HOST[:PORT][/PREFIX], with an IPv6 HOST in [ ]";
    if (!text_format(target->host, sizeof target->host, "%.*s",
                     (int)(brackets ? length - 2 : length), text + brackets))
        return "its host is too long";
    if (brackets)
        return inet_pton(AF_INET6, target->host, &address) == 1
                   ? NULL
                   : "expected an IPv6 address between [ and ], such as [::1]";
    if (target->host[strspn(target->host, HOST_CHARACTERS)] != '\0')
        return "its host contains a character that is not allowed (an IPv6 address needs [ ])";
    return NULL;
}

// Parses what follows the host: ":8080/shop/". Returns NULL, or what is wrong with it.
static const char *read_rest(const char *text, struct target *target)
{
    target->port = PORT_DEFAULT;
    if (*text == ':') {
        char digits[8];
        int64_t port;
        size_t length = strcspn(text + 1, "/");
        if (!text_format(digits, sizeof digits, "%.*s", (int)length, text + 1) ||
            !text_to_int64(digits, &port) || port < 1 || port > 65535)
            return "its port is not a whole number from 1 to 65535";
        target->port = (int)port;
        text += 1 + length;
    }
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '/')
        length--;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e || strchr("?#{}", text[i]) != NULL)
            return "its prefix has a query, or a character that is not allowed in a path";
    }
    if (!text_format(target->prefix, sizeof target->prefix, "%.*s", (int)length, text))
        return "its prefix is longer than 255 bytes";
    return NULL;
}

bool target_parse(const char *url, struct target *ret_target, char *ret_error)
{
    if (strncasecmp(url, "https://", 8) == 0)
        return bad_target(url,
                          "TLS is not supported; give the plain port behind the TLS proxy, as "
                          "http://HOST:PORT",
                          ret_error);
    if (strncasecmp(url, "http://", 7) != 0)
        return bad_target(url, "a target begins with http://, such as http://127.0.0.1:8080",
                          ret_error);
    struct target target = {.url = url};
    const char *host = url + 7;
    size_t length = *host == '[' ? strcspn(host, "]") : strcspn(host, ":/");
    length += host[length] == ']';
    const char *why =
        strcspn(host, "@") < strcspn(host, "/")
            ? "a target may not contain a user or password; give tokens with --client-token"
            : read_host(host, length, &target);
    if (why == NULL && strchr(":/", host[length]) == NULL)
        why = "only a port and a path may follow the address";
    if (why == NULL)
        why = read_rest(host + length, &target);
    if (why != NULL)
        return bad_target(url, why, ret_error);
    bool brackets = *host == '[';
    text_format(target.authority, sizeof target.authority, "%s%s%s", brackets ? "[" : "",
                target.host, brackets ? "]" : "");
    if (target.port != PORT_DEFAULT) {
        size_t used = strlen(target.authority);
        text_format(target.authority + used, sizeof target.authority - used, ":%d", target.port);
    }
    *ret_target = target;
    return true;
}

bool target_resolve(const struct target *target, struct addresses *ret_addresses, char *ret_error)
{
    char port[8];
    text_format(port, sizeof port, "%d", target->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(target->host, port, &hints, &found);
    if (code != 0) {
        text_format(ret_error, HISTORY_ERROR_MAX, "%s: cannot resolve the host: %s", target->url,
                    gai_strerror(code));
        return false;
    }
    ret_addresses->n = 0;
    for (const struct addrinfo *at = found; at != NULL && ret_addresses->n < ADDRESSES_MAX;
         at = at->ai_next) {
        struct address *address = &ret_addresses->list[ret_addresses->n++];
        memcpy(&address->socket, at->ai_addr, at->ai_addrlen);
        address->length = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return true;
}
