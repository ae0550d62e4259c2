// Sends control requests to one target for as long as it answers, and then to the next, because a
// fault test may have killed the first instance. A POST without an idempotency key that may have
// arrived is not sent again.
// Proxies in the environment are ignored, because the load itself ignores them too.
//
// A broken or hostile server cannot hold a request beyond its timeout, however slowly it sends, nor
// fill the memory: heads, interim responses (1xx) included, and bodies are bounded.
#include "control/http.h"

#include "base/clock.h"
#include "base/text.h"
#include "control/interrupt.h"
#include "history/history.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 2000L
#define BUSY_RETRY_NS (10 * NS_PER_S)
#define BUSY_PAUSE_NS (250 * NS_PER_MS)
#define HEAD_MAX ((size_t)64 * 1024)
#define BODY_MAX ((size_t)4 * 1024 * 1024)

struct http {
    CURL *curl;
    const char *const *urls;
    size_t n_urls, current;
    struct curl_slist *headers;
    struct buffer answer;
    size_t head_length;  // of the answer, with its interim responses and its trailer
    const char *refusal; // why the answer was not read to its end, or NULL
    bool interruptible, interrupted;
};

static size_t on_head(char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes;
    struct http *http = arg;
    http->head_length += size * n;
    if (http->head_length <= HEAD_MAX)
        return size * n;
    http->refusal = "the head of the answer is too large";
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct http *http = arg;
    if (http->answer.length + size * n > BODY_MAX) {
        http->refusal = "the body of the answer is too large";
        return 0;
    }
    buffer_append(&http->answer, bytes, size * n);
    return http->answer.failed ? 0 : size * n;
}

// libcurl calls it while it sends, receives and waits, at least once a second.
static int on_progress(void *arg, curl_off_t all_in, curl_off_t in, curl_off_t all_out,
                       curl_off_t out)
{
    (void)all_in, (void)in, (void)all_out, (void)out;
    struct http *http = arg;
    if (!http->interruptible || !interrupt_take(0))
        return 0;
    http->interrupted = true;
    http->refusal = "interrupted";
    return 1;
}

static bool add_header(struct http *http, const char *header)
{
    struct curl_slist *grown = curl_slist_append(http->headers, header);
    if (grown == NULL)
        return false;
    http->headers = grown;
    return true;
}

static bool add_headers(struct http *http, const char *token)
{
    struct buffer authorization CLEANUP(buffer_release) = {0};
    if (token != NULL)
        buffer_format(&authorization, "Authorization: Bearer %s", token);
    if (authorization.failed || (token != NULL && !add_header(http, authorization.data)))
        return false;
    // An empty Expect keeps libcurl from waiting for a 100 before a large body.
    return add_header(http, "Content-Type: application/json") && add_header(http, "Expect:");
}

struct http *http_new(const char *const *urls, size_t n_urls, const char *token, int64_t timeout_ns)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return NULL;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    http->urls = urls;
    http->n_urls = n_urls;
    http->curl = curl_easy_init();
    if (http->curl == NULL || !add_headers(http, token)) {
        http_free(http);
        return NULL;
    }
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, (long)(timeout_ns / NS_PER_MS));
    curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(http->curl, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(http->curl, CURLOPT_HEADERDATA, http);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, http);
    curl_easy_setopt(http->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(http->curl, CURLOPT_XFERINFODATA, http);
    curl_easy_setopt(http->curl, CURLOPT_NOPROGRESS, 0L);
    return http;
}

void http_stop_on_interrupt(struct http *http)
{
    http->interruptible = true;
}

bool http_was_interrupted(const struct http *http)
{
    return http->interrupted;
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->headers);
    buffer_release(&http->answer);
    free(http);
    curl_global_cleanup();
}

struct request {
    const char *method, *path, *body; // body NULL: none
    bool repeatable;                  // sending it twice has the same effect as sending it once
    char *ret_error;
};

static CURLcode send_once(struct http *http, const struct request *request, const char *url)
{
    struct buffer address CLEANUP(buffer_release) = {0};
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        length--;
    buffer_append(&address, url, length);
    buffer_append_text(&address, request->path);
    if (address.failed)
        return CURLE_OUT_OF_MEMORY;
    curl_easy_setopt(http->curl, CURLOPT_URL, address.data);
    curl_easy_setopt(http->curl, CURLOPT_HTTPGET, 1L);
    if (request->body != NULL) {
        curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(request->body));
        curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, request->body);
    }
    curl_easy_setopt(http->curl, CURLOPT_CUSTOMREQUEST, request->method);
    buffer_clear(&http->answer);
    http->head_length = 0;
    http->refusal = NULL;
    return curl_easy_perform(http->curl);
}

// Prefers "Connection refused" to "Couldn't connect to server".
static const char *reason(const struct http *http, CURLcode code)
{
    if (http->refusal != NULL)
        return http->refusal;
    long number = 0;
    (void)curl_easy_getinfo(http->curl, CURLINFO_OS_ERRNO, &number);
    return code == CURLE_COULDNT_CONNECT && number != 0 ? strerror((int)number)
                                                        : curl_easy_strerror(code);
}

// Tries one target after the other, beginning with the one that answered last. Returns the status,
// or 0 with a sentence.
static long send_to_any(struct http *http, const struct request *request)
{
    CURLcode code = CURLE_COULDNT_CONNECT;
    for (size_t tried = 0; tried < http->n_urls; tried++) {
        const char *url = http->urls[http->current];
        code = send_once(http, request, url);
        long status = 0;
        if (code == CURLE_OK &&
            curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
            status != 0)
            return status;
        text_format(request->ret_error, HISTORY_ERROR_MAX, "%s %.150s at %.200s: %s.",
                    request->method, request->path, url, reason(http, code));
        if (http->interrupted)
            return 0;
        if (!request->repeatable && code != CURLE_COULDNT_CONNECT &&
            code != CURLE_COULDNT_RESOLVE_HOST)
            return 0;
        http->current = (http->current + 1) % http->n_urls;
    }
    return 0;
}

static void describe(const struct http *http, const struct request *request, long status,
                     const json_t *answer)
{
    const char *type = json_string_value(json_object_get(answer, "type"));
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    const char *slash = type != NULL ? strrchr(type, '/') : NULL;
    text_format(
        request->ret_error, HISTORY_ERROR_MAX, "%s %.100s at %.150s returned %ld%s%.40s%s%.150s%s",
        request->method, request->path, http->urls[http->current], status, slash != NULL ? " " : "",
        slash != NULL ? slash + 1 : "", detail != NULL ? ": " : ".", detail != NULL ? detail : "",
        status == 401 || status == 403 ? " Give --admin-token, or set HOLDFAST_AUTH_ADMIN_TOKEN."
                                       : "");
}

static bool read_answer(const struct http *http, const struct request *request, long status,
                        json_t **ret_json)
{
    const char *text = http->answer.data != NULL ? http->answer.data : "";
    const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES;
    json_t *answer = json_loadb(text, http->answer.length, flags, NULL);
    if (status >= 200 && status < 300 && answer != NULL) {
        *ret_json = answer;
        return true;
    }
    if (status >= 200 && status < 300)
        text_format(request->ret_error, HISTORY_ERROR_MAX,
                    "%s %.100s at %.200s returned %ld, but the body is not JSON.", request->method,
                    request->path, http->urls[http->current], status);
    else
        describe(http, request, status, answer);
    json_decref(answer);
    return false;
}

static bool call(struct http *http, struct request *request, const json_t *body, json_t **ret_json)
{
    char *text CLEANUP(free_memory) = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    if (body != NULL && text == NULL) {
        text_format(request->ret_error, HISTORY_ERROR_MAX, "%s %.100s: out of memory.",
                    request->method, request->path);
        return false;
    }
    request->body = text;
    int64_t retry_until_ns = clock_now_ns() + BUSY_RETRY_NS;
    long status = send_to_any(http, request);
    while (status == 503 && request->repeatable && !http->interrupted &&
           clock_now_ns() < retry_until_ns) {
        clock_sleep_ns(BUSY_PAUSE_NS);
        http->current = (http->current + 1) % http->n_urls;
        status = send_to_any(http, request);
    }
    return status != 0 && read_answer(http, request, status, ret_json);
}

bool http_call(struct http *http, const char *method, const char *path, const json_t *body,
               json_t **ret_json, char *ret_error)
{
    struct request request = {.method = method,
                              .path = path,
                              .repeatable = strcmp(method, "POST") != 0,
                              .ret_error = ret_error};
    return call(http, &request, body, ret_json);
}

bool http_post(struct http *http, const char *path, const char *key, const json_t *body,
               json_t **ret_json, char *ret_error)
{
    char header[HISTORY_TEXT_MAX + 32];
    text_format(header, sizeof header, "Idempotency-Key: %s", key);
    struct curl_slist keyed = {.data = header, .next = http->headers};
    struct request request = {
        .method = "POST", .path = path, .repeatable = true, .ret_error = ret_error};
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, &keyed);
    bool done = call(http, &request, body, ret_json);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, http->headers);
    return done;
}
