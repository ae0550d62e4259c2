// The text of a migration file: extracts one part for one engine, and computes the checksum.
#pragma once

#include <stdbool.h>

struct buffer;

enum migration_part { MIGRATION_UP, MIGRATION_DOWN };

// Appends the statements of the part: without comments, with the lines for this engine.
void migration_script(const char *text, enum migration_part part, bool sqlite, struct buffer *out);

#define MIGRATION_CHECKSUM_SIZE 17

// 16 hexadecimal digits over the whole text, comments included. Detects an edit, not an attack.
void migration_checksum(const char *text, char ret_checksum[MIGRATION_CHECKSUM_SIZE]);
