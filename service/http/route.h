// A route: method and path, required caller, and the functions that serve it.
#pragma once

#include "base/rc.h"
#include "http/wire/strict.h"

#include <stdbool.h>

struct call;
struct db;
struct job;

enum caller { CALLER_OPEN, CALLER_CLIENT, CALLER_ADMIN };

enum route_flag {
    ROUTE_BODY = 1,       // reads a JSON body
    ROUTE_KEY = 2,        // requires an Idempotency-Key
    ROUTE_LAB = 4,        // exists in lab mode only
    ROUTE_BACKGROUND = 8, // `run` may take hours: it runs outside of the workers, see struct job
    ROUTE_TAGGED = 16,    // heeds If-Match and If-None-Match: call->precondition
    ROUTE_CODE = 32,      // the parameter is a code, not an id: see id_is_code
};

struct route {
    enum method method;
    const char *pattern;   // "/v1/stock/{sku}/deduct": at most one parameter
    const char *operation; // its name in metrics and log
    enum caller caller;
    unsigned flags;

    // On the HTTP thread, once the request has arrived: reads body and query into the call. NULL if
    // there is nothing to read. On any result but RC_OK the client gets call->problem. If it sets
    // call->job.feed, the job is a wait for changes.
    enum rc (*prepare)(struct call *call);
    // On a worker (or in the background), with its database connection: writes call->reply or sets
    // call->problem. NULL for routes that need no worker. A route that operates has it only if
    // prepare cannot complete call->operation: then it does that, before the operation runs;
    // prepare sets call->complete if it need not. On another route it may ask for an operation
    // first (call_expire_due).
    enum rc (*run)(struct job *job, struct db *db);
    // On the HTTP thread, after the job succeeded, or at once if the route has no job: writes
    // call->reply and call->status. NULL if run writes them.
    void (*answer)(struct call *call);
    bool operates; // the engine runs call->operation
    // The names of its query parameters; NULL if there are none. A request with another one is
    // refused.
    const char *const *parameters;
};
