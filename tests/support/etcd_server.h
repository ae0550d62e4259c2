// A private etcd server that a test can stop, kill and empty, and requests to any etcd.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct etcd_server {
    pid_t pid;
    char folder[64], address[64]; // "127.0.0.1:port"
};

// Starts the server and waits until it answers. False, after printing SKIPPED, if etcd is not
// installed; with HOLDFAST_TEST_REQUIRE=1 that fails the test.
bool etcd_server_start(struct etcd_server *server);
void etcd_server_stop(struct etcd_server *server); // and deletes its data

void etcd_server_pause(struct etcd_server *server); // SIGSTOP
void etcd_server_resume(struct etcd_server *server);
void etcd_server_kill(struct etcd_server *server); // SIGKILL
// Starts it again after a kill, on the same port, with its data or empty. Returns when it answers.
void etcd_server_restart(struct etcd_server *server, bool empty);

// Waits for up to 5 s until a client watches keys of the server; false if none does.
bool etcd_server_watched(const struct etcd_server *server);

// Sends one request; fails the test if there is no answer. The caller owns the answer
// (json_decref).
json_t *etcd_tell(const char *address, const char *path, const char *body);

// The number of keys below a prefix (plain text that ends in a slash).
size_t etcd_count(const char *address, const char *prefix);
void etcd_remove(const char *address, const char *prefix); // deletes them
