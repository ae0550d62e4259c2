// An etcd of a test's own, to be stopped, killed and emptied; and questions to any etcd.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct etcd_server {
    pid_t pid;
    char folder[64], address[64]; // "127.0.0.1:port"
};

// False, and says so, if there is no etcd on this machine; with HOLDFAST_TEST_REQUIRE=1 that fails
// the test. Returns when it answers.
bool etcd_server_start(struct etcd_server *server);
void etcd_server_stop(struct etcd_server *server); // and deletes its data

void etcd_server_pause(struct etcd_server *server); // SIGSTOP
void etcd_server_resume(struct etcd_server *server);
void etcd_server_kill(struct etcd_server *server); // SIGKILL
// After kill, on the same port, with its data or without. Returns when it answers.
void etcd_server_restart(struct etcd_server *server, bool empty);

// Waits until somebody watches keys of the server; false if nobody comes to.
bool etcd_server_watched(const struct etcd_server *server);

// One question; fails the test without an answer. The answer is the caller's, for json_decref.
json_t *etcd_tell(const char *address, const char *path, const char *body);

// How many keys there are below a prefix (plain text that ends in a slash).
size_t etcd_count(const char *address, const char *prefix);
void etcd_remove(const char *address, const char *prefix); // deletes them
