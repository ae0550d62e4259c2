// Checks a request's header section before its body is read.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "http/wire/strict.h"

struct call;

// Checks the framing and everything else whose failure must close the connection. Sets
// call->method. Call it in the first call of the access handler, with that call's arguments. On
// refusal call->problem is set.
MUST_CHECK enum rc judge_framing(struct call *call, const char *method, const char *version,
                                 struct fields *ret_fields, struct framing *ret_framing);

// Checks what can be refused while the connection stays open: route, caller (bearer token), media
// type, idempotency key, strategy. Fills in call->route, id, query, and the operation's request
// key. On refusal call->problem is set.
MUST_CHECK enum rc judge_request(struct call *call, const struct fields *fields);
