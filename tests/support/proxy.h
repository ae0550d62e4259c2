// A TCP proxy between a client under test and its server. It loses what a network can lose:
// answers, requests, or the connection. The functions can be called from any thread.
#pragma once

#include <stdbool.h>

struct proxy;

// Listens on a free port of loopback; fails the test if it cannot. `server` is a numeric
// `host:port`. Each client connection gets its own connection to the server.
struct proxy *proxy_start(const char *server);
void proxy_stop(struct proxy *proxy);

// "127.0.0.1:port", valid until proxy_stop.
const char *proxy_address(const struct proxy *proxy);

// While set, everything that the server (or the client) sends is read and discarded.
void proxy_swallow_answers(struct proxy *proxy, bool swallow);
void proxy_swallow_requests(struct proxy *proxy, bool swallow);

// While held, nothing that clients send is read. It stays in the kernel, even if the client closes
// meanwhile. On release it is forwarded one connection at a time, newest or oldest first.
void proxy_hold_requests(struct proxy *proxy);
void proxy_release_requests(struct proxy *proxy, bool newest_first);

// Freezes the existing connections, like a network that has lost its route: neither data nor the
// end of a connection is forwarded. New connections work normally. In force when the call returns.
// After proxy_thaw the data is forwarded, but the server does not learn that a client has closed.
void proxy_freeze(struct proxy *proxy);
void proxy_thaw(struct proxy *proxy);

// Freezes the next connection on which a client sends this word, before the word is forwarded, and
// no other connection. At most 31 bytes, which must arrive in one read.
void proxy_freeze_at(struct proxy *proxy, const char *word);
// Whether that has happened.
bool proxy_has_frozen(const struct proxy *proxy);

// Latency: each piece of data from the server is delayed by this time, one after the other.
void proxy_delay_answers(struct proxy *proxy, int delay_ms);

// Closes all connections. New ones are accepted.
void proxy_cut(struct proxy *proxy);
