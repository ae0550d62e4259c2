// Raw header checks for libmicrohttpd since 1.0: none. In strict mode, which server.c sets, the
// library itself refuses bare LF, NUL, folded fields and extra spaces in the request line.
#include "http/wire/raw_head.h"

#include <microhttpd.h>

#if MHD_VERSION < 0x01000000
#error "raw_head_mhd0.c is for this version of libmicrohttpd"
#endif

const int raw_head_strictness = 1;

const char *raw_head_check(struct MHD_Connection *connection, const char *method,
                           const char *target, size_t target_length, const char *version)
{
    (void)connection;
    (void)method;
    (void)target;
    (void)target_length;
    (void)version;
    return NULL;
}

const char *raw_head_scan(const char *head, size_t length, const char *target, size_t target_length,
                          const char *version)
{
    (void)head;
    (void)length;
    (void)target;
    (void)target_length;
    (void)version;
    return NULL;
}
