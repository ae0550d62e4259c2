// For libmicrohttpd from 1.0 on, which refuses bare LF, NUL, folded fields and spaces in the
// request line by itself when it is told to be strict (server.c does). Nothing is left to look for.
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
