// The table of settings. Included by config.c and config_print.c only.
#pragma once

#include "config/config.h"

#include <stddef.h>

enum setting_type {
    SETTING_TEXT,
    SETTING_ADDRESS,  // text that may hold user:password@, masked when printed
    SETTING_SECRET,   // text never printed
    SETTING_INTEGER,  // min to max
    SETTING_TRUTH,    // on, off
    SETTING_CHOICE,   // one of choices
    SETTING_STRATEGY, // a name from the registry of strategies
};

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset; // of the member in struct config
    const char *fallback;
    int64_t min, max;           // SETTING_INTEGER
    const char *const *choices; // SETTING_CHOICE, ended by NULL
    const char *help;
};

// Sorted by name, ended by a NULL name.
extern const struct setting settings[];

#define SETTING_NAME_MAX 64

// Index into settings, or -1. The name as in the table.
int setting_find(const char *name);

// The known name most similar to a mistyped one, or NULL if none is similar.
const char *setting_nearest(const char *name);

// "lock.ttl_ms" to "HOLDFAST_LOCK_TTL_MS". The target has SETTING_NAME_MAX bytes.
void setting_variable(const struct setting *setting, char *target);

// Checks the text and stores it. False with what was expected in ret_expected (CONFIG_ERROR_MAX
// bytes), as setting_expected says it; the config is then unchanged.
bool setting_store(const struct setting *setting, const char *text, struct config *config,
                   char *ret_expected);

// "a whole number from 1 to 64", "one of fail, spin", ...: completes the sentence "expected ...".
void setting_expected(const struct setting *setting, char *target, size_t size);

// The value in force as text, secrets masked. The target has CONFIG_TEXT_MAX bytes.
void setting_show(const struct setting *setting, const struct config *config, char *target);
