// Who is asking: bearer tokens, one for clients and one for administrators.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "http/api/router.h"
#include "http/wire/strict.h"

struct problem;
struct server_settings;

// May a request with this Authorization field (text NULL if there is none) call such a route? The
// administrator's token may call everything. Where no token is set there is no check, which
// server_new allows on loopback only. RC_UNAUTHORIZED or RC_FORBIDDEN as the problem.
MUST_CHECK enum rc auth_check(const struct server_settings *settings, enum caller caller,
                              struct slice authorization, struct problem *problem);
