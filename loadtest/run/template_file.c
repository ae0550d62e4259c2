// Reads a user's own request template. It is compiled once before the run begins, so that a mistake
// in it is reported with its file and line; the client threads compile it again for each target.
#include "run/template_file.h"

#include "base/text.h"
#include "run/template.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEMPLATE_BYTES_MAX ((size_t)1024 * 1024)

static void close_file(FILE **file)
{
    if (*file != NULL && *file != stdin)
        (void)fclose(*file);
}

static bool read_text(const char *path, struct buffer *text, char *ret_error)
{
    FILE *file CLEANUP(close_file) = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char chunk[4096];
    size_t got;
    if (file == NULL) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: cannot open %.200s: %s", path,
                          strerror(errno));
        return false;
    }
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0 && text->length <= TEMPLATE_BYTES_MAX)
        buffer_append(text, chunk, got);
    if (ferror(file)) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: cannot read %.200s: %s", path,
                          strerror(errno));
        return false;
    }
    if (text->length > TEMPLATE_BYTES_MAX) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: %.200s is larger than 1 MiB",
                          path);
        return false;
    }
    buffer_append(text, "", 0); // terminates the text, even if the file is empty
    if (text->failed)
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
    return !text->failed;
}

bool template_file_read(const char *path, char **ret_text, char *ret_error)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    struct template *compiled = NULL;
    char error[HISTORY_ERROR_MAX];
    if (!read_text(path, &text, ret_error))
        return false;
    bool usable = strlen(text.data) == text.length;
    if (!usable)
        (void)text_copy(error, sizeof error, "it contains a NUL byte");
    else
        usable = template_compile(text.data, "localhost", "", "", &compiled, error);
    template_free(compiled);
    if (!usable) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: %.100s: %.390s", path, error);
        return false;
    }
    *ret_text = text.data;
    text = (struct buffer){0};
    return true;
}
