// Reads flat JSON lines by a table of their members, and refuses whatever the table does not allow.
// The tables are the description of the history's and the ledger's format: a reader walks them, and
// so does the test that damages every member.
#pragma once

#include "history/flat_json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMBERS_MAX 20

// Kinds of values that a member may have.
enum {
    MEMBER_INT = 1 << FLAT_INT,
    MEMBER_TEXT = 1 << FLAT_TEXT,
    MEMBER_BOOL = 1 << FLAT_TRUE | 1 << FLAT_FALSE,
    MEMBER_INT_OR_NULL = MEMBER_INT | 1 << FLAT_NULL,
    MEMBER_ARRAY = 1 << FLAT_ARRAY,
};

// One row of a table. A file has several types of lines; each type is a bit.
struct member {
    const char *name;
    int kinds;
    unsigned required, optional; // the types of lines that must have it, and that may have it
    int64_t min, max;            // of a number; of a text, its bytes; of an array, its elements
};

// A line's members, by their index in the table.
struct member_values {
    struct flat_member values[MEMBERS_MAX];
    enum flat_kind kinds[MEMBERS_MAX]; // FLAT_END: missing
};

// Finds the members of the line. The values borrow the text. False with a sentence in ret_error
// (HISTORY_ERROR_MAX bytes) if the line is not one flat JSON object, or has a member that is
// unknown or repeated.
bool members_find(const struct member *table, size_t n, const char *text, size_t length,
                  struct member_values *ret_values, char *ret_error);

// Checks that a line of this type has the members that it must have and no others, each of the
// right kind and within its range. False with a sentence in ret_error.
bool members_check(const struct member *table, size_t n, unsigned type,
                   const struct member_values *values, char *ret_error);

// Writes "`name` must be EXPECTED" to ret_error. Returns false.
bool members_wrong(const struct member *member, const char *expected, char *ret_error);
