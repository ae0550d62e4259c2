// The table of everything this server answers.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "http/wire/strict.h"

#include <stdbool.h>

struct call;
struct db;
struct job;

enum caller { CALLER_OPEN, CALLER_CLIENT, CALLER_ADMIN };

enum route_flag {
    ROUTE_BODY = 1,   // a JSON body is read
    ROUTE_KEY = 2,    // an Idempotency-Key must be there
    ROUTE_LAB = 4,    // exists in laboratory mode only
    ROUTE_ALWAYS = 8, // `answer` is called whatever the job's result, in call->problem.rc
    ROUTE_ASIDE = 16, // `run` may take hours: it runs aside from the workers, see struct job
};

struct route {
    enum method method;
    const char *pattern;   // "/v1/stock/{sku}/deduct": at most one parameter
    const char *operation; // the metrics' and the log's word
    enum caller caller;
    unsigned flags;

    // On the HTTP thread, once the request is there: reads body and query into the call. NULL if
    // there is nothing to read. Anything but RC_OK is answered as call->problem.
    enum rc (*prepare)(struct call *call);
    // On a worker (or aside from them), with its connection: writes into call->reply or sets
    // call->problem. NULL for an operation (then prepare has filled call->operation) or for what
    // needs no worker.
    enum rc (*run)(struct job *job, struct db *db);
    // On the HTTP thread, after the job succeeded (or without any, if neither operation nor run):
    // writes call->reply and call->status. NULL if run has written it.
    void (*answer)(struct call *call);
    bool operates; // call->operation is submitted
};

// Finds the route and decodes its parameter into call->id. RC_NOT_FOUND, RC_METHOD_NOT_ALLOWED
// (with call->allow) or RC_INVALID_FIELD as call->problem.
MUST_CHECK enum rc router_find(struct call *call, bool lab);
