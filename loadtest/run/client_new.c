// Building and freeing a client thread's things, before it runs and after.
#include "run/client_internal.h"

#include "history/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

// Fields that every request of the run has.
static void write_fields(const struct plan *plan, struct buffer *fields)
{
    buffer_append_text(fields, "");
    if (plan->client_token != NULL)
        buffer_format(fields, "Authorization: Bearer %s\r\n", plan->client_token);
    if (plan->strategy != NULL)
        buffer_format(fields, "X-Holdfast-Strategy: %s\r\n", plan->strategy);
}

static bool compile_templates(struct client *client, char *ret_error)
{
    const struct plan *plan = client->plan;
    const struct scenario *scenario = client->run->scenario;
    client->n_requests = scenario_requests(scenario);
    client->templates = calloc(plan->n_targets * client->n_requests, sizeof *client->templates);
    struct buffer fields CLEANUP(buffer_release) = {0};
    write_fields(plan, &fields);
    if (client->templates == NULL || fields.failed) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    for (size_t i = 0; i < plan->n_targets; i++) {
        for (size_t j = 0; j < client->n_requests; j++) {
            if (!template_compile(scenario_request(scenario, j), plan->targets[i].authority,
                                  plan->targets[i].prefix, fields.data,
                                  &client->templates[i * client->n_requests + j], ret_error))
                return false;
        }
    }
    return true;
}

// Connection i of the run goes to target i modulo their number, whichever thread has it.
static bool prepare_lines(struct client *client)
{
    const struct plan *plan = client->plan;
    client->n_lines =
        (size_t)((plan->connections + plan->threads - 1 - client->number) / plan->threads);
    client->lines = calloc(client->n_lines > 0 ? client->n_lines : 1, sizeof *client->lines);
    if (client->lines == NULL)
        return false;
    for (size_t i = 0; i < client->n_lines; i++) {
        connection_init(&client->lines[i].connection, client->epoll);
        client->lines[i].target =
            (i * (size_t)plan->threads + (size_t)client->number) % plan->n_targets;
    }
    return true;
}

static bool prepare(struct client *client, char *ret_error)
{
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll < 0) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "no epoll: %s", strerror(errno));
        return false;
    }
    if (!measure_init(&client->measure) || !measure_init(&client->recent) ||
        !prepare_lines(client)) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    return compile_templates(client, ret_error);
}

bool client_new(struct run *run, int64_t number, struct client **ret_client, char *ret_error)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    client->run = run;
    client->plan = run->plan;
    client->number = number;
    client->epoll = -1;
    client->random = (run->plan->seed ^ ((uint64_t)number + 1) * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    pthread_mutex_init(&client->mutex, NULL);
    if (!prepare(client, ret_error)) {
        client_free(client);
        return false;
    }
    *ret_client = client;
    return true;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    for (size_t i = 0; client->lines != NULL && i < client->n_lines; i++)
        connection_release(&client->lines[i].connection);
    size_t n_templates =
        client->templates != NULL ? client->plan->n_targets * client->n_requests : 0;
    for (size_t i = 0; i < n_templates; i++)
        template_free(client->templates[i]);
    free(client->templates);
    free(client->lines);
    pools_release(client);
    timers_release(&client->due);
    timers_release(&client->reopening);
    measure_release(&client->measure);
    measure_release(&client->recent);
    buffer_release(&client->history);
    pthread_mutex_destroy(&client->mutex);
    if (client->epoll >= 0)
        close(client->epoll);
    free(client);
}
