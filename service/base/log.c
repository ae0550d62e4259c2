// Writes log lines to standard error: one event, one line, one write(2). Level and format are
// process-wide, as standard error is; they are set once, before any thread starts.
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static enum log_level least_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;

void log_configure(enum log_level level, enum log_format format)
{
    least_level = level;
    line_format = format;
}

bool log_enabled(enum log_level level)
{
    return level >= least_level;
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    return names[level];
}

// Control characters become spaces, so that no text from outside can forge a line. JSON also needs
// quotes and backslashes escaped. Returns the bytes written.
static size_t copy_message(char *target, size_t size, const char *message)
{
    size_t length = 0;
    for (const char *at = message; *at != '\0' && length + 3 < size; at++) {
        char c = (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at;
        if (line_format == LOG_FORMAT_JSON && (c == '"' || c == '\\'))
            target[length++] = '\\';
        target[length++] = c;
    }
    return length;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char message[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    int64_t now_ms = clock_wall_ms();
    time_t seconds = now_ms / 1000;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);

    char line[2 * LINE_MAX_BYTES + 128];
    const char *head = line_format == LOG_FORMAT_JSON
                           ? "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"message\":\""
                           : "%s.%03dZ %-7s ";
    int length = snprintf(line, sizeof line, head, stamp, (int)(now_ms % 1000), level_name(level));
    size_t at = (size_t)length;
    at += copy_message(line + at, sizeof line - at - 4, message);
    const char *tail = line_format == LOG_FORMAT_JSON ? "\"}\n" : "\n";
    at += (size_t)snprintf(line + at, sizeof line - at, "%s", tail);
    // There is nowhere to report that the log cannot be written.
    ssize_t ignored = write(STDERR_FILENO, line, at);
    (void)ignored;
}
