// Log lines on standard error, one an event: text for people, JSON for machines.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

// Process-wide, set once before threads start. Default: info, text.
void log_configure(enum log_level level, enum log_format format);

bool log_enabled(enum log_level level);

// Writes one line in a single write(2), so that lines of several threads do not mix. Any thread.
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define LOG_DEBUG(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARNING(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define LOG_ERROR(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
