// Helpers for handlers: query parameters, and memory that lives as long as the call.
#include "http/call.h"

#include "base/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void *call_input(struct call *call, size_t size)
{
    free(call->input);
    call->input = calloc(1, size);
    if (call->input == NULL)
        problem_set(&call->problem, RC_NO_MEMORY, "Out of memory.");
    return call->input;
}

enum rc call_answer_version(struct call *call, int64_t version)
{
    bool holds = precondition_holds(&call->precondition, version);
    if (!holds && call->precondition.kind == PRECONDITION_MATCH)
        return RC_VERSION_MISMATCH;
    call->version = version;
    call->status = holds ? 200 : 304;
    return RC_OK;
}

bool call_expire_due(struct call *call)
{
    struct operation *operation = &call->operation;
    uint64_t number;
    if (call->expires_due)
        return false;
    call->expires_due = true;
    call->job.strategy = NULL;
    memset(operation, 0, sizeof *operation);
    operation->kind = OPERATION_EXPIRE_DUE;
    random_bytes(&number, sizeof number);
    // It contains a space, which no client's key can.
    text_format(operation->request_key, sizeof operation->request_key, "due %016" PRIx64, number);
    return true;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

// The target has been checked by strict_target: every escape is well-formed.
bool call_decode(char *target, size_t size, const char *text, size_t length)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%' && i + 2 < length) {
            c = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        }
        if (c == '\0' || written + 1 >= size)
            return false;
        target[written++] = c;
    }
    target[written] = '\0';
    return true;
}

bool call_next_parameter(struct call *call, char **ret_name, char **ret_value)
{
    char *name = call->query;
    if (*name == '\0' || call->problem.rc != RC_OK)
        return false;
    size_t length = strcspn(name, "&");
    call->query = name + length + (name[length] == '&');
    name[length] = '\0';
    char *value = strchr(name, '=');
    if (value == NULL) {
        problem_set(&call->problem, RC_MALFORMED_REQUEST,
                    "The query must consist of name=value pairs separated by &.");
        return false;
    }
    *value++ = '\0';
    // Decoding never makes a text longer, so it works in place.
    if (!call_decode(name, strlen(name) + 1, name, strlen(name)) ||
        !call_decode(value, strlen(value) + 1, value, strlen(value))) {
        problem_set(&call->problem, RC_MALFORMED_REQUEST, "The query cannot be decoded.");
        return false;
    }
    *ret_name = name;
    *ret_value = value;
    return true;
}

const char *call_parameter(const struct call *call, const char *name)
{
    for (size_t i = 0; i < call->n_parameters; i++) {
        if (strcmp(call->parameters[i].name, name) == 0)
            return call->parameters[i].value;
    }
    return NULL;
}

enum rc call_int_parameter(struct call *call, const char *name, int64_t min, int64_t max,
                           int64_t *ret_number)
{
    const char *value = call_parameter(call, name);
    int64_t number;
    if (value == NULL)
        return RC_OK;
    if (!text_to_int64(value, &number) || number < min || number > max)
        return problem_field(&call->problem, RC_INVALID_FIELD, name,
                             "an integer from %" PRId64 " to %" PRId64, min, max);
    *ret_number = number;
    return RC_OK;
}
