// One HTTP request on its way through the server. The server reuses it, with its buffers, for a
// later request. So a request allocates only what the libraries do: seven pieces for its answer,
// and about ten for a body in JSON.
//
// The HTTP thread of the connection owns the call, except in CALL_WORKING: then a worker of the
// engine owns it until it posts `parcel` to `mailbox`.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"
#include "domain/operation.h"
#include "domain/precondition.h"
#include "engine/engine.h"
#include "http/mailbox.h"
#include "http/wire/problem.h"
#include "http/wire/strict.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;
struct connection;
struct health;
struct lab;
struct metrics;
struct route;
struct server_settings;
struct store;

// The parts of the server that handlers use. Borrowed; valid until server_free.
struct http_context {
    const struct server_settings *settings;
    struct engine *engine;
    struct health *health;
    struct store *store;
    struct metrics *metrics;
    struct lab *laboratory;        // NULL outside of laboratory mode
    int64_t reservations_per_user; // open at once; 0: no limit
    int64_t sweep_ms;              // how often due holds are swept
    atomic_bool draining;  // shutdown was announced: /readyz fails, answers close their connection
    atomic_bool quiescing; // new connections and new jobs are refused
};

// What a request may be large in. The header section is the request line and the fields, as sent;
// each field counts this many bytes more, about what the library needs to remember it.
#define TARGET_MAX 4095  // bytes of path and query: room for 100 counters of GET /v1/changes
#define PARAMETERS_MAX 4 // query parameters that one route knows
#define HEAD_MAX ((size_t)8 * 1024)
#define HEAD_FIELDS_MAX 64
#define HEAD_FIELD_COST 64

// Where a call is. The allowed moves, made by server/exchange.c and server/answer.c:
//
// - HEAD -> ANSWERED: the head is refused (framing, size), which closes the connection
// - HEAD -> BODY: everything else; the body may be empty
// - BODY -> ANSWERED: refused, or served without the engine. A client that waits for "100 Continue"
//   is refused before it sends the body.
// - BODY -> WORKING: the connection is suspended and the job is submitted
// - WORKING -> ANSWERED: the job has finished and the HTTP thread has resumed the connection
// - any -> HEAD: the next request on this connection
enum call_stage {
    CALL_HEAD,     // the request line has arrived
    CALL_BODY,     // the headers were judged; the body is being read
    CALL_WORKING,  // suspended: the engine owns the job
    CALL_ANSWERED, // a response is queued
};

// The job of a call that is in the engine.
enum call_step {
    STEP_RUN,       // the route's `run`
    STEP_OPERATE,   // call->operation
    STEP_RUN_AGAIN, // `run`, after the operation that it has asked for
};

// A parameter of the query, decoded.
struct parameter {
    const char *name, *value;
};

struct call {
    struct http_context *context;
    struct connection *client;         // where it arrived: server/connection.h
    struct MHD_Connection *connection; // the same, for the library
    struct call *next_spare;           // while it is not in use
    struct mailbox *mailbox;           // of the connection's HTTP thread
    enum call_stage stage;
    int64_t started_ns;

    // The request.
    struct buffer target;   // as sent, cut at the "?": the query follows the path's NUL
    size_t target_length;   // also of a target above TARGET_MAX, which is not kept
    const char *target_raw; // the library's pointer; only for comparing addresses
    char *query;            // "" if none; consumed by call_next_parameter
    struct parameter parameters[PARAMETERS_MAX]; // those that were sent; each once, and known
    size_t n_parameters;
    enum method method;
    const struct route *route;        // NULL if there is none
    char id[ID_MAX + 1];              // the {parameter} of the route's pattern, decoded
    struct precondition precondition; // always holds if the route is not ROUTE_TAGGED
    struct buffer body;
    size_t body_seen;
    bool close; // close the connection after the answer

    // The job for the engine.
    struct operation operation;
    struct job job;
    enum rc (*submit)(struct call *call); // set by prepare: who takes the job; NULL: the engine
    enum call_step step;
    bool complete;        // prepare has completed the operation: the first step is to run it
    bool expires_due;     // `run` has asked for an operation first: see call_expire_due
    enum rc rc;           // the job's result
    struct parcel parcel; // carries the call back to its HTTP thread
    void *input;          // what prepare read for run; freed with the call; NULL if nothing

    // The answer: a problem if problem.rc is set, else what the handler wrote.
    struct problem problem;
    int status;
    int64_t version;          // of what was read: its entity tag is sent; 0: none
    const char *content_type; // NULL is application/json
    const char *policy;       // Content-Security-Policy of a page for browsers; else NULL
    char location[96];        // the path of what was created; empty if there is none
    struct buffer reply;
    struct slice document; // static text, sent instead of reply if its text is set
    unsigned allow;        // methods for the Allow header
};

// Zeroed memory for the handler, freed when the call ends. NULL with call->problem set if there is
// no memory.
void *call_input(struct call *call, size_t size);

// Answers a GET whose representation call->reply holds and was read at this version: with 200, or
// with 304 if the client has it already. RC_VERSION_MISMATCH if it asked for another version.
MUST_CHECK enum rc call_answer_version(struct call *call, int64_t version);

// For a `run` that reads counters whose holds are due: makes them expire in their lanes. The caller
// adds the legs to call->operation and returns RC_OK, and `run` is called again when that is done
// or has failed. False if this is already that call.
bool call_expire_due(struct call *call);

// Takes the next parameter from call->query and decodes it in place. False at the end, and after a
// malformed parameter, which sets call->problem.
bool call_next_parameter(struct call *call, char **ret_name, char **ret_value);

// The value of a query parameter; NULL if it was not sent.
const char *call_parameter(const struct call *call, const char *name);

// Parses a query parameter as an integer from min to max. RC_OK without a number if it was not
// sent. RC_INVALID_FIELD with call->problem set.
MUST_CHECK enum rc call_int_parameter(struct call *call, const char *name, int64_t min, int64_t max,
                                      int64_t *ret_number);

// Decodes percent escapes into the target of this size. False if the result does not fit or
// contains a NUL.
bool call_decode(char *target, size_t size, const char *text, size_t length);
