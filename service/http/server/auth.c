// Tokens are compared in a time that depends on the length of what was sent and on nothing that is
// secret. With neither token set everything is open; with only a client token set nobody is an
// administrator, rather than everybody.
#include "http/server/auth.h"

#include "http/server/server.h"
#include "http/wire/problem.h"

#include <string.h>
#include <strings.h>

static bool equals(struct slice sent, const char *token)
{
    size_t length = strlen(token);
    if (length == 0)
        return false;
    size_t different = sent.length ^ length;
    for (size_t i = 0; i < sent.length; i++)
        different |= (unsigned char)sent.text[i] ^ (unsigned char)token[i % length];
    return different == 0;
}

static struct slice bearer(struct slice authorization)
{
    static const char scheme[] = "Bearer ";
    size_t length = sizeof scheme - 1;
    if (authorization.length <= length || strncasecmp(authorization.text, scheme, length) != 0)
        return (struct slice){"", 0};
    return (struct slice){authorization.text + length, authorization.length - length};
}

enum rc auth_check(const struct server_settings *settings, enum caller caller,
                   struct slice authorization, struct problem *problem)
{
    bool has_admin = settings->admin_token[0] != '\0';
    bool has_client = settings->client_token[0] != '\0';
    if (caller == CALLER_OPEN || (!has_admin && !has_client) ||
        (caller == CALLER_CLIENT && !has_client))
        return RC_OK;

    struct slice token = bearer(authorization);
    if (equals(token, settings->admin_token))
        return RC_OK;
    bool is_client = equals(token, settings->client_token);
    if (is_client && caller == CALLER_CLIENT)
        return RC_OK;
    if (is_client)
        return problem_set(problem, RC_FORBIDDEN,
                           has_admin ? "This call needs the administrator's token."
                                     : "Nobody may call this: no administrator's token is set.");
    return problem_set(problem, RC_UNAUTHORIZED,
                       authorization.text == NULL
                           ? "This call needs an `Authorization: Bearer` field."
                           : "The Authorization field has no token that is valid here.");
}
