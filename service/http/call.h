// One HTTP request on its way through the server. It lives inside its connection and is used again
// for the next request there, so a request costs no allocation of its own.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"
#include "domain/operation.h"
#include "engine/engine.h"
#include "http/mailbox.h"
#include "http/wire/problem.h"
#include "http/wire/strict.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;
struct metrics;
struct route;
struct server_settings;
struct store;

// What handlers may use of the server. Borrowed.
struct http_context {
    const struct server_settings *settings;
    struct engine *engine;
    struct store *store;
    struct metrics *metrics;
    atomic_bool draining;  // the end was announced
    atomic_bool quiescing; // no connection and no job is taken any more
};

#define TARGET_MAX 767 // bytes of path and query

enum call_stage {
    CALL_HEAD,     // the header section is about to be judged
    CALL_BODY,     // the body is being read
    CALL_WORKING,  // suspended: the engine has the job
    CALL_ANSWERED, // a response is queued
};

struct call {
    struct http_context *context;
    struct MHD_Connection *connection;
    struct mailbox *mailbox; // of the connection's thread
    enum call_stage stage;
    int64_t started_ns;

    // The request.
    char target[TARGET_MAX + 1]; // as sent; the query begins behind the path's terminator
    size_t target_length;
    const char *target_raw; // where the library has it; only for comparing addresses
    char *query;            // "" if none; call_next_parameter takes it apart
    enum method method;
    const struct route *route; // NULL if there is none
    char id[ID_MAX + 1];       // the {parameter} of the route's pattern, decoded
    struct buffer body;
    size_t body_seen;
    bool close; // the connection ends with the answer

    // What the engine gets.
    struct operation operation;
    struct job job;
    enum rc rc;           // the job's result
    struct parcel parcel; // on its way back
    void *input;          // what prepare read for run, freed with the call; NULL if nothing

    // The answer: a problem if problem.rc is set, else what the handler wrote.
    struct problem problem;
    int status;
    const char *content_type; // NULL is application/json
    struct buffer reply;
    struct slice document; // if its text is set: sent instead of reply, and not copied
    unsigned allow;        // methods for the Allow header
};

// A handler's own zeroed memory, kept until the call is over. NULL if there is none.
void *call_input(struct call *call, size_t size);

// The next parameter of the query, decoded in place: advances call->query. False at the end. A
// malformed one is a problem and ends the walk.
bool call_next_parameter(struct call *call, char **ret_name, char **ret_value);

// RC_UNKNOWN_FIELD about a parameter that the path does not have.
enum rc call_unknown_parameter(struct call *call, const char *name);

// A parameter that must be a whole number within these bounds.
MUST_CHECK enum rc call_int_parameter(struct call *call, const char *name, const char *value,
                                      int64_t min, int64_t max, int64_t *ret_number);

// Decodes percent escapes into the target of this size. False if it does not fit or has a NUL.
bool call_decode(char *target, size_t size, const char *text, size_t length);
