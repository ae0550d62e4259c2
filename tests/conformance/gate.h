// A gate at a pause point: holds arriving workers until the expected number has arrived or the test
// opens it.
#pragma once

#include "engine/engine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum pause_point point;
    size_t arrived,
        expected; // opens by itself at the expected arrival; SIZE_MAX: only by gate_open
    bool open;
};

void gate_init(struct gate *gate, enum pause_point point, size_t expected);

// The function for engine_hooks.pause; `arg` is the gate.
void gate_pause(void *arg, const struct paused *paused);

void gate_wait_for_arrival(struct gate *gate); // of the first worker
bool gate_has_arrival(struct gate *gate);
void gate_open(struct gate *gate);  // until gate_close
void gate_close(struct gate *gate); // as gate_init has left it
