// Entity tags (RFC 9110): `"v58"` is the tag of what has version 58. Each change of a product,
// campaign, lottery or account raises its counter's version, also one of the title or the limits.
// So two different representations never share a version, and the tag is a strong one.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/precondition.h"
#include "http/wire/strict.h"

#include <stddef.h>
#include <stdint.h>

struct problem;

#define ENTITY_TAG_MAX 24 // bytes, with the quotes

// Writes the tag of a version, with its quotes.
void entity_tag_write(char target[ENTITY_TAG_MAX + 1], int64_t version);

// Reads the header fields If-Match and If-None-Match (text NULL if absent): `*`, or a list of at
// most PRECONDITION_VERSIONS_MAX entity tags. A tag that entity_tag_write has not made matches
// nothing. If-Match compares strongly, so W/"v58" matches nothing there; If-None-Match compares
// weakly. RC_MALFORMED_REQUEST if a field has another form, or both were sent.
MUST_CHECK enum rc entity_tag_read(struct slice if_match, struct slice if_none_match,
                                   struct precondition *ret_condition, struct problem *problem);
