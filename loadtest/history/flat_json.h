// A scanner for one flat JSON object that allocates nothing. The load tester's hot path reads
// answers with it, and the checker reads the lines of a history. It rejects whatever is not JSON,
// with two exceptions: nested values are skipped by their brackets and quotes, and the bytes of a
// text, its escapes among them, are not validated. It does not notice repeated members.
//
//     struct flat_json json = flat_json_open(text, length);
//     while ((kind = flat_json_next(&json, &member)) != FLAT_END && kind != FLAT_ERROR)
//         ...
//
// The elements of a member that is an array are read in the same way, by flat_array_open and
// flat_array_next.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flat_kind {
    FLAT_END,  // the end of the object
    FLAT_INT,  // a whole number that fits into 64 bits
    FLAT_TEXT, // a string
    FLAT_TRUE,
    FLAT_FALSE,
    FLAT_NULL,
    FLAT_ARRAY, // an array: skipped, but its bytes are returned
    FLAT_OTHER, // an object, any other number: skipped
    FLAT_ERROR, // not an object, malformed, or cut off
};

struct flat_json {
    const char *at, *end;
    bool begun; // a member was read, so a comma comes before the next one
};

struct flat_member {
    const char *name; // between the quotes, escapes left as they are
    size_t name_length;
    int64_t number;   // FLAT_INT
    const char *text; // FLAT_TEXT: between the quotes, escapes left as they are; FLAT_ARRAY: all
    size_t text_length;
};

// If the text is not an object, the first flat_json_next returns FLAT_ERROR. Borrows the text.
struct flat_json flat_json_open(const char *text, size_t length);
enum flat_kind flat_json_next(struct flat_json *json, struct flat_member *ret_member);

// The elements of a FLAT_ARRAY member, one after the other; they have no name.
struct flat_json flat_array_open(const struct flat_member *array);
enum flat_kind flat_array_next(struct flat_json *array, struct flat_member *ret_element);

bool flat_member_is(const struct flat_member *member, const char *name);

// Copies the string of a FLAT_TEXT member and resolves its escapes. The copy is always terminated.
// False if the string did not fit and was truncated, or contains a NUL, at which the copy ends.
bool flat_text_copy(char *target, size_t size, const struct flat_member *member);
