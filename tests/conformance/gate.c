#include "gate.h"

void gate_init(struct gate *gate, enum pause_point point, size_t expected)
{
    *gate = (struct gate){.point = point, .expected = expected};
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

void gate_pause(void *arg, const struct paused *paused)
{
    struct gate *gate = arg;
    if (paused->point != gate->point)
        return;
    pthread_mutex_lock(&gate->mutex);
    if (++gate->arrived == gate->expected)
        gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_wait_for_arrival(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->arrived == 0)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

bool gate_has_arrival(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    bool arrived = gate->arrived > 0;
    pthread_mutex_unlock(&gate->mutex);
    return arrived;
}

void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_close(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->open = false;
    gate->arrived = 0;
    pthread_mutex_unlock(&gate->mutex);
}
