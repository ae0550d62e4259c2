// Writes keys and users. RUN-n shows which operation it is. The two kinds of UUID are what shops use: a
// database inserts the key of each operation into an index, UUIDv4 anywhere and UUIDv7 at the end.
#include "run/keys.h"

#include "base/text.h"
#include "run/seeded.h"

#include <string.h>

// "k3x9", "-" and 17 as "k3x9-17". A printf for each would cost more than rendering the request.
static void write_number(const char *prefix, const char *between, int64_t number, char *ret_name)
{
    char digits[24];
    char *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    (void)text_copy(ret_name, KEY_MAX + 1, prefix);
    size_t length = strlen(ret_name);
    (void)text_copy(ret_name + length, KEY_MAX + 1 - length, between);
    length += strlen(between);
    (void)text_copy(ret_name + length, KEY_MAX + 1 - length, at);
}

// RFC 9562, section 4: 8-4-4-4-12 hexadecimal digits.
static void write_uuid(uint64_t high, uint64_t low, char *ret_key)
{
    for (int i = 0; i < 32; i++) {
        uint64_t half = i < 16 ? high : low;
        if (i == 8 || i == 12 || i == 16 || i == 20)
            *ret_key++ = '-';
        *ret_key++ = "0123456789abcdef"[half >> (60 - 4 * (i % 16)) & 15];
    }
    *ret_key = '\0';
}

void user_write(int64_t user, char ret_user[KEY_MAX + 1])
{
    write_number("u", "", user, ret_user);
}

void key_write(const struct plan *plan, int64_t n, int64_t wall_ms, char ret_key[KEY_MAX + 1])
{
    if (plan->keys == KEYS_RUN) {
        write_number(plan->run, "-", n, ret_key);
        return;
    }
    uint64_t run = plan->seed ^ text_hash_text(TEXT_HASH_START, plan->run);
    uint64_t high = seeded(run, SEEDED_KEY_HIGH, (uint64_t)n);
    uint64_t low = seeded(run, SEEDED_KEY_LOW, (uint64_t)n);
    uint64_t version = 4;
    if (plan->keys == KEYS_UUID7) {
        version = 7;
        high = (uint64_t)wall_ms << 16 | (high & 0xfff);
    }
    high = (high & ~UINT64_C(0xf000)) | version << 12;
    low = (low & UINT64_MAX >> 2) | UINT64_C(2) << 62;
    write_uuid(high, low, ret_key);
}
