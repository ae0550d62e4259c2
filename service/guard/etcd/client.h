// Questions to an etcd cluster through its JSON gateway (/v3/, of etcd 3.4 and later), over a small
// pool of connections that stay open.
//
// A connection is used by one thread at a time. The members are asked in turn until one answers;
// who answered last is asked first. The process must ignore SIGPIPE.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>
#include <jansson.h>

struct etcd_client;

#define ETCD_CONNECTIONS_MAX 64

// The addresses as in etcd_address.h. Connects to nothing yet. RC_USAGE with a sentence in ret_why
// (of `size` bytes, without the password) if they cannot be understood.
MUST_CHECK enum rc etcd_client_new(const char *addresses, struct etcd_client **ret_client,
                                   char *ret_why, size_t size);
void etcd_client_free(struct etcd_client *client); // nobody may be using it; NULL is fine

// Asks one question and waits for the answer, until the limit at most. Any thread.
//
// RC_OK: *ret_answer is the caller's, for json_decref. RC_NOT_FOUND: etcd says that something named
// in it, a lease, does not exist; nothing was done. RC_BACKEND_UNAVAILABLE: no usable answer.
// ret_uncertain (may be NULL): it may have been carried out also, or only, by a try whose answer
// was lost, or be carried out yet: questions must be safe to repeat.
MUST_CHECK enum rc etcd_request(struct etcd_client *client, const char *path, const char *body,
                                int64_t limit_ns, json_t **ret_answer, bool *ret_uncertain);

// For a connection of the caller's own: sets it up for this question to the member that answered
// last. The body is copied. *ret_headers is the caller's, for curl_slist_free_all after the
// connection's end.
void etcd_client_prepare(struct etcd_client *client, CURL *curl, const char *path, const char *body,
                         struct curl_slist **ret_headers);

// How often a connection was made in place of one that was lost, the pool's and that of a caller
// who reports it. Any thread.
uint64_t etcd_client_reconnects(const struct etcd_client *client);
void etcd_client_count_reconnect(struct etcd_client *client);

// Fits CLEANUP().
void etcd_answer_cleanup(json_t **answer);
