// The verdict over a request's header section, before its body is read.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "http/wire/strict.h"

struct call;

// Framing, and everything else that must close the connection. Sets call->method. To be called in
// the first call of the access handler, with its arguments. On refusal call->problem is set.
MUST_CHECK enum rc judge_framing(struct call *call, const char *method, const char *version,
                                 struct fields *ret_fields, struct framing *ret_framing);

// What can be refused without closing the connection: route, caller, media type, idempotency key,
// strategy. Fills in call->route, id, query, and the operation's request key. On refusal
// call->problem is set.
MUST_CHECK enum rc judge_request(struct call *call, const struct fields *fields);
