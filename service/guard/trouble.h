// Why a lock server cannot be used: one word for programs, and the server's own words for people.
#pragma once

#include <stddef.h>

#define TROUBLE_WORDS_MAX 240

struct guard_trouble {
    const char *reason;            // static: one of the words below
    char words[TROUBLE_WORDS_MAX]; // may hold addresses, never a password: for the log only
};

// The words, which /readyz, the metrics and the log share with the database (db_fault_word).
#define TROUBLE_NO_ANSWER "no-answer" // not reachable, or it does not answer in time
#define TROUBLE_READ_ONLY "read-only" // a replica, or a server that accepts no writes
#define TROUBLE_FULL "full"           // out of memory, of disk space, or of a quota
#define TROUBLE_DENIED "denied"       // the login is rejected, or lacks a right
#define TROUBLE_MOVED "moved"         // a node of a cluster that does not own all keys
#define TROUBLE_LOADING "loading"     // busy with itself: loads its data, or runs a long script
#define TROUBLE_MISSING "missing"     // the path in the address does not exist
#define TROUBLE_REFUSED "refused"     // any other error of the server

// A word of a server's error message, and the reason that it stands for.
struct trouble_sign {
    const char *text, *reason;
};

// The reason of the first of n signs that occurs in the words, else `otherwise`. Static.
const char *trouble_reason(const struct trouble_sign *signs, size_t n, const char *words,
                           const char *otherwise);

// Fills in both; the words are copied and shortened. `words` may be "".
void trouble_set(struct guard_trouble *ret_trouble, const char *reason, const char *words);
