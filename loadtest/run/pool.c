// Keeps a client thread's connections open, and carries requests over them.
//
// A request takes the connection that has been idle longest, so that the targets share the load
// evenly, or one of its resource's target (slots.h). A broken connection is reopened at once, and
// then after ever longer pauses, until it brings an answer or lasts half a second. While none is
// up, each failed attempt to connect also fails one ready request, so that a dead server shows up
// as errors and not as silence.
//
// The latch: every connection gets a request, and all but its last byte is sent. Then all threads
// meet, and write the last bytes one after the other. The server has received everything else by
// then, so the requests become complete within the time of that many one-byte writes.
#include "run/pool.h"

#include "base/clock.h"
#include "base/text.h"
#include "run/cart.h"
#include "run/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define REOPEN_FIRST_NS (10 * NS_PER_MS)
#define REOPEN_MAX_NS (500 * NS_PER_MS)
#define BODY_MAX ((size_t)64 * 1024)            // the API's answers are far smaller
#define OWN_BODY_MAX ((size_t)16 * 1024 * 1024) // of a user's own request
#define OPENING_EVENTS_MAX 128
#define OPENING_WAIT_MS 50
#define OPENING_AT_ONCE 128 // a SYN that a full accept queue drops costs a second

// ---- making -------------------------------------------------------------------------------------

// Fields that every request of the run has.
static void write_fields(const struct plan *plan, struct buffer *fields)
{
    buffer_append_text(fields, "");
    if (plan->client_token != NULL)
        buffer_format(fields, "Authorization: Bearer %s\r\n", plan->client_token);
    if (plan->strategy != NULL)
        buffer_format(fields, "X-Holdfast-Strategy: %s\r\n", plan->strategy);
}

static bool compile_templates(struct pool *pool, char *ret_error)
{
    const struct plan *plan = pool->context->plan;
    const struct scenario *scenario = pool->context->run->scenario;
    pool->n_templates = scenario_templates(scenario);
    pool->templates = calloc(plan->n_targets * pool->n_templates, sizeof *pool->templates);
    struct buffer fields CLEANUP(buffer_release) = {0};
    write_fields(plan, &fields);
    if (pool->templates == NULL || fields.failed) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    for (size_t i = 0; i < plan->n_targets; i++) {
        for (size_t j = 0; j < pool->n_templates; j++) {
            if (!template_compile(scenario_template(scenario, j), plan->targets[i].authority,
                                  plan->targets[i].prefix, fields.data,
                                  &pool->templates[i * pool->n_templates + j], ret_error))
                return false;
        }
    }
    return true;
}

bool pool_init(struct pool *pool, struct context *context, struct recorder *recorder,
               char *ret_error)
{
    const struct plan *plan = context->plan;
    *pool = (struct pool){.context = context, .recorder = recorder};
    pool->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (pool->epoll < 0) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "cannot create an epoll instance: %s",
                          strerror(errno));
        return false;
    }
    pool->n_slots = context_connections(context) * (plan->routed ? plan->n_targets : 1);
    pool->slots = calloc(pool->n_slots > 0 ? pool->n_slots : 1, sizeof *pool->slots);
    if (pool->slots == NULL) {
        (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
        return false;
    }
    // Connection i of the run goes to target i modulo their number, whichever thread has it. Routed,
    // each thread has as many of each target.
    for (size_t i = 0; i < pool->n_slots; i++) {
        size_t number = plan->routed ? i : i * (size_t)plan->threads + (size_t)context->number;
        size_t target = number % plan->n_targets;
        connection_init(&pool->slots[i].connection, pool->epoll, &context->run->addresses[target]);
        pool->slots[i].target = target;
    }
    return compile_templates(pool, ret_error);
}

void pool_release(struct pool *pool)
{
    for (size_t i = 0; pool->slots != NULL && i < pool->n_slots; i++)
        connection_release(&pool->slots[i].connection);
    free(pool->slots);
    size_t n_templates =
        pool->templates != NULL ? pool->context->plan->n_targets * pool->n_templates : 0;
    for (size_t i = 0; i < n_templates; i++)
        template_free(pool->templates[i]);
    free(pool->templates);
    timers_release(&pool->reopening);
    if (pool->epoll >= 0)
        close(pool->epoll);
}

// ---- connections that break ---------------------------------------------------------------------

// The first time at once, then after ever longer pauses.
static void schedule_reopening(struct pool *pool, struct pool_slot *slot)
{
    int64_t delay_ns = slot->backoff_ns;
    slot->backoff_ns = delay_ns == 0 ? REOPEN_FIRST_NS : 2 * delay_ns;
    if (slot->backoff_ns > REOPEN_MAX_NS)
        slot->backoff_ns = REOPEN_MAX_NS;
    if (!timers_set(&pool->reopening, &slot->reopen, pool->context->now_ns + delay_ns))
        pool->context->out_of_memory = true;
}

// Closes the connection, schedules its reopening, and finishes its request, if it has one, as not
// answered.
static void break_connection(struct pool *pool, struct pool_slot *slot, const char *why)
{
    struct context *context = pool->context;
    struct request *request = slot->request;
    bool was_up = slot->connection.state == CONNECTION_UP;
    slot->request = NULL;
    slots_clear_deadline(pool, slot);
    connection_close(&slot->connection);
    if (was_up) {
        pool->n_up--;
        // A server that closes every connection at once must not be connected to all the time.
        if (context->now_ns - slot->opened_ns >= REOPEN_MAX_NS)
            slot->backoff_ns = 0;
    }
    schedule_reopening(pool, slot);
    if (request != NULL) {
        answer_missing(why, &request->answer);
        request_push(&context->finished, request);
        return;
    }
    if (was_up)
        return;
    record_connect_failure(pool->recorder, why);
    if (pool->n_up == 0 && (request = request_pop(&context->ready)) != NULL)
        context_fail_unsent(context, request, why);
}

static void open_connection(struct pool *pool, struct pool_slot *slot)
{
    int code = connection_open(&slot->connection);
    if (code != 0)
        break_connection(pool, slot, strerror(code));
    else
        slots_set_deadline(pool, slot);
}

void pool_reopen(struct pool *pool)
{
    struct timer *timer;
    while ((timer = timers_pop(&pool->reopening, pool->context->now_ns)) != NULL)
        open_connection(pool, CONTAINER_OF(timer, struct pool_slot, reopen));
}

void pool_expire(struct pool *pool)
{
    struct context *context = pool->context;
    struct pool_slot *slot;
    while ((slot = pool->deadlines.first) != NULL && slot->deadline_ns <= context->now_ns) {
        if (slot->connection.state == CONNECTION_OPENING &&
            connection_try_next(&slot->connection)) {
            slots_clear_deadline(pool, slot);
            slots_set_deadline(pool, slot);
            continue;
        }
        if (slot->request != NULL)
            record_one(pool->recorder, &pool->recorder->measure.timeouts);
        break_connection(pool, slot, "timeout");
    }
    struct request *request;
    while ((request = context->ready.first) != NULL &&
           request->ready_ns + context->plan->timeout_ns <= context->now_ns)
        context_fail_unsent(context, request_pop(&context->ready), "no connection in time");
}

void pool_abandon(struct pool *pool)
{
    for (size_t i = 0; i < pool->n_slots; i++) {
        struct request *request = pool->slots[i].request;
        pool->slots[i].request = NULL;
        if (request == NULL)
            continue;
        answer_missing("given up", &request->answer);
        request_push(&pool->context->finished, request);
    }
}

int64_t pool_next_ns(const struct pool *pool)
{
    int64_t reopen_ns = timers_next(&pool->reopening);
    const struct pool_slot *oldest = pool->deadlines.first;
    return oldest != NULL && oldest->deadline_ns < reopen_ns ? oldest->deadline_ns : reopen_ns;
}

// ---- requests -----------------------------------------------------------------------------------

static void render(struct pool *pool, struct pool_slot *slot, struct request *request)
{
    const struct operation *operation = request->operation;
    const struct task *task = &operation->task;
    char body[CART_BODY_MAX];
    cart_body(pool->context->run->scenario, task, operation->user, body);
    const struct template_values values = {
        .resource = task->order[0] != '\0'         ? task->order
                    : task->reservation[0] != '\0' ? task->reservation
                                                   : task->resource,
        .key = operation->key,
        .user = operation->user,
        .quantity = task->quantity,
        .n = operation->n,
        .body = body,
        .seed = pool->context->plan->seed,
    };
    slot->request = request;
    request->target = slot->target;
    connection_next(&slot->connection);
    size_t at = slot->target * pool->n_templates + task->template;
    template_render(pool->templates[at], &values, &slot->connection.out);
}

// Sends the rendered request, or what is left of it. From here on it may take effect.
static void send_rendered(struct pool *pool, struct pool_slot *slot)
{
    struct context *context = pool->context;
    struct request *request = slot->request;
    context->now_ns = clock_now_ns();
    request->invoke_ns = context->now_ns - context->run->start_ns;
    record_sent(pool->recorder, slot->connection.out.length, request_begins_operation(request));
    slots_set_deadline(pool, slot);
    int code = connection_send(&slot->connection);
    if (code != 0)
        break_connection(pool, slot, strerror(code));
}

bool pool_send(struct pool *pool)
{
    struct pool_slot *slot = NULL;
    const struct request *next = pool->context->ready.first;
    if (next == NULL || (slot = slots_pop_idle(pool, next)) == NULL)
        return false;
    render(pool, slot, request_pop(&pool->context->ready));
    send_rendered(pool, slot);
    return true;
}

static void take_answer(struct pool *pool, struct pool_slot *slot)
{
    struct context *context = pool->context;
    const struct response *response = &slot->connection.parser.response;
    struct request *request = slot->request;
    if (!answer_read(response, request->operation->task.kind, context->run->writer != NULL,
                     context->run->plan->proxied, &request->answer))
        record_one(pool->recorder, &pool->recorder->measure.malformed);
    context->now_ns = clock_now_ns();
    slots_clear_deadline(pool, slot);
    slot->request = NULL;
    slot->backoff_ns = 0;
    if (response->close) {
        connection_close(&slot->connection);
        pool->n_up--;
        schedule_reopening(pool, slot);
    } else {
        connection_next(&slot->connection);
        slots_push_idle(pool, slot);
    }
    request_push(&context->finished, request);
}

// Why there is no answer.
static const char *describe(const struct connection *connection, int code)
{
    if (connection->parser.wrong != NULL)
        return connection->parser.wrong;
    if (code == 0)
        return connection->in_length > 0 ? "broken answer" : "connection closed";
    return code == ECONNRESET ? "connection reset" : strerror(code);
}

static void on_readable(struct pool *pool, struct pool_slot *slot)
{
    int code = 0;
    bool own = slot->request != NULL && slot->request->operation->task.kind == KIND_OTHER;
    enum response_state state =
        connection_receive(&slot->connection, own ? OWN_BODY_MAX : BODY_MAX, &code);
    if (state == RESPONSE_PARTIAL)
        return;
    if (state == RESPONSE_DONE && slot->request != NULL && slot->connection.held == 0) {
        take_answer(pool, slot);
        return;
    }
    if (slot->request != NULL && slot->connection.parser.wrong != NULL)
        record_one(pool->recorder, &pool->recorder->measure.malformed);
    break_connection(pool, slot, describe(&slot->connection, code));
}

static void on_open(struct pool *pool, struct pool_slot *slot)
{
    int code = connection_opened(&slot->connection);
    slots_clear_deadline(pool, slot);
    if (code == EINPROGRESS) {
        slots_set_deadline(pool, slot);
        return;
    }
    if (code != 0) {
        break_connection(pool, slot, strerror(code));
        return;
    }
    pool->n_up++;
    slot->opened_ns = pool->context->now_ns;
    slots_push_idle(pool, slot);
}

void pool_event(struct pool *pool, struct pool_slot *slot, uint32_t events)
{
    if (slot->connection.state == CONNECTION_OPENING) {
        on_open(pool, slot);
    } else if (slot->connection.state == CONNECTION_UP) {
        int code = (events & EPOLLOUT) != 0 ? connection_send(&slot->connection) : 0;
        if (code != 0)
            break_connection(pool, slot, strerror(code));
        else if ((events & ~(uint32_t)EPOLLOUT) != 0)
            on_readable(pool, slot);
    }
}

// ---- before the run -----------------------------------------------------------------------------

// Waits for events of connections that are being opened. False if one failed, with a sentence.
static bool await_opened(struct pool *pool, int *ret_n, char *ret_error)
{
    struct epoll_event events[OPENING_EVENTS_MAX];
    *ret_n = epoll_wait(pool->epoll, events, OPENING_EVENTS_MAX, OPENING_WAIT_MS);
    for (int i = 0; i < *ret_n; i++) {
        struct pool_slot *slot = events[i].data.ptr;
        int code =
            slot->connection.state == CONNECTION_OPENING ? connection_opened(&slot->connection) : 0;
        if (code == EINPROGRESS)
            continue;
        if (code != 0) {
            (void)text_format(ret_error, HISTORY_ERROR_MAX, "no connection to %s: %s",
                              pool->context->plan->targets[slot->target].url, strerror(code));
            return false;
        }
        if (!slot->is_listed_idle) {
            pool->n_up++;
            slots_push_idle(pool, slot);
        }
    }
    return true;
}

// Whether each connection that is not open yet has another address to try.
static bool try_next_addresses(struct pool *pool)
{
    for (size_t i = 0; i < pool->n_slots; i++) {
        struct connection *connection = &pool->slots[i].connection;
        if (connection->state == CONNECTION_OPENING && !connection_try_next(connection))
            return false;
    }
    return true;
}

bool pool_open(struct pool *pool, char *ret_error)
{
    struct run *run = pool->context->run;
    const struct target *targets = pool->context->plan->targets;
    int n = 0;
    ret_error[0] = '\0';
    for (size_t i = 0; i < pool->n_slots; i++) {
        struct pool_slot *slot = &pool->slots[i];
        if (run_failed(run))
            return false;
        int code = connection_open(&slot->connection);
        if (code != 0) {
            (void)text_format(ret_error, HISTORY_ERROR_MAX, "no connection to %s: %s",
                              targets[slot->target].url, strerror(code));
            return false;
        }
        for (n = -1; n != 0 && i + 1 >= pool->n_up + OPENING_AT_ONCE;) {
            if (run_failed(run) || !await_opened(pool, &n, ret_error))
                return false;
        }
    }
    int64_t deadline_ns = clock_now_ns() + pool->context->plan->timeout_ns;
    while (pool->n_up < pool->n_slots) {
        if (run_failed(run) || !await_opened(pool, &n, ret_error))
            return false;
        if (run_stop(run) != STOP_NOT)
            (void)text_copy(ret_error, HISTORY_ERROR_MAX, "interrupted before it began");
        else if (clock_now_ns() > deadline_ns && try_next_addresses(pool))
            deadline_ns = clock_now_ns() + pool->context->plan->timeout_ns;
        else if (clock_now_ns() > deadline_ns)
            (void)text_format(ret_error, HISTORY_ERROR_MAX,
                              "%s did not accept all connections in time", targets[0].url);
        if (ret_error[0] != '\0')
            return false;
    }
    return true;
}

bool pool_preload(struct pool *pool)
{
    struct pool_slot *slot = slots_pop_idle(pool, pool->context->ready.first);
    if (slot == NULL)
        return false;
    render(pool, slot, request_pop(&pool->context->ready));
    slot->connection.held = 1;
    if (connection_send(&slot->connection) != 0) {
        slot->connection.state = CONNECTION_DOWN;
        pool->n_up--;
    }
    return true;
}

void pool_release_latch(struct pool *pool)
{
    pool->context->now_ns = clock_now_ns();
    for (size_t i = 0; i < pool->n_slots; i++) {
        struct pool_slot *slot = &pool->slots[i];
        if (slot->request == NULL)
            continue;
        slot->connection.held = 0;
        if (slot->connection.state == CONNECTION_UP)
            send_rendered(pool, slot);
        else
            break_connection(pool, slot, "connection reset");
    }
}
