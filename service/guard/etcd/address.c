// A list of endpoints as people write it: with or without the scheme, with or without blanks after
// the commas. Whatever could not be an endpoint is refused here, once, and not met at midnight.
#include "guard/etcd/address.h"

#include "base/text.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define LIST_MAX 512

static bool parse_user(struct etcd_address *address, char *user)
{
    char *colon = strchr(user, ':');
    if (colon == NULL || colon == user)
        return false;
    *colon = '\0';
    return text_copy(address->user, sizeof address->user, user) &&
           text_copy(address->password, sizeof address->password, colon + 1);
}

static bool parse_endpoint(struct etcd_address *address, char *text)
{
    const char *scheme = "http";
    char *host = text + strspn(text, " ");
    host[strcspn(host, " ")] = '\0';
    if (strncasecmp(host, "https://", strlen("https://")) == 0)
        scheme = "https";
    char *slashes = strstr(host, "://");
    if (slashes != NULL) {
        if (strncasecmp(host, "http", strlen("http")) != 0)
            return false;
        host = slashes + strlen("://");
    }
    char *at = strrchr(host, '@');
    if (at != NULL) {
        *at = '\0';
        if (!parse_user(address, host))
            return false;
        host = at + 1;
    }
    if (*host != '\0' && host[strlen(host) - 1] == '/')
        host[strlen(host) - 1] = '\0';
    const char *colon = strrchr(host, ':');
    int64_t port;
    if (colon == NULL || colon == host || strpbrk(host, "/?#\"\\") != NULL ||
        !text_to_int64(colon + 1, &port) || port < 1 || port > UINT16_MAX)
        return false;
    return address->n < ETCD_ENDPOINTS_MAX &&
           text_format(address->urls[address->n++], ETCD_URL_MAX, "%s://%s", scheme, host);
}

bool etcd_address_parse(const char *text, struct etcd_address *ret_address)
{
    char list[LIST_MAX];
    struct etcd_address address = {0};
    if (!text_copy(list, sizeof list, text))
        return false;
    char *rest = NULL;
    for (char *one = strtok_r(list, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest))
        if (!parse_endpoint(&address, one))
            return false;
    if (address.n == 0)
        return false;
    *ret_address = address;
    return true;
}
