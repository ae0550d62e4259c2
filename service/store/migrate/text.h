// The text of a migration file: its two parts, each as one engine is to read it.
#pragma once

#include <stdbool.h>

struct buffer;

enum migration_part { MIGRATION_UP, MIGRATION_DOWN };

// Appends the statements of that part: without comments, with the lines meant for this engine.
void migration_script(const char *text, enum migration_part part, bool sqlite, struct buffer *out);

#define MIGRATION_CHECKSUM_SIZE 17

// 16 hexadecimal digits over the whole text. Recognises an edit, not an adversary.
void migration_checksum(const char *text, char ret_checksum[MIGRATION_CHECKSUM_SIZE]);
