// Histories: the reader gets back what the writer wrote, with any text and with several writers at
// once. A history that was cut short is read as far as it goes. A damaged one is refused, with the
// line.
#include "history/arena.h"
#include "history/flat_json.h"
#include "history/index.h"
#include "history/reader.h"
#include "history/writer.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// ---- flat JSON ----------------------------------------------------------------------------------

static enum flat_kind kind_of(const char *value)
{
    char text[256];
    struct flat_member member;
    snprintf(text, sizeof text, "{\"a\":%s}", value);
    struct flat_json json = flat_json_open(text, strlen(text));
    enum flat_kind kind = flat_json_next(&json, &member);
    return kind != FLAT_ERROR && flat_json_next(&json, &member) != FLAT_END ? FLAT_ERROR : kind;
}

START_TEST(values_have_kinds)
{
    static const struct {
        const char *value;
        enum flat_kind kind;
    } values[] = {{"0", FLAT_INT},
                  {"-17", FLAT_INT},
                  {"9223372036854775807", FLAT_INT},
                  {"-9223372036854775808", FLAT_INT},
                  {"9223372036854775808", FLAT_OTHER},
                  {"-9223372036854775809", FLAT_OTHER},
                  {"1.5", FLAT_OTHER},
                  {"1e3", FLAT_OTHER},
                  {"0.5E-17", FLAT_OTHER},
                  {"-0", FLAT_INT},
                  {"01", FLAT_ERROR},
                  {"-01", FLAT_ERROR},
                  {"00", FLAT_ERROR},
                  {"+1", FLAT_ERROR},
                  {"1.", FLAT_ERROR},
                  {".5", FLAT_ERROR},
                  {"1e", FLAT_ERROR},
                  {"1e+", FLAT_ERROR},
                  {"1x", FLAT_ERROR},
                  {"0x1", FLAT_ERROR},
                  {"1,", FLAT_ERROR},
                  {",1", FLAT_ERROR},
                  {"\"\"", FLAT_TEXT},
                  {"\"a\\\"}\"", FLAT_TEXT},
                  {" true ", FLAT_TRUE},
                  {"false", FLAT_FALSE},
                  {"null", FLAT_NULL},
                  {"{\"b\":[1,{\"]\":\"}\"}]}", FLAT_OTHER},
                  {"[]", FLAT_ARRAY},
                  {"[[1,\"]\"],2]", FLAT_ARRAY},
                  {"1]", FLAT_ERROR},
                  {"[1", FLAT_ERROR},
                  {"nil", FLAT_ERROR},
                  {"-", FLAT_ERROR},
                  {"\"a", FLAT_ERROR}};
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        ck_assert_msg(kind_of(values[i].value) == values[i].kind, "%s", values[i].value);
}
END_TEST

START_TEST(members_come_in_order)
{
    static const char text[] =
        " { \"sku\" : \"A\\u0042\" ,\n\t\"version\":-58,\"x\":[{}], \"z\":null } ";
    struct flat_json json = flat_json_open(text, strlen(text));
    struct flat_member member;
    char copy[8];
    ck_assert_int_eq(flat_json_next(&json, &member), FLAT_TEXT);
    ck_assert(flat_member_is(&member, "sku") && !flat_member_is(&member, "sk") &&
              !flat_member_is(&member, "skus"));
    ck_assert(flat_text_copy(copy, sizeof copy, &member));
    ck_assert_str_eq(copy, "AB");
    ck_assert_int_eq(flat_json_next(&json, &member), FLAT_INT);
    ck_assert_int_eq(member.number, -58);
    ck_assert_int_eq(flat_json_next(&json, &member), FLAT_ARRAY);
    ck_assert_int_eq(flat_json_next(&json, &member), FLAT_NULL);
    ck_assert(flat_member_is(&member, "z"));
    ck_assert_int_eq(flat_json_next(&json, &member), FLAT_END);
}
END_TEST

// The kinds of the elements, a letter each: whole number, text, null, array, other; ! for an error.
static const char *kinds_of(const char *array)
{
    static char kinds[16];
    struct flat_member member = {.text = array, .text_length = strlen(array)}, element;
    struct flat_json json = flat_array_open(&member);
    size_t n = 0;
    enum flat_kind kind;
    while ((kind = flat_array_next(&json, &element)) != FLAT_END && n + 1 < sizeof kinds) {
        kinds[n++] = kind == FLAT_INT     ? 'i'
                     : kind == FLAT_TEXT  ? 't'
                     : kind == FLAT_NULL  ? 'n'
                     : kind == FLAT_ARRAY ? 'a'
                     : kind == FLAT_ERROR ? '!'
                                          : 'o';
        if (kind == FLAT_ERROR)
            break;
    }
    kinds[n] = '\0';
    return kinds;
}

START_TEST(elements_come_in_order)
{
    static const struct {
        const char *array, *kinds;
    } arrays[] = {{"[]", ""},         {" [ ] ", ""},
                  {"[1]", "i"},       {"[\"points/u2\",-5,null , 42]", "tini"},
                  {"[[1],[]]", "aa"}, {"[true,{},1.5]", "ooo"},
                  {"[1,]", "i!"},     {"[,1]", "!"},
                  {"[1 2]", "i!"},    {"[1}", "i!"},
                  {"[", "!"},         {"{}", "!"},
                  {"", "!"},          {"[\"a]", "!"}};
    for (size_t i = 0; i < ARRAY_LENGTH(arrays); i++)
        ck_assert_str_eq(kinds_of(arrays[i].array), arrays[i].kinds);
}
END_TEST

// The text ends at the end of its own allocation, so a sanitizer catches the first byte read past
// it.
START_TEST(what_is_cut_off_is_an_error)
{
    static const char text[] =
        "{\"a\":12,\"b\":\"x\\\"\\u00e4\",\"c\":{\"d\":[\"]\"]},\"e\":true,\"f\":1.5}";
    for (size_t length = 0; length < strlen(text); length++) {
        char *cut = malloc(length > 0 ? length : 1);
        memcpy(cut, text, length);
        struct flat_json json = flat_json_open(cut, length);
        struct flat_member member;
        enum flat_kind kind;
        while ((kind = flat_json_next(&json, &member)) != FLAT_ERROR)
            ck_assert_int_ne(kind, FLAT_END);
        free(cut);
    }
    struct flat_json json = flat_json_open("[1]", 3);
    struct flat_member member;
    ck_assert_int_eq(flat_json_next(&json, &member), FLAT_ERROR);
}
END_TEST

static bool copy_text(char *target, size_t size, const char *text)
{
    struct flat_member member = {.text = text, .text_length = strlen(text)};
    return flat_text_copy(target, size, &member);
}

START_TEST(escapes_are_resolved)
{
    char text[32];
    ck_assert(copy_text(text, sizeof text, "a\\\"\\\\\\/\\n\\t\\u0041"));
    ck_assert_str_eq(text, "a\"\\/\n\tA");
    ck_assert(copy_text(text, sizeof text, "\\u00e4\\u20AC\\ud83d\\ude00"));
    ck_assert_str_eq(text, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    ck_assert(copy_text(text, sizeof text, "\\ud83dx"));
    ck_assert_str_eq(text, "\xef\xbf\xbdx");
    ck_assert(copy_text(text, sizeof text, "\\u12"));
    ck_assert(copy_text(text, 4, "abc") && strcmp(text, "abc") == 0);
    ck_assert(!copy_text(text, 4, "abcd") && strlen(text) < 4);
    ck_assert(!copy_text(text, 3, "a\\u20ac") && strlen(text) < 3);
    ck_assert(!copy_text(text, sizeof text, "u1\\u0000x") && strcmp(text, "u1") == 0);
}
END_TEST

// ---- index and arena ----------------------------------------------------------------------------

// Enough for several pairs whose 32-bit hashes are equal.
#define MANY 200000u

START_TEST(index_finds_what_was_put)
{
    struct index index;
    struct history_arena *arena = arena_new();
    char text[32];
    uint32_t number = 0, right = 0;
    ck_assert(index_init(&index, 0));
    for (uint32_t i = 0; i < MANY; i++) { // a check that passes costs a write
        int length = snprintf(text, sizeof text, "key-%u", i);
        right +=
            index_put(&index, arena_text(arena, text, (size_t)length), i, &number) && number == i;
    }
    ck_assert_uint_eq(right, MANY);
    ck_assert(index_put(&index, "key-77", 1, &number));
    ck_assert_uint_eq(number, 77);
    ck_assert_uint_eq(index_find(&index, "key-199999"), 199999);
    ck_assert_uint_eq(index_find(&index, "key-200000"), INDEX_NONE);
    ck_assert_uint_eq(index_find(&index, ""), INDEX_NONE);
    ck_assert_uint_eq(index.count, MANY);
    index_release(&index);
    arena_free(arena);
}
END_TEST

START_TEST(arena_keeps_texts)
{
    struct history_arena *arena = arena_new();
    static char large[600000];
    memset(large, 'x', sizeof large);
    const char *one = arena_text(arena, "deduct", 6), *two = arena_text(arena, "ded", 3);
    const char *three = arena_text(arena, large, sizeof large);
    ck_assert_str_eq(arena_text(arena, "", 0), "");
    ck_assert_ptr_eq(arena_text(arena, "deductx", 6), one);
    ck_assert_str_eq(one, "deduct");
    ck_assert_str_eq(two, "ded");
    ck_assert_uint_eq(strlen(three), sizeof large);
    for (int i = 0; i < 20000; i++) { // some of them share a slot of the table of recent texts
        char text[16];
        size_t length = (size_t)snprintf(text, sizeof text, "x%d", i);
        ck_assert_str_eq(arena_text(arena, text, length), text);
        ck_assert_uint_eq(strlen(arena_text(arena, text, length - 1)), length - 1);
    }
    arena_free(arena);
}
END_TEST

// ---- writing and reading ------------------------------------------------------------------------

static struct history_counter counters[] = {
    {"stock/r-1", COUNTER_STOCK, 1, 100, 0, 0, NULL},
    {"coupon/r-1", COUNTER_COUPON, 4, 7, 10, 2, NULL},
    {"prize/r-1/gold", COUNTER_PRIZE, 1, 3, 3, 0, NULL},
    {"points/r-1", COUNTER_POINTS, 1, 100, 0, 0, NULL},
    {"points/r-2", COUNTER_POINTS, 0, 0, 0, 0, NULL},
    {"code/C", COUNTER_CODE, 0, 0, 3, 0, "u-1"},
};

static struct history_head head = {.run = "r",
                                   .scenario = "stock",
                                   .started_at_ms = 1750000000123,
                                   .targets = {"http://127.0.0.1:8080", "http://127.0.0.1:8081"},
                                   .n_targets = 2,
                                   .counters = counters,
                                   .n_counters = ARRAY_LENGTH(counters)};

static const struct attempt_leg taker = {
    .counter = 4, .amount = 7, .version = {12, true}, .remaining = {-42, true}};
static const struct attempt_leg silent_taker = {.counter = 3, .amount = 1};

static const struct attempt attempts[] = {
    {.op = 17,
     .attempt = 1,
     .kind = KIND_DEDUCT,
     .outcome = OUTCOME_OK,
     .counter = 0,
     .target = 1,
     .status = 200,
     .replayed = true,
     .invoke_ns = 123456789,
     .complete_ns = 234567890,
     .quantity = 3,
     .version = {-58, true},
     .remaining = {-1, true},
     .key = "r-17",
     .user = "u-\"1\\\x01",
     .detail = ""},
    {.op = 18,
     .kind = KIND_ISSUE,
     .outcome = OUTCOME_INFO,
     .counter = 1,
     .complete_ns = HISTORY_NEVER,
     .key = "r-18",
     .user = "u2",
     .detail = "timeout"},
    {.op = 19,
     .kind = KIND_OTHER,
     .outcome = OUTCOME_FAIL,
     .counter = SIZE_MAX,
     .status = 404,
     .invoke_ns = 5,
     .complete_ns = 5,
     .key = "",
     .user = "",
     .detail = "not-found"},
    {.op = 20,
     .kind = KIND_TRANSFER,
     .outcome = OUTCOME_OK,
     .counter = 3,
     .status = 200,
     .invoke_ns = 6,
     .complete_ns = 7,
     .quantity = 7,
     .version = {58, true},
     .remaining = {93, true},
     .more = &taker,
     .n_more = 1,
     .key = "r-20",
     .user = "u3",
     .detail = ""},
    {.op = 21,
     .kind = KIND_TRANSFER,
     .outcome = OUTCOME_INFO,
     .counter = 4,
     .complete_ns = HISTORY_NEVER,
     .quantity = 1,
     .more = &silent_taker,
     .n_more = 1,
     .key = "r-21",
     .user = "u3",
     .detail = "timeout"},
    {.op = 22,
     .kind = KIND_REDEEM,
     .outcome = OUTCOME_OK,
     .counter = 5,
     .status = 201,
     .invoke_ns = 8,
     .complete_ns = 9,
     .version = {1, true},
     .remaining = {2, true},
     .key = "r-22",
     .user = "u-1",
     .detail = "C:1"},
};

static void check_same(const struct attempt *one, const struct attempt *two)
{
    ck_assert_int_eq(one->op, two->op);
    ck_assert_int_eq(one->attempt, two->attempt);
    ck_assert_int_eq(one->kind, two->kind);
    ck_assert_int_eq(one->outcome, two->outcome);
    ck_assert_uint_eq(one->counter, two->counter);
    ck_assert_uint_eq(one->target, two->target);
    ck_assert_int_eq(one->status, two->status);
    ck_assert_int_eq(one->replayed, two->replayed);
    ck_assert_int_eq(one->invoke_ns, two->invoke_ns);
    ck_assert_int_eq(one->complete_ns, two->complete_ns);
    ck_assert_int_eq(one->quantity, two->quantity);
    ck_assert(maybe_equal(one->version, two->version));
    ck_assert(maybe_equal(one->remaining, two->remaining));
    ck_assert_str_eq(one->key, two->key);
    ck_assert_str_eq(one->user, two->user);
    ck_assert_str_eq(one->detail, two->detail);
    ck_assert_uint_eq(one->n_more, two->n_more);
    for (size_t i = 0; i < one->n_more; i++) {
        ck_assert_uint_eq(one->more[i].counter, two->more[i].counter);
        ck_assert_int_eq(one->more[i].amount, two->more[i].amount);
        ck_assert(maybe_equal(one->more[i].version, two->more[i].version));
        ck_assert(maybe_equal(one->more[i].remaining, two->more[i].remaining));
    }
}

static struct history_writer *create(void)
{
    struct history_writer *writer = NULL;
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert_msg(history_create(NULL, &head, &writer, error), "%s", error);
    return writer;
}

static struct history_writer *write_attempts(bool whole)
{
    struct history_writer *writer = create();
    struct buffer buffer CLEANUP(buffer_release) = {0};
    char error[HISTORY_ERROR_MAX];
    for (size_t i = 0; i < ARRAY_LENGTH(attempts); i++)
        history_line(&buffer, &head, &attempts[i]);
    history_flush(writer, &buffer);
    ck_assert_uint_eq(buffer.length, 0);
    if (whole)
        ck_assert(history_finish(writer, ARRAY_LENGTH(attempts), error));
    return writer;
}

START_TEST(what_is_written_comes_back)
{
    struct history_writer *writer = write_attempts(true);
    struct history history;
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert_msg(history_read_file(history_descriptor(writer), &history, error), "%s", error);
    ck_assert(history.whole);
    ck_assert_str_eq(history.head.run, "r");
    ck_assert_str_eq(history.head.scenario, "stock");
    ck_assert_int_eq(history.head.started_at_ms, 1750000000123);
    ck_assert_uint_eq(history.head.n_targets, 2);
    ck_assert_str_eq(history.head.targets[1], "http://127.0.0.1:8081");
    ck_assert_uint_eq(history.head.n_counters, ARRAY_LENGTH(counters));
    for (size_t i = 0; i < ARRAY_LENGTH(counters); i++) {
        const struct history_counter *read = &history.head.counters[i];
        ck_assert_str_eq(read->name, counters[i].name);
        ck_assert_int_eq(read->kind, counters[i].kind);
        ck_assert_int_eq(read->version, counters[i].version);
        ck_assert_int_eq(read->remaining, counters[i].remaining);
        ck_assert_int_eq(read->total, counters[i].total);
        ck_assert_int_eq(read->per_user_limit, counters[i].per_user_limit);
        ck_assert_int_eq(read->owner != NULL, counters[i].owner != NULL);
        ck_assert(read->owner == NULL || strcmp(read->owner, counters[i].owner) == 0);
    }
    ck_assert_uint_eq(history.n_attempts, ARRAY_LENGTH(attempts));
    for (size_t i = 0; i < ARRAY_LENGTH(attempts); i++)
        check_same(&history.attempts[i], &attempts[i]);
    history_release(&history);
    history_free(writer);
}
END_TEST

START_TEST(a_line_is_as_described)
{
    struct buffer buffer CLEANUP(buffer_release) = {0};
    struct attempt attempt = attempts[0];
    attempt.user = "u1";
    attempt.detail = "x";
    history_line(&buffer, &head, &attempt);
    ck_assert_str_eq(buffer.data,
                     "{\"op\":17,\"attempt\":1,\"kind\":\"deduct\",\"counter\":\"stock/r-1\","
                     "\"target\":1,\"key\":\"r-17\",\"user\":\"u1\",\"quantity\":3,"
                     "\"invoke_ns\":123456789,\"complete_ns\":234567890,\"outcome\":\"ok\","
                     "\"status\":200,\"version\":-58,\"remaining\":-1,\"replayed\":true,"
                     "\"detail\":\"x\"}\n");
    buffer_clear(&buffer);
    history_line(&buffer, &head, &attempts[3]);
    ck_assert_str_eq(buffer.data,
                     "{\"op\":20,\"attempt\":0,\"kind\":\"transfer\",\"counter\":\"points/r-1\","
                     "\"target\":0,\"key\":\"r-20\",\"user\":\"u3\",\"quantity\":7,"
                     "\"invoke_ns\":6,\"complete_ns\":7,\"outcome\":\"ok\",\"status\":200,"
                     "\"version\":58,\"remaining\":93,\"more\":[[\"points/r-2\",7,12,-42]]}\n");
}
END_TEST

// Texts of the greatest length, of which every byte must be escaped, and as many legs as there may
// be.
START_TEST(the_longest_line_fits)
{
    struct history_counter longest = {.kind = COUNTER_POINTS};
    struct history_head longest_head = {.counters = &longest, .n_counters = 1};
    struct attempt_leg more[HISTORY_LEGS_MAX - 1];
    memset(longest.name, 1, HISTORY_COUNTER_MAX);
    for (size_t i = 0; i < ARRAY_LENGTH(more); i++)
        more[i] = (struct attempt_leg){0, INT64_MIN, {INT64_MIN, true}, {INT64_MIN, true}, NULL};
    struct buffer buffer CLEANUP(buffer_release) = {0};
    struct attempt attempt = attempts[0];
    char text[HISTORY_TEXT_MAX + 1] = "";
    memset(text, 1, HISTORY_TEXT_MAX);
    attempt.key = attempt.user = attempt.detail = text;
    attempt.op = attempt.attempt = attempt.invoke_ns = attempt.complete_ns = INT64_MIN;
    attempt.quantity = attempt.version.value = attempt.remaining.value = INT64_MIN;
    attempt.more = more;
    attempt.n_more = ARRAY_LENGTH(more);
    history_line(&buffer, &longest_head, &attempt);
    ck_assert_uint_gt(buffer.length,
                      3 * 6 * HISTORY_TEXT_MAX + HISTORY_LEGS_MAX * 6 * HISTORY_COUNTER_MAX);
    ck_assert_int_eq(buffer.data[buffer.length - 1], '\n');
}
END_TEST

// Wherever a killed run cut its file, every whole line is read.
START_TEST(a_history_cut_short_is_read_as_far_as_it_goes)
{
    struct history_writer *writer = write_attempts(false);
    int descriptor = history_descriptor(writer);
    off_t size = lseek(descriptor, 0, SEEK_END);
    static char bytes[8192];
    ck_assert_int_lt(size, (off_t)sizeof bytes);
    ck_assert_int_eq(pread(descriptor, bytes, sizeof bytes, 0), size);
    off_t head_end = strchr(bytes, '\n') - bytes;
    size_t most = 0;
    for (off_t length = size; length >= 0; length--) {
        struct history history;
        char error[HISTORY_ERROR_MAX] = "";
        ck_assert_int_eq(ftruncate(descriptor, length), 0);
        bool read = history_read_file(descriptor, &history, error);
        ck_assert_msg(read == (length >= head_end), "%lld: %s", (long long)length, error);
        if (!read)
            continue;
        ck_assert(!history.whole);
        size_t lines = 0;
        for (off_t i = head_end + 1; i < length; i++)
            lines += bytes[i] == '\n' || (i == length - 1 && bytes[length] == '\n');
        ck_assert_uint_eq(history.n_attempts, lines);
        most = history.n_attempts > most ? history.n_attempts : most;
        history_release(&history);
    }
    ck_assert_uint_eq(most, ARRAY_LENGTH(attempts));
    history_free(writer);
}
END_TEST

#define HEAD                                                                                       \
    "{\"holdfast_history\":1,\"run\":\"r\",\"scenario\":\"s\",\"started_at_ms\":1,"                \
    "\"targets\":[\"http://x\"],\"counters\":[{\"name\":\"stock/a\",\"kind\":\"stock\","           \
    "\"version\":1,\"remaining\":1},"                                                              \
    "{\"name\":\"points/a\",\"kind\":\"points\",\"version\":1,\"remaining\":9},"                   \
    "{\"name\":\"points/b\",\"kind\":\"points\",\"version\":1,\"remaining\":9}]}\n"
#define PROXIED(value)                                                                             \
    "{\"holdfast_history\":1,\"run\":\"r\",\"scenario\":\"s\",\"started_at_ms\":1,"                \
    "\"targets\":[\"http://x\"],\"proxied\":" value ",\"counters\":["                              \
    "{\"name\":\"stock/a\",\"kind\":\"stock\",\"version\":1,\"remaining\":1}]}\n"
#define BUSY(outcome)                                                                              \
    "{\"op\":1,\"attempt\":0,\"kind\":\"deduct\",\"counter\":\"stock/a\",\"target\":0,"            \
    "\"key\":\"r-1\",\"user\":\"u\",\"quantity\":1,\"invoke_ns\":5,\"status\":503,"                \
    "\"detail\":\"overloaded\"," outcome "}\n"
#define OK ",\"complete_ns\":6,\"outcome\":\"ok\""
#define TRANSFER(more)                                                                             \
    "{\"op\":1,\"attempt\":0,\"kind\":\"transfer\",\"counter\":\"points/a\",\"target\":0,"         \
    "\"key\":\"r-1\",\"user\":\"u\",\"quantity\":5,\"invoke_ns\":5,\"status\":200" OK more "}\n"
#define LEGS8                                                                                      \
    "[\"points/b\",5,1,4],[\"points/b\",5,1,4],[\"points/b\",5,1,4],[\"points/b\",5,1,4],"         \
    "[\"points/b\",5,1,4],[\"points/b\",5,1,4],[\"points/b\",5,1,4],[\"points/b\",5,1,4],"
#define LEGS64 LEGS8 LEGS8 LEGS8 LEGS8 LEGS8 LEGS8 LEGS8 LEGS8
#define LINE(more)                                                                                 \
    "{\"op\":1,\"attempt\":0,\"kind\":\"read\",\"counter\":\"stock/a\",\"target\":0,"              \
    "\"invoke_ns\":5,\"status\":200" more "}\n"

START_TEST(wrong_lines_are_refused_by_number)
{
    static const struct {
        const char *text, *error;
    } files[] = {
        {"", "line 1: the file is empty"},
        {"nonsense\n", "line 1: this is not a history"},
        {"{\"run\":\"r\"}\n", "line 1: `holdfast_history`"},
        {"{\"holdfast_history\":2}\n", "line 1: `holdfast_history` must be 1"},
        {"{\"holdfast_history\":1,\"run\":\"12345678901234567\"}\n", "line 1: `run`"},
        {PROXIED("false"), "line 1: `proxied` must be true, or left out"},
        {HEAD BUSY("\"complete_ns\":6,\"outcome\":\"fail\"") "nonsense\n", "line 3: not a JSON"},
        {HEAD BUSY("\"complete_ns\":null,\"outcome\":\"info\""),
         "line 2: `outcome` must be what `status` and `detail` promise"},
        {PROXIED("true") BUSY("\"complete_ns\":null,\"outcome\":\"info\"") "nonsense\n",
         "line 3: not a JSON"},
        {PROXIED("true") BUSY("\"complete_ns\":6,\"outcome\":\"fail\""),
         "line 2: `outcome` must be what `status` and `detail` promise"},
        {HEAD "nonsense\n", "line 2: not a JSON object"},
        {HEAD LINE(OK) LINE(""), "line 3: `complete_ns` must be present"},
        {HEAD LINE(OK ",\"vresion\":1"), "line 2: unknown member `vresion`"},
        {HEAD LINE(OK ",\"op\":1"), "line 2: `op` must be present only once"},
        {HEAD LINE(OK ",\"version\":\"1\""), "line 2: `version` must be a whole number"},
        {HEAD LINE(OK ",\"version\":1.0"), "line 2: `version` must be a whole number"},
        {HEAD LINE(OK ",\"replayed\":1"), "line 2: `replayed` must be true or false"},
        {HEAD LINE(",\"complete_ns\":null,\"outcome\":\"ok\""),
         "line 2: `complete_ns` must be null"},
        {HEAD LINE(",\"complete_ns\":null,\"outcome\":\"info\""),
         "line 2: `outcome` must be what `status` and `detail` promise"},
        {HEAD LINE(",\"complete_ns\":4,\"outcome\":\"ok\""),
         "line 2: `complete_ns` must be no ear"},
        {HEAD LINE(",\"complete_ns\":6,\"outcome\":\"okay\""),
         "line 2: `outcome` must be ok, fail"},
        {HEAD "{\"op\":1,\"attempt\":0,\"kind\":\"deduct\",\"counter\":\"stock/a\",\"target\":0,"
              "\"invoke_ns\":5,\"status\":200" OK "}\n",
         "line 2: `key` must be the run's name"},
        {HEAD "{\"op\":1,\"attempt\":0,\"kind\":\"read\",\"counter\":\"stock/b\",\"target\":0,"
              "\"invoke_ns\":5,\"status\":200" OK "}\n",
         "line 2: `counter` must be one of the head's counters"},
        {HEAD "{\"op\":1,\"attempt\":0,\"kind\":\"read\",\"counter\":\"stock/a\",\"target\":1,"
              "\"invoke_ns\":5,\"status\":200" OK "}\n",
         "line 2: `target` must be one of the head's targets"},
        {HEAD LINE(OK) "{\"end\":true,\"attempts\":2}\n", "line 3: the closing line gives another"},
        {HEAD "{\"end\":true,\"attempts\":0}\n" LINE(OK),
         "line 3: there is more after the closing"},
        {HEAD "{\"end\":true,\"attempts\":0}x\n", "line 2: there is more after the object"},
        {HEAD LINE(",\"complete_ns\":06,\"outcome\":\"ok\""), "line 2: not a JSON object"},
        {HEAD LINE(OK ",\"user\":\"\""), "line 2: `user` must be a text, not empty"},
        {HEAD LINE(OK ",\"key\":\"r-2\""), "line 2: `key` must be the run's name, `-` and the"},
        {HEAD LINE(OK ",\"quantity\":1"), "line 2: `quantity` must be present exactly if the kind"},
        {HEAD TRANSFER(""), "line 2: `more` must be a list as long as the kind demands"},
        {HEAD LINE(OK ",\"more\":[[\"points/a\",5,1,4]]"), "line 2: `more` must be a list as long"},
        {HEAD TRANSFER(",\"more\":[]"), "line 2: `more` must be a list, not empty"},
        {HEAD TRANSFER(",\"more\":{}"), "line 2: `more` must be a list"},
        {HEAD TRANSFER(",\"more\":[" LEGS64 "[\"points/b\",5,1,4]]"),
         "line 2: `more` must be a list of at most 63 ["},
        {HEAD TRANSFER(",\"more\":[5]"), "line 2: `more` must be a list of at most 63 ["},
        {HEAD TRANSFER(",\"more\":[[\"points/c\",5,1,4]]"), "line 2: `more` must be a list of at"},
        {HEAD TRANSFER(",\"more\":[[\"points/b\",null,1,4]]"), "line 2: `more` must be a list of "},
        {HEAD TRANSFER(",\"more\":[[\"points/b\",5,1.5,4]]"), "line 2: `more` must be a list of "},
        {HEAD TRANSFER(",\"more\":[[\"points/b\",5,1]]"), "line 2: `more` must be a list of at mo"},
        {HEAD TRANSFER(",\"more\":[[\"points/b\",5,1,4,0]]"), "line 2: `more` must be a list of a"},
        {HEAD TRANSFER(",\"more\":[[\"points/b\",5,1,4],]"), "line 2: `more` must be a list of at"},
        {HEAD TRANSFER(",\"more\":[[\"points/a\",5,1,4]]"),
         "line 2: `more` must be a list of diff"},
        {HEAD TRANSFER(",\"more\":[[\"stock/a\",5,1,4]]"), "line 2: `more` must be a list of diff"},
        {HEAD TRANSFER(",\"more\":[[\"points/b\",4,1,4]]"),
         "line 2: `more` must be a list of changes that add up to zero"},
        {HEAD LINE(OK ",\"end\":false"), "line 2: `op` must be absent from such a line"},
        {HEAD "{\"end\":false,\"attempts\":0}\n", "line 2: `end` must be true"},
        {HEAD "{\"op\":1,\"attempt\":0,\"kind\":\"read\",\"counter\":\"stock/a\",\"target\":0,"
              "\"invoke_ns\":5,\"status\":0" OK "}\n",
         "line 2: `outcome` must be what `status` and `detail` promise"},
        {HEAD "{\"op\":1,\"attempt\":0,\"kind\":\"issue\",\"counter\":\"stock/a\",\"target\":0,"
              "\"invoke_ns\":5,\"status\":201,\"key\":\"r-1\",\"user\":\"u\"" OK "}\n",
         "line 2: `counter` must be one that such a request changes"},
        // Half a line is accepted at the end only.
        {HEAD "{\"op\":1,\"att\n" LINE(OK), "line 2: not a JSON object"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        FILE *file = tmpfile();
        struct history history;
        char error[HISTORY_ERROR_MAX] = "";
        ck_assert_ptr_nonnull(file);
        fputs(files[i].text, file);
        fflush(file);
        ck_assert_msg(!history_read_file(fileno(file), &history, error), "%s", files[i].text);
        ck_assert_msg(strncmp(error, files[i].error, strlen(files[i].error)) == 0, "%s\nfor %s",
                      error, files[i].text);
        fclose(file);
    }
}
END_TEST

// A run that was killed while it wrote the closing line, and a file that lost its last line feed.
START_TEST(the_closing_line_makes_it_whole)
{
    static const struct {
        const char *text;
        bool whole;
    } files[] = {{HEAD LINE(OK) "{\"end\":true,\"attempts\":1}\n", true},
                 {HEAD LINE(OK) "{\"end\":true,\"attempts\":1}", true},
                 {HEAD LINE(OK) "{\"end\":true,\"att", false},
                 {HEAD LINE(OK) "{\"end\":false,\"attempts\":1}", false},
                 {HEAD LINE(OK), false}};
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        FILE *file = tmpfile();
        struct history history;
        char error[HISTORY_ERROR_MAX] = "";
        ck_assert_ptr_nonnull(file);
        fputs(files[i].text, file);
        fflush(file);
        ck_assert_msg(history_read_file(fileno(file), &history, error), "%s", error);
        ck_assert_int_eq(history.whole, files[i].whole);
        ck_assert_uint_eq(history.n_attempts, 1);
        history_release(&history);
        fclose(file);
    }
}
END_TEST

#define THREADS 4
#define LINES 20000

struct thread_arg {
    struct history_writer *writer;
    int64_t number;
};

static void *write_many(void *arg)
{
    const struct thread_arg *thread = arg;
    struct buffer buffer CLEANUP(buffer_release) = {0};
    for (int64_t i = 0; i < LINES; i++) {
        struct attempt attempt = attempts[2];
        attempt.op = thread->number * LINES + i;
        history_line(&buffer, &head, &attempt);
        if (buffer.length > 3000)
            history_flush(thread->writer, &buffer);
    }
    history_flush(thread->writer, &buffer);
    return NULL;
}

START_TEST(lines_of_several_threads_do_not_mix)
{
    struct history_writer *writer = create();
    pthread_t threads[THREADS];
    struct thread_arg args[THREADS];
    char error[HISTORY_ERROR_MAX] = "";
    for (int i = 0; i < THREADS; i++) {
        args[i] = (struct thread_arg){writer, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, &args[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(history_finish(writer, THREADS * LINES, error));
    struct history history;
    ck_assert_msg(history_read_file(history_descriptor(writer), &history, error), "%s", error);
    ck_assert_uint_eq(history.n_attempts, THREADS * LINES);
    static bool seen[THREADS * LINES];
    for (size_t i = 0; i < history.n_attempts; i++) {
        ck_assert(!seen[history.attempts[i].op]);
        seen[history.attempts[i].op] = true;
    }
    history_release(&history);
    history_free(writer);
}
END_TEST

START_TEST(a_file_that_cannot_be_had_says_why)
{
    struct history_writer *writer = NULL;
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert(!history_create("/nowhere/history", &head, &writer, error));
    ck_assert_str_eq(error, "The history /nowhere/history cannot be created: "
                            "No such file or directory.");
    ck_assert(!history_create("/dev/full", &head, &writer, error));
    ck_assert_str_eq(error, "The history /dev/full cannot be written: No space left on device.");
}
END_TEST

// A disk that fills up during the run: the run continues, and history_finish reports the error.
START_TEST(a_full_disk_is_told_at_the_end)
{
    struct history_writer *writer = create();
    struct buffer buffer CLEANUP(buffer_release) = {0};
    char error[HISTORY_ERROR_MAX] = "";
    struct rlimit limit = {4096, 4096};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 100; i++) {
        history_line(&buffer, &head, &attempts[0]);
        history_flush(writer, &buffer);
    }
    ck_assert(!history_finish(writer, 100, error));
    ck_assert_ptr_nonnull(strstr(error, "File too large"));
    struct history history;
    ck_assert_msg(history_read_file(history_descriptor(writer), &history, error), "%s", error);
    ck_assert(!history.whole);
    ck_assert_uint_gt(history.n_attempts, 5);
    history_release(&history);
    history_free(writer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("history");
    TCase *tests = tcase_create("history");
    tcase_add_test(tests, values_have_kinds);
    tcase_add_test(tests, members_come_in_order);
    tcase_add_test(tests, elements_come_in_order);
    tcase_add_test(tests, what_is_cut_off_is_an_error);
    tcase_add_test(tests, escapes_are_resolved);
    tcase_add_test(tests, index_finds_what_was_put);
    tcase_add_test(tests, arena_keeps_texts);
    tcase_add_test(tests, what_is_written_comes_back);
    tcase_add_test(tests, a_line_is_as_described);
    tcase_add_test(tests, the_longest_line_fits);
    tcase_add_test(tests, a_history_cut_short_is_read_as_far_as_it_goes);
    tcase_add_test(tests, wrong_lines_are_refused_by_number);
    tcase_add_test(tests, the_closing_line_makes_it_whole);
    tcase_add_test(tests, lines_of_several_threads_do_not_mix);
    tcase_add_test(tests, a_file_that_cannot_be_had_says_why);
    tcase_add_test(tests, a_full_disk_is_told_at_the_end);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
