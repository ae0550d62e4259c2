// Writes the JSON of the gateway's requests, and reads its answers.
//
// Bytes travel in base64, and 64-bit numbers as text. A name consists of ids and slashes, and
// base64 of letters, digits and a few signs; neither needs to be escaped in JSON. Names in answers
// are compared in base64 and never decoded.
//
// What breaks it: an etcd with a --max-txn-ops below its default of 128.
#include "guard/etcd/messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OPS_PER_TXN 64 // with ETCD_COMPARES_MAX compares, below --max-txn-ops

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode(char *target, const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t left = strlen(text);
    for (; left > 0; left = left > 3 ? left - 3 : 0, bytes += 3) {
        uint32_t three = (uint32_t)bytes[0] << 16;
        three |= left > 1 ? (uint32_t)bytes[1] << 8 : 0;
        three |= left > 2 ? (uint32_t)bytes[2] : 0;
        *target++ = base64[three >> 18];
        *target++ = base64[three >> 12 & 63];
        *target++ = left > 1 ? base64[three >> 6 & 63] : '=';
        *target++ = left > 2 ? base64[three & 63] : '=';
    }
    *target = '\0';
}

static bool decode(char *target, size_t size, const char *text64)
{
    uint32_t bits = 0;
    size_t used = 0, n = 0;
    for (; *text64 != '\0' && *text64 != '='; text64++) {
        const char *digit = strchr(base64, *text64);
        if (digit == NULL || used + 2 > size)
            return false;
        bits = bits << 6 | (uint32_t)(digit - base64);
        if (++n % 4 != 1)
            target[used++] = (char)(bits >> (6 - 2 * ((n - 1) % 4)) & 0xff);
    }
    target[used] = '\0';
    return true;
}

void etcd_name(char *ret_name64, const char *format, ...)
{
    char name[ETCD_NAME_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    encode(ret_name64, name);
}

void etcd_range_end(char *ret_name64, const char *format, ...)
{
    char name[ETCD_NAME_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    if (name[0] != '\0')
        name[strlen(name) - 1]++;
    encode(ret_name64, name);
}

uint64_t etcd_name_hash(const char *name64)
{
    return text_hash(TEXT_HASH_START, name64, strlen(name64));
}

// ---- requests -----------------------------------------------------------------------------------

static void compare(struct etcd_txn *txn, const char *target, const char *member,
                    const char *name64, const char *end64, int64_t revision)
{
    struct buffer *out = &txn->compares;
    buffer_append_text(out, out->length > 0 ? ",{\"key\":\"" : "{\"key\":\"");
    buffer_append_text(out, name64);
    if (end64 != NULL) {
        buffer_append_text(out, "\",\"range_end\":\"");
        buffer_append_text(out, end64);
    }
    buffer_append_text(out, "\",\"target\":\""); // the comparison is EQUAL by default
    buffer_append_text(out, target);
    buffer_append_text(out, "\",\"");
    buffer_append_text(out, member);
    buffer_append_text(out, "\":\"");
    buffer_append_int(out, revision);
    buffer_append_text(out, "\"}");
}

void etcd_compare_created(struct etcd_txn *txn, const char *name64, int64_t revision)
{
    compare(txn, "CREATE", "create_revision", name64, NULL, revision);
}

void etcd_compare_modified(struct etcd_txn *txn, const char *name64, int64_t revision)
{
    compare(txn, "MOD", "mod_revision", name64, NULL, revision);
}

void etcd_compare_empty(struct etcd_txn *txn, const char *name64, const char *end64)
{
    compare(txn, "CREATE", "create_revision", name64, end64, 0);
}

static struct buffer *begin_op(struct etcd_ops *ops, const char *words, const char *name64)
{
    struct buffer *out = &ops->text;
    bool nested = ops->expected > OPS_PER_TXN;
    if (ops->n > 0)
        buffer_append_text(out, nested && ops->n % OPS_PER_TXN == 0 ? "]}}," : ",");
    if (nested && ops->n % OPS_PER_TXN == 0)
        buffer_append_text(out, "{\"request_txn\":{\"success\":[");
    ops->n++;
    buffer_append_text(out, words);
    buffer_append_text(out, name64);
    return out;
}

void etcd_put(struct etcd_ops *ops, const char *name64, const char *value64, const char *lease)
{
    struct buffer *out = begin_op(ops, "{\"request_put\":{\"key\":\"", name64);
    buffer_append_text(out, "\",\"value\":\"");
    buffer_append_text(out, value64);
    buffer_append_text(out, "\",\"lease\":\"");
    buffer_append_text(out, lease);
    buffer_append_text(out, "\"}}");
}

void etcd_delete(struct etcd_ops *ops, const char *name64)
{
    struct buffer *out = begin_op(ops, "{\"request_delete_range\":{\"key\":\"", name64);
    buffer_append_text(out, "\"}}");
}

void etcd_get(struct etcd_ops *ops, const char *name64)
{
    struct buffer *out = begin_op(ops, "{\"request_range\":{\"key\":\"", name64);
    buffer_append_text(out, "\"}}");
}

void etcd_list(struct etcd_ops *ops, const char *name64, const char *end64, size_t limit,
               int64_t revision)
{
    struct buffer *out = begin_op(ops, "{\"request_range\":{\"key\":\"", name64);
    buffer_append_text(out, "\",\"range_end\":\"");
    buffer_append_text(out, end64);
    buffer_append_text(out, "\",\"sort_order\":\"DESCEND\",\"sort_target\":\"CREATE\","
                            "\"keys_only\":true,\"limit\":\"");
    buffer_append_int(out, (int64_t)limit);
    if (revision > 0) {
        buffer_append_text(out, "\",\"max_create_revision\":\"");
        buffer_append_int(out, revision);
    }
    buffer_append_text(out, "\"}}");
}

static void append_ops(struct buffer *out, const char *name, const struct etcd_ops *ops)
{
    buffer_append_text(out, name);
    if (ops->n == 0)
        return;
    buffer_append(out, ops->text.data, ops->text.length);
    if (ops->expected > OPS_PER_TXN)
        buffer_append_text(out, "]}}");
}

const char *etcd_txn_text(const struct etcd_txn *txn, struct buffer *ret_text)
{
    if (txn->compares.failed || txn->success.text.failed || txn->failure.text.failed)
        return NULL;
    buffer_append_text(ret_text, "{\"compare\":[");
    if (txn->compares.length > 0)
        buffer_append(ret_text, txn->compares.data, txn->compares.length);
    append_ops(ret_text, "],\"success\":[", &txn->success);
    append_ops(ret_text, "],\"failure\":[", &txn->failure);
    buffer_append_text(ret_text, "]}");
    return ret_text->failed ? NULL : ret_text->data;
}

enum rc etcd_txn_send(struct etcd_client *client, const struct etcd_txn *txn, int64_t limit_ns,
                      json_t **ret_answer, bool *ret_uncertain)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    const char *body = etcd_txn_text(txn, &text);
    if (body == NULL)
        return RC_NO_MEMORY;
    return etcd_request(client, "/v3/kv/txn", body, limit_ns, ret_answer, ret_uncertain);
}

void etcd_txn_cleanup(struct etcd_txn *txn)
{
    buffer_release(&txn->compares);
    buffer_release(&txn->success.text);
    buffer_release(&txn->failure.text);
}

// ---- answers ------------------------------------------------------------------------------------

int64_t etcd_number(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    int64_t number = 0;
    return text != NULL && text_to_int64(text, &number) ? number : 0;
}

int64_t etcd_revision(const json_t *answer)
{
    return etcd_number(json_object_get(answer, "header"), "revision");
}

bool etcd_succeeded(const json_t *answer)
{
    return json_is_true(json_object_get(answer, "succeeded"));
}

size_t etcd_ranges(const json_t *answer, const json_t **ret_ranges, size_t n)
{
    size_t i, found = 0;
    const json_t *response;
    json_array_foreach(json_object_get(answer, "responses"), i, response)
    {
        const json_t *range = json_object_get(response, "response_range");
        const json_t *nested = json_object_get(response, "response_txn");
        if (nested != NULL)
            // NOLINTNEXTLINE(misc-no-recursion): the requests nest one level deep
            found += etcd_ranges(nested, ret_ranges + found, n - found);
        else if (range != NULL && found < n)
            ret_ranges[found++] = range;
    }
    return found;
}

const json_t *etcd_first_kv(const json_t *answer)
{
    const json_t *range = NULL;
    (void)etcd_ranges(answer, &range, 1);
    return json_array_get(json_object_get(range, "kvs"), 0);
}

bool etcd_value(const json_t *kv, int64_t *ret_number)
{
    char text[32];
    const char *value64 = json_string_value(json_object_get(kv, "value"));
    return value64 != NULL && decode(text, sizeof text, value64) && text_to_int64(text, ret_number);
}
