// Recent keys: which idempotency keys this instance has lately saved, or found in the ledger. It
// tells which requests are likely to be replays, and may be wrong either way.
//
// All functions may be called by any thread at any time.
#pragma once

#include <stdbool.h>

struct recent_keys;

// 1 MiB, once it is used. NULL if there is no memory.
struct recent_keys *recent_keys_new(void);
void recent_keys_free(struct recent_keys *recent); // NULL is fine

void recent_keys_add(struct recent_keys *recent, const char *key);

// Was it added, and have no others taken its places since? By chance true of another key, about
// once in a thousand million.
bool recent_keys_have(struct recent_keys *recent, const char *key);
