// Checks of the raw header section that the HTTP library's parser makes impossible later: lines
// that do not end in CRLF, NULs within a line, folded fields. There is one file per major version
// of the library: raw_head_mhd0.c before 1.0, raw_head_mhd1.c since. CMakeLists.txt chooses.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct MHD_Connection;

// The library's own strictness (MHD_OPTION_STRICT_FOR_CLIENT).
extern const int raw_head_strictness;

// Call it in the first call of the access handler. `method` and `version` are the handler's
// arguments; `target` and `target_length` are those of the URI callback. Only the target's address
// is used, because its bytes have been unescaped in place. Returns NULL, or a sentence about the
// error.
MUST_CHECK const char *raw_head_check(struct MHD_Connection *connection, const char *method,
                                      const char *target, size_t target_length,
                                      const char *version);

// The pure part of raw_head_check, over the parsed header section from `method` on; for tests.
// Always NULL in raw_head_mhd1.c.
MUST_CHECK const char *raw_head_scan(const char *head, size_t length, const char *target,
                                     size_t target_length, const char *version);
