// Raw header checks for libmicrohttpd before 1.0. Those versions silently accept a bare LF as line
// end, a NUL anywhere, folded fields and several spaces in the request line.
//
// The library's parser splits the header section in place, in the read buffer, and hands out
// pointers into it. It overwrites CR LF with two NULs and a bare LF with one. It overwrites the
// first colon of a line and the spaces around the target with one NUL each. The section is
// contiguous from the method to its end; MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE is its length. A
// second walk therefore finds every line that did not end in CRLF and every NUL from the wire: they
// break the pattern name NUL value NUL NUL.
//
// What breaks it: NUL LF at the end of a line leaves the same two NULs as CR LF and passes. That
// hides nothing, because no proxy forwards a NUL and yet ends the line at another place.
#include "http/wire/raw_head.h"

#include <microhttpd.h>
#include <string.h>

#if MHD_VERSION >= 0x01000000
#error "raw_head_mhd1.c is for this version of libmicrohttpd"
#endif

#define VERSION_LENGTH 8 // "HTTP/1.1"

// The library's strictness adds nothing to these checks, and its refusals are poor: it answers a
// missing Host with two status lines, and closes silently on a space in the target.
const int raw_head_strictness = 0;

static const char *const bad_line_end =
    "A header line does not end in CRLF, is folded, or contains a NUL or CR.";

// The length of the field line at `at` with both NULs, or 0 if it is not a valid line.
static size_t field_line(const char *at, const char *end)
{
    if (*at == ' ' || *at == '\t')
        return 0;
    const char *value = memchr(at, '\0', (size_t)(end - at));
    if (value == NULL || value == at)
        return 0;
    value++;
    const char *stop = memchr(value, '\0', (size_t)(end - value));
    if (stop == NULL || end - stop < 2 || stop[1] != '\0')
        return 0;
    return (size_t)(stop + 2 - at);
}

const char *raw_head_scan(const char *head, size_t length, const char *target, size_t target_length,
                          const char *version)
{
    const char *end = head + length;
    if (target != head + strnlen(head, length) + 1 || version != target + target_length + 1 ||
        end - version < VERSION_LENGTH + 4)
        return "The request line must be three words separated by single spaces.";
    if (version[VERSION_LENGTH] != '\0' || version[VERSION_LENGTH + 1] != '\0')
        return bad_line_end;
    const char *at = version + VERSION_LENGTH + 2;
    while (*at != '\0') {
        size_t line = field_line(at, end);
        if (line == 0 || (size_t)(end - at) < line + 2)
            return bad_line_end;
        at += line;
    }
    return end - at == 2 && at[1] == '\0' ? NULL : bad_line_end;
}

const char *raw_head_check(struct MHD_Connection *connection, const char *method,
                           const char *target, size_t target_length, const char *version)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (info == NULL)
        return bad_line_end;
    return raw_head_scan(method, info->header_size, target, target_length, version);
}
