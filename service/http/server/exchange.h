// The life of a request between the HTTP library and the engine. The functions are the library's
// callbacks, all on the connection's HTTP thread; `cls` is a struct exchange.
#pragma once

#include "base/cleanup.h"
#include "http/call.h"
#include "http/mailbox.h"
#include "http/server/failure_log.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct reaper;

// The library's timeout for a connection without a request, or whose client does not read.
#define EXCHANGE_IDLE_TIMEOUT_S 60U

struct exchange {
    struct http_context context;
    struct reaper *reaper;
    struct mailboxes mailboxes;
    struct failure_log failures;
    bool header_lost[MAILBOXES_MAX]; // by mailbox, for its HTTP thread: see exchange_on_library_log
    size_t connection_limit;         // at most this many jobs are in the engine
    atomic_size_t jobs;              // in the engine
    struct call *spare_calls[MAILBOXES_MAX]; // by mailbox, for its HTTP thread: see connection.h
};

// A connection was opened or closed.
void exchange_on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code);
// The request line has arrived: gives the connection a call and returns it as the request's
// context. NULL if there is no memory.
void *exchange_on_target(void *cls, const char *target, struct MHD_Connection *connection);
// Called for the header section, for each piece of the body, at the end of the request, and again
// after the engine has finished the job.
enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version,
                                    const char *upload_data, size_t *upload_data_size,
                                    void **context);
// The library reports something: logs it, and notes if it had no memory for an answer's header. It
// then calls exchange_on_completed at once.
void exchange_on_library_log(void *cls, const char *format, va_list arguments);
// The library refuses a request by itself, with this status, and closes the connection next: sends
// the problem in its place.
void exchange_on_refusal(struct MHD_Connection *connection, unsigned status);
// The library asks for rounds in which nothing arrives: ends a connection whose buffer is full.
// Returns whether bytes are waiting that the library may be reading, a few in each round.
bool exchange_on_spin(void *cls, struct mailbox *mailbox);
// The answer was sent, or the connection broke. Sends an answer that the library could not send.
void exchange_on_completed(void *cls, struct MHD_Connection *connection, void **context,
                           enum MHD_RequestTerminationCode code);
