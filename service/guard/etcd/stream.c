// libcurl's easy calls cannot be interrupted while nothing arrives; its multi interface can. A
// partner that has vanished without a word is found by TCP's keep-alive. One that is there and says
// nothing is not: whoever knows better drops it.
#include "guard/etcd/stream.h"

#include "base/text.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 10000
#define CONNECT_MS 1000L

struct etcd_stream {
    struct etcd_client *client;
    const char *path, *body;
    bool (*on_line)(void *arg, const char *line, size_t length);
    void *arg;
    CURLM *multi;
    struct buffer rest; // an unfinished line
    atomic_bool dropped, interrupted;
};

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct etcd_stream *stream = arg;
    struct buffer *rest = &stream->rest;
    buffer_append(rest, data, size * n);
    if (rest->failed)
        return 0;
    char *line = rest->data, *end;
    while ((end = memchr(line, '\n', rest->length - (size_t)(line - rest->data))) != NULL) {
        if (!stream->on_line(stream->arg, line, (size_t)(end - line)))
            return 0;
        line = end + 1;
    }
    size_t used = (size_t)(line - rest->data);
    memmove(rest->data, line, rest->length - used);
    rest->length -= used;
    return size * n;
}

enum rc etcd_stream_new(struct etcd_client *client, const char *path, const char *body,
                        bool (*on_line)(void *arg, const char *line, size_t length), void *arg,
                        struct etcd_stream **ret_stream)
{
    struct etcd_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return RC_NO_MEMORY;
    *stream = (struct etcd_stream){
        .client = client, .path = path, .body = body, .on_line = on_line, .arg = arg};
    stream->multi = curl_multi_init();
    if (stream->multi == NULL) {
        free(stream);
        return RC_NO_MEMORY;
    }
    *ret_stream = stream;
    return RC_OK;
}

void etcd_stream_free(struct etcd_stream *stream)
{
    if (stream == NULL)
        return;
    curl_multi_cleanup(stream->multi);
    buffer_release(&stream->rest);
    free(stream);
}

void etcd_stream_run(struct etcd_stream *stream)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return;
    struct curl_slist *headers = NULL;
    etcd_client_prepare(stream->client, curl, stream->path, stream->body, &headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, stream);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    buffer_release(&stream->rest);
    stream->dropped = false;
    curl_multi_add_handle(stream->multi, curl);
    int running = 1;
    while (!stream->interrupted && !stream->dropped &&
           curl_multi_perform(stream->multi, &running) == CURLM_OK && running > 0)
        if (curl_multi_poll(stream->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            break;
    curl_multi_remove_handle(stream->multi, curl);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
}

void etcd_stream_drop(struct etcd_stream *stream)
{
    stream->dropped = true;
    curl_multi_wakeup(stream->multi);
}

void etcd_stream_interrupt(struct etcd_stream *stream)
{
    stream->interrupted = true;
    curl_multi_wakeup(stream->multi);
}
