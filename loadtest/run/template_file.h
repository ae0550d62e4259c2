// The file of a user's own request template (--template).
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>

// Reads the file, or standard input for "-", and checks that it compiles. The caller frees the
// text. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool template_file_read(const char *path, char **ret_text, char *ret_error);
