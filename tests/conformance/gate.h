// Holds sections at a pause point until enough of them are there, or until the test lets them go.
#pragma once

#include "engine/engine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum pause_point point;
    size_t arrived, expected; // opens by itself when so many are there
    bool open;
};

void gate_init(struct gate *gate, enum pause_point point, size_t expected);

// For engine_hooks.pause; `arg` is the gate.
void gate_pause(void *arg, enum pause_point point, enum endpoint endpoint);

void gate_wait_for_arrival(struct gate *gate); // of the first
void gate_open(struct gate *gate);             // for good
