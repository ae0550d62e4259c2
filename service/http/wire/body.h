// Reads request bodies: one JSON object, checked against a small table of fields. A member that the
// table does not name is refused. Otherwise a client might believe that a price or a version it
// sent had an effect.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"
#include "http/wire/strict.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct problem;

#define BODY_MAX ((size_t)64 * 1024)
#define BODY_DEPTH_MAX 16

enum field_kind {
    FIELD_INT,     // into int64_t, within min and max
    FIELD_BOOL,    // into bool
    FIELD_ID,      // into char[ID_MAX + 1]
    FIELD_VISIBLE, // into char[max + 1]: 1 to max visible ASCII characters
    FIELD_TEXT,    // into char[max + 1]: min to max bytes of UTF-8 without control characters
    FIELD_LIST,    // into json_t *, borrowed from the document: min to max items
};

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    int64_t min, max;
    void *target; // untouched if the field is absent
};

// Accepts application/json, with no parameter but charset=utf-8. An absent Content-Type (text NULL)
// is refused too.
MUST_CHECK enum rc body_check_media_type(struct slice content_type, struct problem *problem);

// Parses one JSON value: UTF-8 without a byte order mark, no duplicate keys, no deeper than
// BODY_DEPTH_MAX, nothing after it, and it is an object. The caller frees with json_decref.
// RC_MALFORMED_REQUEST, or RC_INVALID_FIELD for a number that fits no 64-bit integer.
MUST_CHECK enum rc body_parse(const char *bytes, size_t length, json_t **ret_object,
                              struct problem *problem);

// Copies an object's members into the table's targets. `where` is the prefix of field names in
// problems, such as "prizes[2]."; "" at the top. RC_INVALID_FIELD or RC_UNKNOWN_FIELD.
MUST_CHECK enum rc body_read(const json_t *object, const char *where, const struct field *fields,
                             size_t n_fields, struct problem *problem);

// body_parse and body_read in one, for a body without lists.
MUST_CHECK enum rc body_decode(const char *bytes, size_t length, const struct field *fields,
                               size_t n_fields, struct problem *problem);
