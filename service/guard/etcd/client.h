// A client of an etcd cluster, over the JSON gateway (/v3/, of etcd 3.4 and later) and a pool of up
// to ETCD_CONNECTIONS_MAX open connections.
//
// A connection is used by one thread at a time. The client tries the members in turn until one
// answers, and starts with the member that answered last. The process must ignore SIGPIPE.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "guard/addresses.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>
#include <jansson.h>

#define ETCD_CONNECTIONS_MAX 64
#define ETCD_WORD_MAX 128

struct etcd_client;

// The addresses as for etcd_address_parse. Does not connect yet. RC_NO_MEMORY. RC_USAGE if they are
// malformed, with a sentence in ret_why (of `size` bytes, without the password).
MUST_CHECK enum rc etcd_client_new(const char *addresses, struct etcd_client **ret_client,
                                   char *ret_why, size_t size);
void etcd_client_free(struct etcd_client *client); // no thread may still use it; NULL is fine

// Sends one request and waits for the answer, until limit_ns (monotonic) at most. Any thread.
//   RC_OK                   *ret_answer is the caller's, for json_decref
//   RC_NOT_FOUND            a lease named in the request does not exist; etcd has changed nothing
//   RC_BACKEND_UNAVAILABLE  no usable answer
// ret_uncertain (may be NULL): an attempt whose answer was lost may have been carried out, besides
// the answered one or instead of it, or may still be in flight. So requests must be safe to repeat.
MUST_CHECK enum rc etcd_request(struct etcd_client *client, const char *path, const char *body,
                                int64_t limit_ns, json_t **ret_answer, bool *ret_uncertain);

// Sets up a libcurl handle of the caller's own for a request to the member that answered last. The
// body is copied. *ret_headers is the caller's, for curl_slist_free_all after the transfer.
void etcd_client_prepare(struct etcd_client *client, CURL *curl, const char *path, const char *body,
                         struct curl_slist **ret_headers);

// The last failure in words. "" if there was none. Any thread.
void etcd_client_why(struct etcd_client *client, char *ret_why, size_t size);

// How often a new connection replaced a lost one: those of the pool, and those that a caller with a
// connection of its own counts. Any thread.
uint64_t etcd_client_reconnects(const struct etcd_client *client);
void etcd_client_count_reconnect(struct etcd_client *client);

// Fits CLEANUP().
void etcd_answer_cleanup(json_t **answer);
