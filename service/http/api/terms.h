// The terms of a campaign in a body and in answers: discount, minimum, time, uses of a code.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/order.h"
#include "http/wire/body.h"

struct buffer;

#define TERMS_FIELDS 6

// The fields of the terms, which stay as they are (TERM_KEPT) where the body names none.
void terms_fields(struct terms *terms, struct field ret_fields[TERMS_FIELDS]);

// Completes terms that were read: a discount of one kind replaces one of the other.
// RC_INVALID_FIELD with a problem if there are two discounts, or no time between begin and end.
MUST_CHECK enum rc terms_complete(struct terms *terms, struct problem *problem);

// Writes the terms as members of an object.
void terms_write(struct buffer *out, const struct terms *terms);
