// What the commands print. A hostile server could send escape sequences in any text: to move the
// cursor, to forge a verdict, to make the terminal type. So everything is made printable here, after
// it was put together. A text that belongs into one line is made printable before, by table.c and
// check/verdict.c, because here its line feeds look like any other.
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
