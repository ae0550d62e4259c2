// The ceiling of an etcd lock: pairs of a transaction that creates a key with a lease if it does
// not exist, and a delete of the key, through the JSON gateway. Prints pairs a second.
//
//     etcd_pairs URL CLIENTS SECONDS [list]
//
// Each client is a thread with a kept-alive connection and a key of its own. etcd writes both steps
// to its log before it answers, and groups the writes of many clients. The lease is granted once: a
// service has one lease, not one per lock. With `list` the client reads the other keys in between,
// as a waiter must to find its predecessor. With one client that is the cost of an uncontended
// lock.
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_MAX 256
#define LEASE_S 60
#define TIMEOUT_MS 10000L

struct probe {
    const char *url;
    char lease[24]; // the gateway writes numbers of 64 bits as text
    bool lists;
    int64_t until_ns;
};

struct client {
    pthread_t thread;
    const struct probe *probe;
    CURL *curl;
    struct buffer answer;
    int64_t pairs;
    bool failed;
};

static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
    buffer_append((struct buffer *)arg, data, size * n);
    return size * n;
}

// True if the answer contains `expected`.
static bool post(struct client *client, const char *path, const char *body, const char *expected)
{
    char url[256];
    text_format(url, sizeof url, "%s%s", client->probe->url, path);
    buffer_clear(&client->answer);
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(client->curl);
    if (code == CURLE_OK && client->answer.data != NULL &&
        strstr(client->answer.data, expected) != NULL)
        return true;
    fprintf(stderr, "etcd_pairs: %s: %s\n", path,
            code != CURLE_OK              ? curl_easy_strerror(code)
            : client->answer.data != NULL ? client->answer.data
                                          : "an empty answer");
    client->failed = true;
    return false;
}

static bool client_init(struct client *client, const struct probe *probe)
{
    *client = (struct client){.probe = probe, .curl = curl_easy_init()};
    if (client->curl == NULL)
        return false;
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &client->answer);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
    return true;
}

static void client_release(struct client *client)
{
    curl_easy_cleanup(client->curl);
    buffer_release(&client->answer);
}

static bool grant_lease(struct probe *probe, struct client *client)
{
    char body[32];
    text_format(body, sizeof body, "{\"TTL\":%d}", LEASE_S);
    if (!post(client, "/v3/lease/grant", body, "\"ID\":\""))
        return false;
    const char *id = strstr(client->answer.data, "\"ID\":\"") + strlen("\"ID\":\"");
    text_format(probe->lease, sizeof probe->lease, "%.*s", (int)strcspn(id, "\""), id);
    return true;
}

static void revoke_lease(const struct probe *probe, struct client *client)
{
    char body[64];
    text_format(body, sizeof body, "{\"ID\":\"%s\"}", probe->lease);
    (void)post(client, "/v3/lease/revoke", body, "header");
}

// The gateway takes keys in base64: sixteen such characters are twelve bytes, without padding.
static void name_key(char ret_key[17])
{
    uint64_t number;
    random_bytes(&number, sizeof number);
    text_format(ret_key, 17, "%016lx", (unsigned long)number);
}

// '/' is the last character of base64.
static bool list(struct client *client, const char *key)
{
    char range[96];
    text_format(range, sizeof range, "{\"key\":\"%s\",\"range_end\":\"%.15s/\"}", key, key);
    return !client->probe->lists || post(client, "/v3/kv/range", range, "\"count\":\"");
}

static void *lock_and_unlock(void *arg)
{
    struct client *client = arg;
    char key[17], create[512], delete[64];
    name_key(key);
    text_format(create, sizeof create,
                "{\"compare\":[{\"key\":\"%s\",\"target\":\"CREATE\",\"result\":\"EQUAL\","
                "\"create_revision\":\"0\"}],\"success\":[{\"request_put\":{\"key\":\"%s\","
                "\"value\":\"eA==\",\"lease\":\"%s\"}}]}",
                key, key, client->probe->lease);
    text_format(delete, sizeof delete, "{\"key\":\"%s\"}", key);
    while (clock_now_ns() < client->probe->until_ns &&
           post(client, "/v3/kv/txn", create, "\"succeeded\":true") && list(client, key) &&
           post(client, "/v3/kv/deleterange", delete, "\"deleted\":\"1\""))
        client->pairs++;
    return NULL;
}

static bool run(struct probe *probe, struct client *clients, int64_t n, int64_t seconds)
{
    int64_t from_ns = clock_now_ns(), started = 0, pairs = 0;
    probe->until_ns = from_ns + seconds * NS_PER_S;
    bool fine = true;
    while (started < n &&
           pthread_create(&clients[started].thread, NULL, lock_and_unlock, &clients[started]) == 0)
        started++;
    for (int64_t i = 0; i < started; i++) {
        pthread_join(clients[i].thread, NULL);
        pairs += clients[i].pairs;
        fine = fine && !clients[i].failed;
    }
    printf("%.1f\n", (double)pairs * (double)NS_PER_S / (double)(clock_now_ns() - from_ns));
    return fine && started == n;
}

int main(int argc, char **argv)
{
    int64_t n, seconds;
    bool lists = argc == 5 && strcmp(argv[4], "list") == 0;
    if (argc != (lists ? 5 : 4) || !text_to_int64(argv[2], &n) ||
        !text_to_int64(argv[3], &seconds) || n < 1 || n > CLIENTS_MAX || seconds < 1 ||
        seconds > LEASE_S / 2) {
        fputs("usage: etcd_pairs URL CLIENTS SECONDS [list]\n", stderr);
        return 2;
    }
    struct probe probe = {.url = argv[1], .lists = lists};
    struct client *clients = calloc((size_t)n, sizeof *clients);
    if (clients == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 2;
    bool fine = true;
    for (int64_t i = 0; i < n; i++)
        fine = client_init(&clients[i], &probe) && fine;
    if (fine && grant_lease(&probe, &clients[0])) {
        fine = run(&probe, clients, n, seconds);
        revoke_lease(&probe, &clients[0]);
    } else {
        fine = false;
    }
    for (int64_t i = 0; i < n; i++)
        client_release(&clients[i]);
    free(clients);
    curl_global_cleanup();
    return fine ? 0 : 1;
}
