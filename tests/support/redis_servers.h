// Private Redis servers on free ports of loopback, which a test can kill, stop and empty.
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define REDIS_SERVERS_MAX 5

struct redis_servers {
    size_t n;
    pid_t pids[REDIS_SERVERS_MAX]; // 0: not running
    int ports[REDIS_SERVERS_MAX];
    char addresses[REDIS_SERVERS_MAX * 24]; // separated by commas, as in the setting `redis`
};

// Starts n servers, which keep nothing on disk, and waits until they answer; fails the test if one
// does not.
void redis_servers_start(struct redis_servers *servers, size_t n);
void redis_servers_stop(struct redis_servers *servers);

void redis_server_kill(struct redis_servers *servers, size_t i);
// Starts it empty, on its old port.
void redis_server_restart(struct redis_servers *servers, size_t i);
// Stops it with SIGSTOP: it neither reads nor answers, but its connections stay open.
void redis_server_pause(struct redis_servers *servers, size_t i);
void redis_server_resume(struct redis_servers *servers, size_t i);

// Sends a command. Returns its answer as a number (1 for OK, 0 for nil). Blanks in the format
// separate words, blanks in the values do not: see redisCommand. Fails the test on an error.
long long redis_tell(int port, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The same, with the answer as text.
void redis_read(int port, char *ret_text, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
