// A TCP proxy between a client under test and its server, to lose what a network loses: answers,
// requests, or the connection.
#pragma once

#include <stdbool.h>

struct proxy;

// Listens on a free port of loopback. The server is `host:port`, numeric. Fails the test when it
// cannot. Connections come and go as the client likes.
struct proxy *proxy_start(const char *server);
void proxy_stop(struct proxy *proxy);

// "127.0.0.1:port", valid while the proxy lives.
const char *proxy_address(const struct proxy *proxy);

// While set, what the server (or client) sends is read and thrown away.
void proxy_swallow_answers(struct proxy *proxy, bool swallow);
void proxy_swallow_requests(struct proxy *proxy, bool swallow);

// While held, nothing that clients send is read; what they have sent stays, even if they have
// closed since. Released, it is carried on, one connection after the other: the newest or the
// oldest first.
void proxy_hold_requests(struct proxy *proxy);
void proxy_release_requests(struct proxy *proxy, bool newest_first);

// Nothing is carried any more on the connections that exist, nor is their end: a network that has
// lost its way. New ones are served as usual. In force when it returns. Thawed, what was sent is
// carried on; that a client has gone since, the server is not told.
void proxy_freeze(struct proxy *proxy);
void proxy_thaw(struct proxy *proxy);

// Freezes the next connection on which a client says this word, before it is carried, and no other.
// At most 31 bytes; they must come in one piece.
void proxy_freeze_at(struct proxy *proxy, const char *word);
// Whether that has happened.
bool proxy_has_frozen(const struct proxy *proxy);

// A long way: whatever the server says waits so long, one piece after the other.
void proxy_delay_answers(struct proxy *proxy, int delay_ms);

// Breaks all connections; new ones are accepted.
void proxy_cut(struct proxy *proxy);
