// The JSON messages of etcd's gateway: builds transactions piece by piece, and reads the answers.
#pragma once

#include "base/text.h"
#include "domain/ids.h"
#include "guard/etcd/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define ETCD_TAG_LENGTH 33 // an owner of 32 characters, and a letter for the attempt
#define ETCD_NAME_MAX (COUNTER_NAME_MAX + 64)
#define ETCD_NAME64_MAX ((ETCD_NAME_MAX + 2) / 3 * 4 + 1)
#define ETCD_LEASE_MAX 24

// Formats a name (a key in etcd) in base64, ready for JSON, into a buffer of ETCD_NAME64_MAX bytes.
void etcd_name(char *ret_name64, const char *format, ...) PRINTF_LIKE(2, 3);
// The range_end for all names that begin with this prefix, which ends in a slash. Same buffer.
void etcd_range_end(char *ret_name64, const char *format, ...) PRINTF_LIKE(2, 3);
uint64_t etcd_name_hash(const char *name64); // 64 bits, compared instead of the name

// A list of operations. If they are too many for one transaction (--max-txn-ops, 128 by default),
// the list is split into nested transactions, which etcd still runs as one step. So `expected` must
// be set before the first operation.
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
// No name exists from name64 up to end64.
void etcd_compare_empty(struct etcd_txn *txn, const char *name64, const char *end64);

// The value is base64. `lease` "0": none.
void etcd_put(struct etcd_ops *ops, const char *name64, const char *value64, const char *lease);
void etcd_delete(struct etcd_ops *ops, const char *name64);
void etcd_get(struct etcd_ops *ops, const char *name64);
// Lists the newest `limit` names from name64 up to end64, newest first. With a revision other than
// 0: only names created at it or before.
void etcd_list(struct etcd_ops *ops, const char *name64, const char *end64, size_t limit,
               int64_t revision);

// The body for /v3/kv/txn; NULL if memory ran out. The text belongs to *ret_text, which is the
// caller's.
const char *etcd_txn_text(const struct etcd_txn *txn, struct buffer *ret_text);
// Sends it; as etcd_request. RC_NO_MEMORY.
MUST_CHECK enum rc etcd_txn_send(struct etcd_client *client, const struct etcd_txn *txn,
                                 int64_t limit_ns, json_t **ret_answer, bool *ret_uncertain);
void etcd_txn_cleanup(struct etcd_txn *txn); // fits CLEANUP()

// A 64-bit number, which travels as text. 0 if it is absent, because etcd omits zeros.
int64_t etcd_number(const json_t *object, const char *key);
int64_t etcd_revision(const json_t *answer); // of the whole store, at the time of the answer
bool etcd_succeeded(const json_t *answer);
// The answers to all lists and gets of a transaction, in order, at most n; borrowed from the
// answer. Returns how many.
size_t etcd_ranges(const json_t *answer, const json_t **ret_ranges, size_t n);
// The first kv in the answer to the first list or get; NULL if there is none. Borrowed.
const json_t *etcd_first_kv(const json_t *answer);
// The value of a kv as a decimal number. False if it is not one.
bool etcd_value(const json_t *kv, int64_t *ret_number);
