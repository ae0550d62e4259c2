// Requests of clients without HTTP: the router's own handlers make the operations, and the test's
// thread takes each request from step to step as http/server/exchange.c does.
#pragma once

#include "fixture.h"
#include "http/call.h"

struct request {
    struct call call; // call.reply: the answer, if rc is RC_OK
    enum rc rc;       // what the client is answered; a problem's or RC_OK
    struct requests *owner;
    struct request *next; // in the list of those that a worker has finished with
    size_t instance;
    int64_t ttl_ms; // of a reservation, instead of the body's whole seconds; 0: the body's
    enum method method;
    char target[128], key[REQUEST_KEY_MAX + 1];
};

struct requests {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct fixture *fixture;
    struct request *finished;
    struct request *all;
    size_t n, n_open;
};

void requests_init(struct requests *requests, struct fixture *fixture, size_t n);
void requests_release(struct requests *requests);

// Sends the i-th request, such as "POST /v1/orders", to an instance. It gets a fresh key, unless
// it has one.
void request_send(struct requests *requests, size_t i, size_t instance, const char *what,
                  const char *body, ...) PRINTF_LIKE(5, 6);

// Sends the i-th request once more as the j-th: the same key and body.
void request_repeat(struct requests *requests, size_t i, size_t j, size_t instance);

// Waits until all requests are answered. One that was answered 503 is sent again with its own key.
void requests_settle(struct requests *requests);

size_t requests_count(const struct requests *requests, enum rc rc);

// Makes the operation of the i-th request; request_submit sends it on its way.
void request_make(struct requests *requests, size_t i, const char *what, const char *body, ...)
    PRINTF_LIKE(4, 5);

void request_submit(struct requests *requests, size_t i, size_t instance);

// Sends one request to the first instance and fails the test unless it is answered RC_OK.
void request_do(struct fixture *fixture, const char *what, const char *body, ...) PRINTF_LIKE(3, 4);
