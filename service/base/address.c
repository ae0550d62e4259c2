// Parses addresses as people write them.
//
// Every library that takes an address has its own idea of one: what ends the password, whether
// `localhost:3307` is a socket, what an unknown option means. A part that is silently misread
// connects to another server, or without TLS. So all settings use one grammar, that of RFC 3986
// with a list of hosts, and whatever does not fit is refused with the form that is meant.
//
// The authority ends at the first `/`, `?` or `#`; its last `@` ends the password. So a password
// may hold `@` and `:` as they are, but `/`, `?`, `#` and `%` only percent-encoded. An `@` behind
// the authority is refused: it is nearly always the end of a password with a bare `/` or `?`.
//
// What breaks it: an error text or a mask that shows a secret. All output of the text goes through
// address_mask, which never relies on the grammar, because the text may be malformed.
#include "base/address.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const address_tls_words[] = {"off",       "on",          "unverified",
                                         "verify-ca", "verify-full", NULL};

// The text that is left to parse, [at, end), and where errors go.
struct reader {
    const char *at, *end;
    const struct address_form *form;
    struct address *address;
    const char *text; // the whole setting, for errors
    char *error;
    size_t error_size;
};

static enum rc refuse(const struct reader *reader, const char *format, ...) PRINTF_LIKE(2, 3);

static enum rc refuse(const struct reader *reader, const char *format, ...)
{
    char masked[ADDRESS_TEXT_MAX], why[ADDRESS_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    address_mask(reader->text, masked, sizeof masked);
    (void)text_format(reader->error, reader->error_size,
                      "%s: %.160s; expected %.260s, not '%.300s'", reader->form->setting, why,
                      reader->form->expected, masked);
    return RC_USAGE;
}

static bool allows(const struct reader *reader, enum address_flags flag)
{
    return (reader->form->flags & flag) != 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Copies [from, to) and resolves %XX.
static enum rc decode(const struct reader *reader, const char *what, const char *from,
                      const char *to, char *target, size_t size)
{
    size_t length = 0;
    while (from < to) {
        int c = (unsigned char)*from++;
        if (c == '%') {
            if (to - from < 2 || hex_digit(from[0]) < 0 || hex_digit(from[1]) < 0)
                return refuse(reader, "%s: %% must be written as %%25", what);
            c = hex_digit(from[0]) * 16 + hex_digit(from[1]);
            from += 2;
        }
        if (c < ' ' || c == 0x7f)
            return refuse(reader, "%s: contains a control character", what);
        if (length + 1 >= size)
            return refuse(reader, "%s: longer than %zu bytes", what, size - 1);
        target[length++] = (char)c;
    }
    target[length] = '\0';
    return RC_OK;
}

static const char *find(const char *from, const char *to, const char *any_of)
{
    while (from < to && strchr(any_of, *from) == NULL)
        from++;
    return from;
}

static void trim(const char **from, const char **to)
{
    while (*from < *to && **from == ' ')
        ++*from;
    while (*to > *from && (*to)[-1] == ' ')
        --*to;
}

// ---- scheme, user and password ------------------------------------------------------------------

static bool equals(const char *from, const char *to, const char *word)
{
    return strlen(word) == (size_t)(to - from) && strncasecmp(from, word, (size_t)(to - from)) == 0;
}

static const char *scheme_end(const char *from, const char *to)
{
    while (from < to && (isalnum((unsigned char)*from) || strchr("+-.", *from) != NULL))
        from++;
    return from;
}

static bool starts_with(const char *from, const char *to, const char *prefix)
{
    return (size_t)(to - from) >= strlen(prefix) && strncmp(from, prefix, strlen(prefix)) == 0;
}

// `preset`: the scheme of an address without one; NULL: it must have one.
static enum rc read_scheme(struct reader *reader, const struct address_scheme *preset)
{
    const char *end = scheme_end(reader->at, reader->end);
    bool slashes = end > reader->at && starts_with(end, reader->end, "://");
    for (const struct address_scheme *scheme = reader->form->schemes; scheme->name; scheme++) {
        bool path = scheme->socket && starts_with(end, reader->end, ":/");
        if ((!slashes && !path) || !equals(reader->at, end, scheme->name))
            continue;
        reader->address->scheme = scheme;
        reader->at = end + (slashes ? 3 : 1);
        return RC_OK;
    }
    if (slashes)
        return refuse(reader, "unknown scheme '%.*s'", (int)(end - reader->at), reader->at);
    if (preset == NULL)
        return refuse(reader, "no scheme is given");
    reader->address->scheme = preset;
    return RC_OK;
}

// Reads [at, authority) up to its last @.
static enum rc read_user(struct reader *reader, const char *authority)
{
    struct address *address = reader->address;
    const char *at = memrchr(reader->at, '@', (size_t)(authority - reader->at));
    if (find(authority, reader->end, "@") < reader->end)
        return refuse(reader, "in a password, / is written %%2F, ? %%3F and # %%23; behind the "
                              "host, @ is written %%40");
    if (at == NULL)
        return RC_OK;
    if (!allows(reader, ADDRESS_USER))
        return refuse(reader, "no user and password are possible here");
    const char *colon = find(reader->at, at, ":");
    enum rc rc = decode(reader, "user", reader->at, colon, address->user, sizeof address->user);
    if (rc == RC_OK && colon < at)
        rc = decode(reader, "password", colon + 1, at, address->password, sizeof address->password);
    reader->at = at + 1;
    return rc;
}

// ---- hosts --------------------------------------------------------------------------------------

static enum rc read_port(const struct reader *reader, const char *from, const char *to,
                         struct address_host *host)
{
    unsigned port = 0;
    bool valid = from < to;
    for (; valid && from < to; from++) {
        valid = isdigit((unsigned char)*from) && port <= UINT16_MAX;
        port = port * 10 + (unsigned)(*from - '0');
    }
    if (!valid || port > UINT16_MAX || (port == 0 && !allows(reader, ADDRESS_PORT_ZERO)))
        return refuse(reader, "the port is not a number from %d to %d",
                      allows(reader, ADDRESS_PORT_ZERO) ? 0 : 1, UINT16_MAX);
    host->port = (uint16_t)port;
    return RC_OK;
}

// [from, to) is between the brackets. A zone may follow % or, percent-encoded, %25.
static enum rc read_ipv6(const struct reader *reader, const char *from, const char *to,
                         struct address_host *host)
{
    const char *percent = find(from, to, "%");
    const char *zone = starts_with(percent, to, "%25") ? percent + 3 : percent + (percent < to);
    struct in6_addr ignored;
    char digits[INET6_ADDRSTRLEN];
    bool valid = text_format(digits, sizeof digits, "%.*s", (int)(percent - from), from) &&
                 inet_pton(AF_INET6, digits, &ignored) == 1 && (percent == to) == (zone == to);
    for (const char *c = zone; valid && c < to; c++)
        valid = isalnum((unsigned char)*c) || strchr("._-", *c) != NULL;
    if (!valid || !text_format(host->name, sizeof host->name, "%s%s%.*s", digits,
                               zone < to ? "%" : "", (int)(to - zone), zone))
        return refuse(reader, "no IPv6 address stands between [ and ]");
    return RC_OK;
}

static enum rc read_name(const struct reader *reader, const char *from, const char *to,
                         struct address_host *host)
{
    bool digits = true;
    if (allows(reader, ADDRESS_ANY_HOST) && (from == to || equals(from, to, "*")))
        return RC_OK;
    if (from == to)
        return refuse(reader, "no host is given");
    for (const char *c = from; c < to; c++) {
        if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
            return refuse(reader, "a host has a character that no host name has");
        digits &= isdigit((unsigned char)*c) || *c == '.';
    }
    struct in_addr ignored;
    if (!text_format(host->name, sizeof host->name, "%.*s", (int)(to - from), from))
        return refuse(reader, "a host is longer than %zu bytes", sizeof host->name - 1);
    if (digits && inet_pton(AF_INET, host->name, &ignored) != 1)
        return refuse(reader, "a host is neither a name nor an IPv4 address");
    return RC_OK;
}

static enum rc read_host(struct reader *reader, const char *from, const char *to)
{
    struct address *address = reader->address;
    if (address->n_hosts == ADDRESS_HOSTS_MAX)
        return refuse(reader, "more than %d hosts", ADDRESS_HOSTS_MAX);
    struct address_host *host = &address->hosts[address->n_hosts++];
    const char *name_end, *colon;
    enum rc rc;
    if (from < to && *from == '[') {
        name_end = find(from, to, "]");
        colon = name_end + (name_end < to);
        if (name_end == to || (colon < to && *colon != ':'))
            return refuse(reader, "an IPv6 address and its port are written [::1]:8080");
        rc = read_ipv6(reader, from + 1, name_end, host);
    } else {
        name_end = colon = find(from, to, ":");
        if (colon < to && find(colon + 1, to, ":") < to)
            return refuse(reader, "an IPv6 address is written in brackets, as in [::1]");
        rc = read_name(reader, from, name_end, host);
    }
    if (rc != RC_OK)
        return rc;
    if (colon < to)
        return read_port(reader, colon + 1, to, host);
    if (address->scheme->port == 0)
        return refuse(reader, "no port is given");
    host->port = (uint16_t)address->scheme->port;
    return RC_OK;
}

static enum rc read_hosts(struct reader *reader, const char *authority)
{
    enum rc rc = RC_OK;
    bool more = true;
    while (rc == RC_OK && more) {
        const char *from = reader->at, *comma = find(from, authority, ",");
        const char *to = comma;
        more = comma < authority;
        if (more && !allows(reader, ADDRESS_HOSTS))
            return refuse(reader, "only one host is possible here");
        trim(&from, &to);
        rc = read_host(reader, from, to);
        reader->at = comma + more;
    }
    return rc;
}

// ---- options ------------------------------------------------------------------------------------

// Compares [from, to) with an option's name.
static bool names_option(const char *from, const char *to, const char *name)
{
    for (; from < to && *name != '\0'; from++, name++)
        if ((*from == '_' ? '-' : tolower((unsigned char)*from)) != *name)
            return false;
    return from == to && *name == '\0';
}

static const struct address_option *find_option(const struct address_form *form, const char *from,
                                                const char *to)
{
    const struct address_option *option = form->options;
    while (option != NULL && option->name != NULL && !names_option(from, to, option->name))
        option++;
    return option != NULL && option->name != NULL ? option : NULL;
}

static enum rc check_value(const struct reader *reader, const struct address_option *option,
                           const char *value)
{
    char words[ADDRESS_HOST_MAX] = "";
    size_t used = 0;
    int64_t number;
    if (option->max > 0) {
        if (text_to_int64(value, &number) && number >= option->min && number <= option->max)
            return RC_OK;
        return refuse(reader, "%s is a whole number from %lld to %lld", option->name,
                      (long long)option->min, (long long)option->max);
    }
    if (option->choices == NULL)
        return *value != '\0' ? RC_OK : refuse(reader, "%s has no value", option->name);
    for (size_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(value, option->choices[i]) == 0)
            return RC_OK;
        (void)text_format(words + used, sizeof words - used, "%s%s", i == 0 ? "" : ", ",
                          option->choices[i]);
        used += strlen(words + used);
    }
    return refuse(reader, "%s is one of %s", option->name, words);
}

// [from, to) is one `name=value`.
static enum rc read_option(struct reader *reader, const char *from, const char *to)
{
    struct address *address = reader->address;
    const char *equals_sign = find(from, to, "=");
    const struct address_option *option = find_option(reader->form, from, equals_sign);
    if (reader->form->options == NULL)
        return refuse(reader, "no options are possible here");
    if (equals_sign == to)
        return refuse(reader, "an option is written name=value");
    if (option == NULL)
        return refuse(reader, "there is no option '%.*s'",
                      (int)(equals_sign - from < 40 ? equals_sign - from : 40), from);
    if (address_option(address, option->name) != NULL)
        return refuse(reader, "%s is given twice", option->name);
    if (address->n_options == ADDRESS_OPTIONS_MAX)
        return refuse(reader, "more than %d options", ADDRESS_OPTIONS_MAX);
    char *value = address->options[address->n_options].value;
    enum rc rc = decode(reader, option->name, equals_sign + 1, to, value, ADDRESS_TEXT_MAX);
    address->options[address->n_options++].name = option->name;
    return rc == RC_OK ? check_value(reader, option, value) : rc;
}

// [at, end) is what follows the `?`.
static enum rc read_options(struct reader *reader)
{
    enum rc rc = RC_OK;
    while (rc == RC_OK && reader->at < reader->end) {
        const char *ampersand = find(reader->at, reader->end, "&");
        rc = read_option(reader, reader->at, ampersand);
        reader->at = ampersand + (ampersand < reader->end);
    }
    const struct address *address = reader->address;
    const char *tls = address_option(address, "tls");
    if (rc == RC_OK && tls != NULL && strcmp(tls, "off") == 0 &&
        (address->scheme->tls || address_option(address, "ca") != NULL))
        rc = refuse(reader, "tls=off contradicts the rest of the address");
    if (rc == RC_OK && tls != NULL && strcmp(tls, "verify-ca") == 0 &&
        address_option(address, "ca") == NULL)
        rc = refuse(reader, "tls=verify-ca needs ca=FILE");
    return rc;
}

// ---- the whole ----------------------------------------------------------------------------------

// Reads what follows the authority, up to the `?`, into the path or the socket.
static enum rc read_path(struct reader *reader)
{
    struct address *address = reader->address;
    bool socket = address->scheme->socket;
    const char *end = find(reader->at, reader->end, "?#");
    if (end < reader->end && *end == '#')
        return refuse(reader, "# is written as %%23");
    const char *from = reader->at;
    if (!socket && from < end)
        from++; // the slash
    reader->at = end + (end < reader->end);
    if (socket && from == end)
        return refuse(reader, "no path of a socket is given");
    if (!socket && from < end && !allows(reader, ADDRESS_PATH | ADDRESS_PATH_REQUIRED))
        return refuse(reader, "nothing may follow the port but options");
    if (!socket && from == end && allows(reader, ADDRESS_PATH_REQUIRED))
        return refuse(reader, "nothing stands behind the host's /");
    return decode(reader, "path", from, end, socket ? address->socket : address->path,
                  ADDRESS_TEXT_MAX);
}

static enum rc read_address(struct reader *reader, const struct address_scheme *preset)
{
    struct address *address = reader->address;
    enum rc rc = read_scheme(reader, preset);
    if (rc != RC_OK)
        return rc;
    const char *authority = find(reader->at, reader->end, "/?#");
    rc = read_user(reader, authority);
    if (rc != RC_OK)
        return rc;
    const char *hosts = reader->at;
    reader->at = authority;
    rc = read_path(reader);
    if (rc == RC_OK)
        rc = read_options(reader);
    if (rc != RC_OK)
        return rc;
    const char *socket = address_option(address, "socket");
    if (socket != NULL)
        (void)text_copy(address->socket, sizeof address->socket, socket);
    if (address->socket[0] == '\0') {
        reader->at = hosts;
        return read_hosts(reader, authority);
    }
    if (address->socket[0] != '/')
        return refuse(reader, "the socket's path does not begin with /");
    return hosts < authority ? refuse(reader, "a host and a socket exclude each other") : RC_OK;
}

static const struct address_scheme *preset_of(const struct address_form *form)
{
    return (form->flags & ADDRESS_SCHEMELESS) != 0 ? &form->schemes[0] : NULL;
}

enum rc address_parse(const char *text, const struct address_form *form,
                      struct address *ret_address, char *ret_error, size_t size)
{
    struct address address = {0};
    struct reader reader = {text, text + strlen(text), form, &address, text, ret_error, size};
    trim(&reader.at, &reader.end);
    enum rc rc = read_address(&reader, preset_of(form));
    if (rc == RC_OK)
        *ret_address = address;
    return rc;
}

enum rc address_parse_list(const char *text, const struct address_form *form, size_t max,
                           struct address *ret_addresses, size_t *ret_n, char *ret_error,
                           size_t size)
{
    const struct address_scheme *preset = preset_of(form);
    const char *at = text, *end = text + strlen(text);
    size_t n = 0;
    enum rc rc = RC_OK;
    for (bool more = true; rc == RC_OK && more; n++) {
        const char *comma = find(at, end, ",");
        struct reader reader = {at, comma, form, &ret_addresses[n], text, ret_error, size};
        if (n == max)
            return refuse(&reader, "more than %zu addresses", max);
        trim(&reader.at, &reader.end);
        ret_addresses[n] = (struct address){0};
        rc = read_address(&reader, preset);
        preset = ret_addresses[n].scheme;
        more = comma < end;
        at = comma + more;
    }
    if (rc == RC_OK)
        *ret_n = n;
    return rc;
}
