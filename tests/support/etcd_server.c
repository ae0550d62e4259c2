// A private etcd server. It runs in the test's process group, so it is killed together with the
// test.
#include "etcd_server.h"

#include "scratch.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/etcd/client.h"
#include "guard/etcd/messages.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_installed(void)
{
    bool found =
        system("command -v etcd >/dev/null 2>&1") == 0; // NOLINT(bugprone-command-processor)
    const char *require = getenv("HOLDFAST_TEST_REQUIRE");
    ck_assert_msg(found || require == NULL || strcmp(require, "1") != 0, "no etcd is installed");
    if (!found)
        fprintf(stderr, "SKIPPED etcd-lock: no etcd is installed\n");
    return found;
}

static void launch(struct etcd_server *server)
{
    char url[96], data[80];
    snprintf(url, sizeof url, "http://%s", server->address);
    snprintf(data, sizeof data, "%s/data", server->folder);
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR);
    if (chdir(server->folder) != 0 || null < 0)
        _exit(127);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execlp("etcd", "etcd", "--name", "test", "--data-dir", data, "--listen-client-urls", url,
           "--advertise-client-urls", url, "--listen-peer-urls", "unix://127.0.0.1:0",
           "--initial-advertise-peer-urls", "unix://127.0.0.1:0", "--initial-cluster",
           "test=unix://127.0.0.1:0", "--logger", "zap", "--log-outputs", "stderr", (char *)NULL);
    _exit(127);
}

static bool answers(const char *address)
{
    struct etcd_client *client;
    char why[128];
    json_t *answer CLEANUP(etcd_answer_cleanup) = NULL;
    ck_assert_int_eq(etcd_client_new(address, &client, why, sizeof why), RC_OK);
    // Any request that needs the quorum will do; with users configured it would be refused.
    enum rc rc =
        etcd_request(client, "/v3/lease/leases", "{}", clock_now_ns() + NS_PER_S, &answer, NULL);
    etcd_client_free(client);
    return rc == RC_OK;
}

static void await(struct etcd_server *server)
{
    for (int tries = 0; tries < 300 && !answers(server->address); tries++) {
        ck_assert_int_eq(waitpid(server->pid, NULL, WNOHANG), 0);
        clock_sleep_ns(50 * NS_PER_MS);
    }
}

bool etcd_server_start(struct etcd_server *server)
{
    if (!is_installed())
        return false;
    *server = (struct etcd_server){0};
    text_copy(server->folder, sizeof server->folder, "/tmp/holdfast-etcd-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(server->folder));
    snprintf(server->address, sizeof server->address, "127.0.0.1:%d", scratch_port());
    launch(server);
    await(server);
    return true;
}

static void remove_data(const struct etcd_server *server, const char *what)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf -- '%s%s'", server->folder, what);
    ck_assert_int_eq(system(command), 0); // NOLINT(bugprone-command-processor)
}

void etcd_server_pause(struct etcd_server *server)
{
    ck_assert_int_eq(kill(server->pid, SIGSTOP), 0);
}

void etcd_server_resume(struct etcd_server *server)
{
    ck_assert_int_eq(kill(server->pid, SIGCONT), 0);
}

void etcd_server_kill(struct etcd_server *server)
{
    ck_assert_int_eq(kill(server->pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(server->pid, NULL, 0), server->pid);
}

void etcd_server_restart(struct etcd_server *server, bool empty)
{
    if (empty)
        remove_data(server, "/data");
    launch(server);
    await(server);
}

void etcd_server_stop(struct etcd_server *server)
{
    etcd_server_kill(server);
    remove_data(server, "");
}

// ---- watchers -----------------------------------------------------------------------------------

static size_t watchers(const struct etcd_server *server)
{
    static const char question[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    there.sin_port = htons((uint16_t)strtoul(strchr(server->address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    ck_assert_int_eq(write(fd, question, strlen(question)), (ssize_t)strlen(question));
    FILE *answer = fdopen(fd, "r");
    char line[512];
    size_t n = 0;
    static const char name[] = "etcd_debugging_mvcc_watcher_total ";
    while (fgets(line, sizeof line, answer) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            n = strtoul(line + strlen(name), NULL, 10);
    fclose(answer);
    return n;
}

bool etcd_server_watched(const struct etcd_server *server)
{
    for (int tries = 0; tries < 500; tries++) {
        if (watchers(server) > 0)
            return true;
        clock_sleep_ns(10 * NS_PER_MS);
    }
    return false;
}

// ---- requests -----------------------------------------------------------------------------------

json_t *etcd_tell(const char *address, const char *path, const char *body)
{
    struct etcd_client *client;
    char why[128];
    json_t *answer = NULL;
    ck_assert_int_eq(etcd_client_new(address, &client, why, sizeof why), RC_OK);
    ck_assert_msg(etcd_request(client, path, body, clock_now_ns() + 5 * NS_PER_S, &answer, NULL) ==
                      RC_OK,
                  "%s %s", path, body);
    etcd_client_free(client);
    return answer;
}

static json_t *request_on_prefix(const char *address, const char *path, const char *prefix)
{
    char from64[ETCD_NAME64_MAX], end64[ETCD_NAME64_MAX], body[2 * ETCD_NAME64_MAX + 64];
    etcd_name(from64, "%s", prefix);
    etcd_range_end(end64, "%s", prefix);
    snprintf(body, sizeof body, "{\"key\":\"%s\",\"range_end\":\"%s\"}", from64, end64);
    return etcd_tell(address, path, body);
}

size_t etcd_count(const char *address, const char *prefix)
{
    json_t *answer CLEANUP(etcd_answer_cleanup) =
        request_on_prefix(address, "/v3/kv/range", prefix);
    return (size_t)etcd_number(answer, "count");
}

void etcd_remove(const char *address, const char *prefix)
{
    json_decref(request_on_prefix(address, "/v3/kv/deleterange", prefix));
}
