// A validator of JSON (RFC 8259) that allocates nothing, for the bodies of answers.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Whether the bytes are one JSON object in UTF-8 and nothing else, no more than 32 levels deep.
// Does not look for members with the same name.
bool json_object_is_valid(const char *bytes, size_t length);
