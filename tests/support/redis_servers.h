// Redis servers of a test's own, on free ports of loopback, to be killed, stopped and emptied.
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define REDIS_SERVERS_MAX 5

struct redis_servers {
    size_t n;
    pid_t pids[REDIS_SERVERS_MAX]; // 0: not running
    int ports[REDIS_SERVERS_MAX];
    char addresses[REDIS_SERVERS_MAX * 24]; // with commas between, as the setting `redis`
};

// Starts them and waits until they answer; fails the test when they do not. They keep nothing on
// disk.
void redis_servers_start(struct redis_servers *servers, size_t n);
void redis_servers_stop(struct redis_servers *servers);

void redis_server_kill(struct redis_servers *servers, size_t i);
// On its old port, empty.
void redis_server_restart(struct redis_servers *servers, size_t i);
// Neither reads nor answers, but its connections stand.
void redis_server_pause(struct redis_servers *servers, size_t i);
void redis_server_resume(struct redis_servers *servers, size_t i);

// A command, for its answer as a number (1 for OK, 0 for nil). Words are parted by the blanks of
// the format, not by those of the values: see redisCommand. Fails the test on an error.
long long redis_tell(int port, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The same, for its answer as text.
void redis_read(int port, char *ret_text, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
