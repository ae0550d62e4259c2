// What the HTTP library's parser destroys before a handler can see it: whether lines ended in CRLF,
// whether a NUL stood in a line, whether a field was folded. One file for each family of versions,
// chosen when the program is built (see CMakeLists.txt).
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct MHD_Connection;

// How strict the library itself is told to be (MHD_OPTION_STRICT_FOR_CLIENT).
extern const int raw_head_strictness;

// To be called in the first call of the access handler. `method` and `version` are the handler's
// arguments, `target` and `target_length` what the URI callback was given (only the address is
// used: the bytes have been unescaped in place). NULL, or a sentence that says what is wrong.
MUST_CHECK const char *raw_head_check(struct MHD_Connection *connection, const char *method,
                                      const char *target, size_t target_length,
                                      const char *version);

// The pure part, over the parsed header section from `method` on; for tests. Only in raw_head_mhd0.c.
MUST_CHECK const char *raw_head_scan(const char *head, size_t length, const char *target,
                                     size_t target_length, const char *version);
