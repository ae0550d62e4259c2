// Judges a header section: first the framing, which decides where the request ends; then route,
// caller, media type, idempotency key and strategy. The fields are walked once.
//
// What breaks it: looking at the route before the framing. A request that smuggles another one
// would then get an ordinary 404, and the connection would stay open.
#include "http/server/judge.h"

#include "guard/strategy/registry.h"
#include "http/api/router.h"
#include "http/call.h"
#include "http/server/server.h"
#include "http/wire/body.h"
#include "http/wire/entity_tag.h"
#include "http/wire/raw_head.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>

static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                size_t name_length, const char *value, size_t value_length)
{
    (void)kind;
    strict_field(cls, (struct slice){name, name_length},
                 (struct slice){value != NULL ? value : "", value_length});
    return MHD_YES;
}

static enum rc judge_size(struct call *call, size_t n_fields)
{
    if (call->target_length > TARGET_MAX)
        return problem_set(&call->problem, RC_TARGET_TOO_LONG, "Path and query exceed %d bytes.",
                           TARGET_MAX);
    if (n_fields > HEAD_FIELDS_MAX)
        return problem_set(&call->problem, RC_HEADERS_TOO_LARGE,
                           "The request has more than %d header fields.", HEAD_FIELDS_MAX);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (info == NULL || info->header_size + n_fields * HEAD_FIELD_COST > HEAD_MAX)
        return problem_set(&call->problem, RC_HEADERS_TOO_LARGE,
                           "The header section exceeds %zu bytes, counting %d bytes more for each "
                           "field.",
                           HEAD_MAX, HEAD_FIELD_COST);
    return RC_OK;
}

enum rc judge_framing(struct call *call, const char *method, const char *version,
                      struct fields *ret_fields, struct framing *ret_framing)
{
    call->method = strict_method(method); // a refusal depends on it
    int n_fields =
        MHD_get_connection_values_n(call->connection, MHD_HEADER_KIND, on_field, ret_fields);
    enum rc rc = judge_size(call, (size_t)n_fields - 1); // without ours, see save_memory
    if (rc != RC_OK)
        return rc;
    const char *why =
        raw_head_check(call->connection, method, call->target_raw, call->target_length, version);
    if (why != NULL)
        return problem_set(&call->problem, RC_MALFORMED_REQUEST, "%s", why);
    why = strict_target(call->target.data, call->target_length);
    if (why != NULL)
        return problem_set(&call->problem, RC_MALFORMED_REQUEST, "%s", why);
    if (call->method == METHOD_UNKNOWN)
        return problem_set(&call->problem, RC_NOT_IMPLEMENTED, "Unknown method.");
    rc = strict_framing(ret_fields, strcmp(version, MHD_HTTP_VERSION_1_0) != 0, BODY_MAX,
                        ret_framing, &why);
    if (rc != RC_OK)
        return problem_set(&call->problem, rc, "%s", why);
    return RC_OK;
}

// Copies a key without its quotes. It may be bare, or a quoted string with \" and \\ in it. False
// if it is neither, or too long.
static bool unquote(struct slice field, char key[REQUEST_KEY_MAX + 1])
{
    bool quoted = field.length >= 2 && field.text[0] == '"' && field.text[field.length - 1] == '"';
    size_t length = 0, end = field.length - (quoted ? 1 : 0);
    for (size_t i = quoted ? 1 : 0; i < end; i++) {
        char c = field.text[i];
        if (quoted && c == '\\') {
            if (++i == end || (field.text[i] != '"' && field.text[i] != '\\'))
                return false;
            c = field.text[i];
        } else if (c == '"') {
            return false;
        }
        if (length == REQUEST_KEY_MAX)
            return false;
        key[length++] = c;
    }
    key[length] = '\0';
    return id_is_visible(key, length, REQUEST_KEY_MAX);
}

static enum rc read_key(struct call *call, struct slice field)
{
    if (field.text == NULL)
        return problem_set(&call->problem, RC_IDEMPOTENCY_KEY_MISSING,
                           "This call needs an Idempotency-Key header.");
    if (!unquote(field, call->operation.request_key))
        return problem_set(&call->problem, RC_MALFORMED_REQUEST,
                           "The Idempotency-Key must be 1 to %d visible ASCII characters, bare or "
                           "as a quoted string.",
                           REQUEST_KEY_MAX);
    return RC_OK;
}

static enum rc read_strategy(struct call *call, struct slice field)
{
    call->job.strategy = NULL;
    if (field.text == NULL)
        return RC_OK;
    if (!call->context->settings->lab)
        return problem_set(&call->problem, RC_FORBIDDEN,
                           "X-Holdfast-Strategy is allowed in lab mode only.");
    char name[STRATEGY_NAME_MAX + 1];
    text_format(name, sizeof name, "%.*s", (int)field.length, field.text);
    const struct strategy *strategy = field.length < sizeof name ? strategy_find(name) : NULL;
    if (strategy == NULL)
        return problem_field(&call->problem, RC_INVALID_FIELD, "X-Holdfast-Strategy",
                             "a name that GET /v1/strategies lists");
    char why[GUARD_ERROR_MAX] = "";
    if (engine_can_use(call->context->engine, strategy, why) != RC_OK) {
        problem_field(&call->problem, RC_INVALID_FIELD, "X-Holdfast-Strategy",
                      "a strategy that is usable on this instance");
        text_copy(call->problem.detail, sizeof call->problem.detail, why);
        return call->problem.rc;
    }
    call->job.strategy = strategy;
    return RC_OK;
}

// A call that changes something and would ignore a condition refuses it, like an unknown field:
// otherwise the client would believe that its change was protected.
static enum rc read_precondition(struct call *call, const struct fields *fields)
{
    call->precondition = (struct precondition){.kind = PRECONDITION_NONE};
    if ((call->route->flags & ROUTE_TAGGED) != 0)
        return entity_tag_read(fields->if_match, fields->if_none_match, &call->precondition,
                               &call->problem);
    if (call->route->method == METHOD_GET)
        return RC_OK;
    if (fields->if_match.text != NULL)
        return problem_field(&call->problem, RC_UNKNOWN_FIELD, "If-Match", "%s", "");
    if (fields->if_none_match.text != NULL)
        return problem_field(&call->problem, RC_UNKNOWN_FIELD, "If-None-Match", "%s", "");
    return RC_OK;
}

// In constant time for a given length of `sent`.
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

// Checks the Authorization field (text NULL if absent) against the caller that the route requires.
// The administrator's token may call everything. If neither token is set every call is allowed,
// which server_new permits on loopback only. With only a client token set, administrators' calls
// are refused rather than open. Comparing takes a time that depends only on the length that was
// sent.
static enum rc check_caller(const struct server_settings *settings, enum caller caller,
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
                           has_admin
                               ? "This call needs the administrator's token."
                               : "This call is disabled because no administrator's token is set.");
    return problem_set(problem, RC_UNAUTHORIZED,
                       authorization.text == NULL
                           ? "This call needs an `Authorization: Bearer` header."
                           : "The Authorization header has no valid token.");
}

enum rc judge_request(struct call *call, const struct fields *fields)
{
    char *query = strchr(call->target.data, '?');
    call->query = query != NULL ? query + 1 : call->target.data + call->target_length;
    if (query != NULL)
        *query = '\0';
    const struct server_settings *settings = call->context->settings;
    enum rc rc = router_find(call, settings->lab);
    const struct route *route = call->route;
    if (route == NULL)
        return rc;
    // Checked before the result of router_find is used: an unauthorized client learns nothing.
    struct problem unauthorized = {0};
    if (check_caller(settings, route->caller, fields->authorization, &unauthorized) != RC_OK) {
        call->problem = unauthorized;
        return unauthorized.rc;
    }
    if (rc == RC_OK && fields->expects_other)
        rc = problem_set(&call->problem, RC_EXPECTATION_FAILED, "%s", "");
    if (rc == RC_OK)
        rc = router_read_query(call);
    if (rc == RC_OK && (route->flags & ROUTE_BODY) != 0)
        rc = body_check_media_type(fields->content_type, &call->problem);
    if (rc == RC_OK)
        rc = read_precondition(call, fields);
    if (rc != RC_OK || !route->operates)
        return rc;
    memset(&call->operation, 0, sizeof call->operation);
    if ((route->flags & ROUTE_KEY) != 0)
        rc = read_key(call, fields->idempotency_key);
    return rc == RC_OK ? read_strategy(call, fields->strategy) : rc;
}
