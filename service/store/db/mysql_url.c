// Parses the URL of a MySQL or MariaDB database.
#include "store/db/mysql_url.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Copies [from, to) and resolves %XX. False if it does not fit, is malformed or holds a NUL.
static bool decode(char *target, size_t size, const char *from, const char *to)
{
    size_t length = 0;
    while (from < to) {
        int c = (unsigned char)*from++;
        if (c == '%') {
            if (to - from < 2 || hex_digit(from[0]) < 0 || hex_digit(from[1]) < 0)
                return false;
            c = hex_digit(from[0]) * 16 + hex_digit(from[1]);
            from += 2;
        }
        if (c == 0 || length + 1 >= size)
            return false;
        target[length++] = (char)c;
    }
    target[length] = '\0';
    return true;
}

static bool parse_host(const char *from, const char *to, struct mysql_url *url)
{
    const char *end = to, *colon = NULL;
    if (*from == '[') {
        const char *close = memchr(from, ']', (size_t)(to - from));
        if (close == NULL)
            return false;
        from++;
        end = close;
        colon = close + 1 < to ? close + 1 : NULL;
    } else {
        colon = memchr(from, ':', (size_t)(to - from));
        if (colon != NULL)
            end = colon;
    }
    url->port = 3306;
    if (colon != NULL) {
        char digits[8];
        int64_t port;
        if (*colon != ':' || !decode(digits, sizeof digits, colon + 1, to) ||
            !text_to_int64(digits, &port) || port < 1 || port > 65535)
            return false;
        url->port = (unsigned)port;
    }
    return end > from && decode(url->host, sizeof url->host, from, end);
}

bool mysql_url_parse(const char *rest, struct mysql_url *ret_url)
{
    struct mysql_url url = {.port = 3306};
    const char *slash = strrchr(rest, '/');
    if (slash == NULL ||
        !decode(url.database, sizeof url.database, slash + 1, slash + strlen(slash)))
        return false;
    const char *host = rest;
    for (const char *at = rest; at < slash; at++) {
        if (*at == '@')
            host = at + 1;
    }
    if (host > rest) {
        const char *end = host - 1;
        const char *colon = memchr(rest, ':', (size_t)(end - rest));
        if (!decode(url.user, sizeof url.user, rest, colon != NULL ? colon : end))
            return false;
        if (colon != NULL && !decode(url.password, sizeof url.password, colon + 1, end))
            return false;
    }
    if (url.database[0] == '\0' || !parse_host(host, slash, &url))
        return false;
    *ret_url = url;
    return true;
}
