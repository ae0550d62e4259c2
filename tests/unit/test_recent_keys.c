// Recent keys: what was added is remembered, through more new keys than one batch brings.
#include "engine/recent_keys.h"

#include "base/text.h"

#include "suite.h"

#include <check.h>

#define KEY_MAX 32

static const char *key_of(const char *what, int i, char key[KEY_MAX])
{
    text_format(key, KEY_MAX, "%s-%d", what, i);
    return key;
}

static int count(struct recent_keys *recent, const char *what, int n)
{
    char key[KEY_MAX];
    int known = 0;
    for (int i = 0; i < n; i++)
        known += recent_keys_have(recent, key_of(what, i, key));
    return known;
}

// A thousand keys that repeat stay known among a stream of new ones, of which 5,000 come between
// two repeats of a key.
START_TEST(keys_that_repeat_stay_known)
{
    enum { KEYS = 1000, ROUNDS = 50, NEW = 5000 };
    struct recent_keys *recent = recent_keys_new();
    char key[KEY_MAX];
    int forgotten = 0;
    ck_assert_ptr_nonnull(recent);
    ck_assert_int_eq(count(recent, "again", KEYS), 0);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < KEYS; i++)
            recent_keys_add(recent, key_of("again", i, key));
        for (int i = 0; i < NEW; i++)
            recent_keys_add(recent, key_of("new", round * NEW + i, key));
        forgotten += KEYS - count(recent, "again", KEYS);
    }
    ck_assert_int_lt(forgotten, KEYS * ROUNDS / 200);
    ck_assert_int_eq(count(recent, "never", KEYS), 0);
    recent_keys_free(recent);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recent keys");
    TCase *all = suite_case(suite, "recent keys", 10);
    tcase_add_test(all, keys_that_repeat_stay_known);
    return suite_run(suite);
}
