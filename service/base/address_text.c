// What is done with an address that was parsed: its options, its hosts as text, and the mask that
// hides its secrets in logs.
#include "base/address.h"
#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

const char *address_option(const struct address *address, const char *name)
{
    for (size_t i = 0; i < address->n_options; i++)
        if (strcmp(address->options[i].name, name) == 0)
            return address->options[i].value;
    return NULL;
}

int64_t address_option_int(const struct address *address, const char *name, int64_t fallback)
{
    const char *text = address_option(address, name);
    int64_t number;
    return text != NULL && text_to_int64(text, &number) ? number : fallback;
}

enum address_tls address_tls(const struct address *address)
{
    const char *word = address_option(address, "tls");
    if (word == NULL)
        return address->scheme->tls || address_option(address, "ca") != NULL
                   ? ADDRESS_TLS_VERIFY_FULL
                   : ADDRESS_TLS_OFF;
    return strcmp(word, "off") == 0          ? ADDRESS_TLS_OFF
           : strcmp(word, "unverified") == 0 ? ADDRESS_TLS_UNVERIFIED
           : strcmp(word, "verify-ca") == 0  ? ADDRESS_TLS_VERIFY_CA
                                             : ADDRESS_TLS_VERIFY_FULL;
}

bool address_is_loopback(const struct address_host *host)
{
    size_t digits = strspn(host->name, "0123456789.");
    return strcasecmp(host->name, "localhost") == 0 || strcmp(host->name, "::1") == 0 ||
           (strncmp(host->name, "127.", 4) == 0 && host->name[digits] == '\0');
}

bool address_host_text(const struct address_host *host, char *target, size_t size)
{
    bool ipv6 = strchr(host->name, ':') != NULL;
    return text_format(target, size, "%s%s%s:%u", ipv6 ? "[" : "", host->name, ipv6 ? "]" : "",
                       (unsigned)host->port);
}

// ---- the mask -----------------------------------------------------------------------------------

static const char *user_of(const char *from, const char *to)
{
    const char *c = from;
    while (c < to && (isalnum((unsigned char)*c) || strchr("+-. ", *c) != NULL))
        c++;
    return to - c >= 3 && strncmp(c, "://", 3) == 0 ? c + 3 : from;
}

// Whether [from, to) can be no piece of a password: it has an @ already, or is host or host:digits.
static bool is_complete(const char *from, const char *to)
{
    const char *user = user_of(from, to);
    if (memchr(user, '@', (size_t)(to - user)) != NULL)
        return true;
    const char *colon = memchr(user, ':', (size_t)(to - user));
    while (colon != NULL && ++colon < to && *colon != '/')
        if (!isdigit((unsigned char)*colon))
            return false;
    return true;
}

// Whether this comma ends the address that begins at `from`. It may also be within a password; then
// what follows has an @ without a user and a password of its own.
static bool ends_address(const char *from, const char *comma)
{
    const char *at = strchr(comma, '@');
    return is_complete(from, comma) &&
           (at == NULL || memchr(comma, ':', (size_t)(at - comma)) != NULL);
}

static bool is_secret(const char *name, size_t length)
{
    static const char *const words[] = {"pass", "pwd", "secret", "token", "auth"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        for (size_t at = 0; at + strlen(words[i]) <= length; at++)
            if (strncasecmp(name + at, words[i], strlen(words[i])) == 0)
                return true;
    return false;
}

static void append(char *target, size_t size, const char *from, const char *to)
{
    size_t used = strlen(target);
    (void)text_format(target + used, size - used, "%.*s", (int)(to - from), from);
}

static void append_text(char *target, size_t size, const char *text)
{
    append(target, size, text, text + strlen(text));
}

// Appends [from, to), where the user and the password have ended.
static void append_rest(const char *from, const char *to, char *target, size_t size)
{
    const char *name = from; // of the option that is read
    for (const char *c = from; c < to; c++) {
        if (*c == '?' || *c == '&')
            name = c + 1;
        if (*c != '=' || !is_secret(name, (size_t)(c - name)))
            continue;
        append(target, size, from, c + 1);
        append_text(target, size, "***");
        while (c + 1 < to && c[1] != '&' && c[1] != ',')
            c++;
        from = c + 1;
    }
    append(target, size, from, to);
}

static void append_masked(const char *from, const char *to, char *target, size_t size)
{
    const char *user = user_of(from, to);
    const char *at = memrchr(user, '@', (size_t)(to - user));
    const char *colon = at != NULL ? memchr(user, ':', (size_t)(at - user)) : NULL;
    if (colon != NULL) {
        append(target, size, from, colon + 1);
        append_text(target, size, "***");
        from = at;
    }
    append_rest(from, to, target, size);
}

void address_mask(const char *text, char *target, size_t size)
{
    const char *from = text;
    target[0] = '\0';
    for (const char *comma = text; (comma = strchr(comma, ',')) != NULL; comma++) {
        if (!ends_address(from, comma))
            continue;
        append_masked(from, comma + 1, target, size);
        from = comma + 1;
    }
    append_masked(from, from + strlen(from), target, size);
}
