// The gateway's JSON: transactions written piece by piece, and what comes back read.
#pragma once

#include "base/text.h"
#include "domain/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define ETCD_TAG_LENGTH 33 // an owner of 32 characters, and the attempt
#define ETCD_NAME_MAX (COUNTER_NAME_MAX + 64)
#define ETCD_NAME64_MAX ((ETCD_NAME_MAX + 2) / 3 * 4 + 1)
#define ETCD_LEASE_MAX 24

// Names, ready for JSON, in buffers of ETCD_NAME64_MAX bytes.
void etcd_name(char *ret_name64, const char *format, ...) PRINTF_LIKE(2, 3);
// The end of the range of all names that begin with this one, which ends in a slash.
void etcd_range_end(char *ret_name64, const char *format, ...) PRINTF_LIKE(2, 3);
uint64_t etcd_name_hash(const char *name64);

// A list of operations. More than fit into a transaction (--max-txn-ops, 128 unless told) are
// spread over transactions within it, still one step: say beforehand how many will come.
struct etcd_ops {
    struct buffer text;
    size_t n, expected;
};

#define ETCD_COMPARES_MAX 64

struct etcd_txn {
    struct buffer compares;
    struct etcd_ops success, failure;
};

void etcd_compare_created(struct etcd_txn *txn, const char *name64, int64_t revision);
void etcd_compare_modified(struct etcd_txn *txn, const char *name64, int64_t revision);
// Nothing exists from name64 to end64.
void etcd_compare_empty(struct etcd_txn *txn, const char *name64, const char *end64);

// The value is JSON text without quotes, in base64. Without a lease: "0".
void etcd_put(struct etcd_ops *ops, const char *name64, const char *value64, const char *lease);
void etcd_delete(struct etcd_ops *ops, const char *name64);
void etcd_get(struct etcd_ops *ops, const char *name64);
// The newest `limit` names from name64 to end64, not newer than a revision if that is not 0, the
// newest first.
void etcd_list(struct etcd_ops *ops, const char *name64, const char *end64, size_t limit,
               int64_t revision);

// The whole, for /v3/kv/txn; NULL if memory ran out. The text is the caller's, in *ret_text.
const char *etcd_txn_text(struct etcd_txn *txn, struct buffer *ret_text);
void etcd_txn_cleanup(struct etcd_txn *txn); // fits CLEANUP()

// A number of 64 bits is text, and absent when it is 0.
int64_t etcd_number(const json_t *object, const char *key);
int64_t etcd_revision(const json_t *answer); // of the whole store, when it was answered
bool etcd_succeeded(const json_t *answer);
// The answers to all lists and gets of a transaction, in order: at most n. Returns how many.
size_t etcd_ranges(const json_t *answer, const json_t **ret_ranges, size_t n);
// The value of a kv as a decimal number.
bool etcd_value(const json_t *kv, int64_t *ret_number);
