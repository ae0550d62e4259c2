// The table of all routes.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "http/route.h"

struct call;

// Finds the route and decodes its parameter into call->id. RC_NOT_FOUND, RC_METHOD_NOT_ALLOWED
// (with call->allow) or RC_INVALID_FIELD as call->problem.
MUST_CHECK enum rc router_find(struct call *call, bool lab);

// Reads the query into call->parameters. RC_UNKNOWN_FIELD for a parameter that the route does not
// know, RC_INVALID_FIELD for one that is repeated, or RC_MALFORMED_REQUEST, as call->problem.
MUST_CHECK enum rc router_read_query(struct call *call);
