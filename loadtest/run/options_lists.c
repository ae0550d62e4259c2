// Reads the values of flags that have parts: lists of prizes, a mix of operations, a target's URL.
#include "run/options_parts.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WEIGHT_MAX INT64_C(1000000000)
#define QUANTITY_MAX INT64_C(1000000)
#define PORT_DEFAULT 80
#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// ---- lists

// The part up to the separator, which it then skips. False if it is empty or too long.
static bool next_part(const char **at, char separator, char *target, size_t size)
{
    const char stop[] = {separator, '\0'};
    size_t length = strcspn(*at, stop);
    target[0] = '\0';
    bool fits = length > 0 && text_format(target, size, "%.*s", (int)length, *at);
    *at += length + ((*at)[length] != '\0');
    return fits;
}

static bool read_prize(const char *text, struct plan_prize *prize)
{
    char quantity[24], weight[24];
    return next_part(&text, ':', prize->name, sizeof prize->name) &&
           prize->name[strspn(prize->name, LETTERS_AND_DIGITS "._-")] == '\0' &&
           next_part(&text, ':', quantity, sizeof quantity) &&
           text_to_int64(quantity, &prize->quantity) && prize->quantity >= 0 &&
           prize->quantity <= QUANTITY_MAX && next_part(&text, ':', weight, sizeof weight) &&
           text_to_int64(weight, &prize->weight) && prize->weight >= 0 &&
           prize->weight <= WEIGHT_MAX && *text == '\0';
}

static bool is_new_prize(const struct plan *plan, const struct plan_prize *prize)
{
    for (size_t i = 0; i < plan->n_prizes; i++) {
        if (strcmp(plan->prizes[i].name, prize->name) == 0)
            return false;
    }
    return true;
}

bool value_prizes(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    char part[80];
    plan->n_prizes = 0;
    while (*text != '\0') {
        struct plan_prize prize;
        if (!next_part(&text, ',', part, sizeof part) || !read_prize(part, &prize) ||
            !is_new_prize(plan, &prize) || plan->n_prizes == PRIZES_MAX) {
            (void)text_format(ret_error, HISTORY_ERROR_MAX,
                              "%s: '%.60s' is not a prize NAME:QUANTITY:WEIGHT such as "
                              "silver:10:19, with another name of at most 32 letters and digits "
                              "for each of at most %d prizes",
                              flag->name, part, PRIZES_MAX);
            return false;
        }
        plan->prizes[plan->n_prizes++] = prize;
    }
    if (plan->n_prizes == 0)
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "%s: expected a prize at least, as gold:1:1", flag->name);
    return plan->n_prizes > 0;
}

// "deduct=60". A kind that stands there already (not -1) is refused.
static bool read_weight(const char *text, int64_t *mix)
{
    static const struct {
        const char *name;
        enum attempt_kind kind;
    } names[] = {
        {"deduct", KIND_DEDUCT}, {"read", KIND_READ}, {"issue", KIND_ISSUE}, {"draw", KIND_DRAW}};
    char name[16];
    int64_t weight;
    if (!next_part(&text, '=', name, sizeof name) || !text_to_int64(text, &weight) || weight < 0 ||
        weight > WEIGHT_MAX)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (strcmp(names[i].name, name) != 0 || mix[names[i].kind] >= 0)
            continue;
        mix[names[i].kind] = weight;
        return true;
    }
    return false;
}

bool value_mix(const struct flag *flag, const char *text, struct plan *plan, char *ret_error)
{
    char part[40];
    int64_t mix[KIND_COUNT], sum = 0;
    for (size_t i = 0; i < KIND_COUNT; i++)
        mix[i] = -1;
    while (*text != '\0') {
        if (next_part(&text, ',', part, sizeof part) && read_weight(part, mix))
            continue;
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "%s: '%.39s' is not one of deduct, read, issue, draw with its weight, as "
                          "in deduct=60,read=40, each of them once",
                          flag->name, part);
        return false;
    }
    for (size_t i = 0; i < KIND_COUNT; i++) {
        plan->mix[i] = mix[i] > 0 ? mix[i] : 0;
        sum += plan->mix[i];
    }
    if (sum == 0)
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "%s: the weights are all 0; expected a list such as deduct=60,read=40",
                          flag->name);
    return sum > 0;
}

// ---- targets

static bool bad_target(const char *url, const char *why, char *ret_error)
{
    (void)text_format(ret_error, HISTORY_ERROR_MAX, "target '%.120s': %s", url, why);
    return false;
}

// "name", "10.0.0.1" or "[::1]". NULL, or why it is none.
static const char *read_host(const char *text, size_t length, struct target *target)
{
    struct in6_addr address;
    bool brackets = length > 2 && text[0] == '[' && text[length - 1] == ']';
    if (length == 0)
        return "there is no host in it; expected http://HOST[:PORT][/PREFIX], an IPv6 HOST in [ ]";
    if (!text_format(target->host, sizeof target->host, "%.*s",
                     (int)(brackets ? length - 2 : length), text + brackets))
        return "its host is too long";
    if (brackets)
        return inet_pton(AF_INET6, target->host, &address) == 1
                   ? NULL
                   : "between [ and ] must stand an IPv6 address, as [::1]";
    if (target->host[strspn(target->host, LETTERS_AND_DIGITS "._-")] != '\0')
        return "its host has characters that no host has (an IPv6 address stands in [ ])";
    return NULL;
}

// What stands behind the host: ":8080/shop/".
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
            return "its prefix has a character that a path cannot have, or a query";
    }
    if (!text_format(target->prefix, sizeof target->prefix, "%.*s", (int)length, text))
        return "its prefix is longer than 255 bytes";
    return NULL;
}

bool options_read_target(const char *url, struct target *ret_target, char *ret_error)
{
    if (strncasecmp(url, "https://", 8) == 0)
        return bad_target(url,
                          "TLS is not spoken here; let a proxy in front end it, and give the plain "
                          "port behind it as http://HOST:PORT",
                          ret_error);
    if (strncasecmp(url, "http://", 7) != 0)
        return bad_target(url, "a target begins with http://, as http://127.0.0.1:8080", ret_error);
    struct target target = {.url = url};
    const char *host = url + 7;
    size_t length = *host == '[' ? strcspn(host, "]") : strcspn(host, ":/");
    length += host[length] == ']';
    const char *why = strcspn(host, "@") < strcspn(host, "/")
                          ? "a target has no user or password; give tokens with --client-token"
                          : read_host(host, length, &target);
    if (why == NULL && strchr(":/", host[length]) == NULL)
        why = "behind the address may stand a port and a path only";
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
