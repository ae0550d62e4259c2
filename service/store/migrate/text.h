// The text of a migration file: extracts one part for one engine, and computes the checksum.
#pragma once

#include <stdbool.h>

struct buffer;

enum migration_part { MIGRATION_UP, MIGRATION_DOWN };

// Appends the statements of the part, each with `;` and a line end behind it: without comments and
// empty statements, with the lines for this engine. For db_script.
void migration_script(const char *text, enum migration_part part, bool sqlite, struct buffer *out);

#define MIGRATION_CHECKSUM_SIZE 17

// 16 hexadecimal digits over the whole text, comments included. CRLF counts as LF, and a byte order
// mark not at all. Detects an edit, not an attack.
void migration_checksum(const char *text, char ret_checksum[MIGRATION_CHECKSUM_SIZE]);
