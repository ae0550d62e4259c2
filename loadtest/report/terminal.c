// Prints for the commands. A hostile server could send escape sequences in any text, to move the
// cursor, forge a verdict, or make the terminal type. So every output is made printable here.
//
// What breaks it: a line feed in such a text, which here looks like any other. So table.c and
// check/verdict.c make texts printable before they put them into a line.
#include "report/report.h"

#include <string.h>

bool report_print(FILE *out, const struct buffer *text)
{
    struct buffer printable CLEANUP(buffer_release) = {0};
    const char *at = text->data != NULL ? text->data : "";
    for (;;) {
        size_t length = strcspn(at, "\n");
        buffer_append_printable(&printable, at, length);
        if (at[length] == '\0')
            break;
        buffer_append_text(&printable, "\n");
        at += length + 1;
    }
    if (text->failed || printable.failed)
        return false;
    return fwrite(printable.data != NULL ? printable.data : "", 1, printable.length, out) ==
               printable.length &&
           fflush(out) == 0;
}

void report_error(const char *command, const char *error)
{
    struct buffer line CLEANUP(buffer_release) = {0};
    buffer_format(&line, "holdfast-load %s: ", command);
    buffer_append_printable(&line, error, strlen(error));
    (void)fprintf(stderr, "%s\n", line.data != NULL ? line.data : "out of memory");
}
