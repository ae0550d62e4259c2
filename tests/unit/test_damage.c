// The checker survives any file. A correct history and its ledger are damaged at random: bits are
// flipped, bytes are replaced, copied and left out, numbers become huge, files are cut. It must not
// crash, hang, read memory that is not its own (under AddressSanitizer), nor say "holds" of files
// that it would not say it of for a reason.
//
// Which reasons there are, test_mutations.c finds out member by member. Here they are kept as the
// members in which a change may rightly go unseen.
//
// HOLDFAST_DAMAGES=100000 makes more cases (600). Equal numbers make equal cases; a failure names
// the first and the last one of its part.
#include "base/text.h"
#include "check/check.h"

#include "generated_run.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CASES 600
#define PART 50
#define PART_TIMEOUT_S 120

// Replaces the bytes from `from` to `to` by `n` others.
struct damage {
    bool in_ledger;
    size_t from, to, n;
    char with[64];
};

static struct buffer join(const struct generated_file *file)
{
    struct buffer text = {0};
    for (size_t i = 0; i < file->n; i++)
        buffer_format(&text, "%s\n", file->lines[i]);
    return text;
}

// ---- what is done -------------------------------------------------------------------------------

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// Widens the damage to the digits around it. False: there are none.
static bool widen_to_number(const struct buffer *text, struct damage *damage)
{
    if (!is_digit(text->data[damage->from]))
        return false;
    while (damage->from > 0 && is_digit(text->data[damage->from - 1]))
        damage->from--;
    while (is_digit(text->data[damage->to]))
        damage->to++;
    return true;
}

static struct damage choose(const struct buffer *history, const struct buffer *ledger,
                            uint64_t *random)
{
    static const char *const numbers[] = {"0",
                                          "-1",
                                          "01",
                                          "1e3",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "9223372036854775808",
                                          "99999999999999999999999"};
    struct damage damage = {.in_ledger = generated_below(random, 2) == 1};
    const struct buffer *text = damage.in_ledger ? ledger : history;
    uint64_t how = generated_below(random, 10);
    damage.from = generated_below(random, text->length);
    damage.to = damage.from + 1;
    damage.n = 1;
    damage.with[0] = (char)(text->data[damage.from] ^ (1 << generated_below(random, 8)));
    if (how == 0) { // cut
        damage.to = text->length;
        damage.n = 0;
    } else if (how == 1) { // some bytes are missing, and others are there
        size_t left = text->length - damage.from;
        damage.to = damage.from + generated_below(random, left < 300 ? left : 300);
        damage.n = generated_below(random, sizeof damage.with);
        for (size_t i = 0; i < damage.n; i++)
            damage.with[i] = (char)generated_below(random, 256);
    } else if (how == 2) { // bytes from elsewhere in the file
        damage.n = generated_below(random, sizeof damage.with);
        memcpy(damage.with, text->data + generated_below(random, text->length - damage.n),
               damage.n);
    } else if (how <= 4 && widen_to_number(text, &damage)) {
        const char *number = numbers[generated_below(random, ARRAY_LENGTH(numbers))];
        damage.n = strlen(number);
        memcpy(damage.with, number, damage.n);
    }
    return damage;
}

static struct buffer apply(const struct buffer *text, const struct damage *damage)
{
    struct buffer damaged = {0};
    buffer_append(&damaged, text->data, damage->from);
    buffer_append(&damaged, damage->with, damage->n);
    buffer_append(&damaged, text->data + damage->to, text->length - damage->to);
    return damaged;
}

// ---- what may go unseen -------------------------------------------------------------------------

static bool is_one_of(const char *name, size_t length, const char *list)
{
    char padded[64];
    text_format(padded, sizeof padded, " %.*s ", (int)length, name);
    return length > 0 && length < 40 && strstr(list, padded) != NULL;
}

static bool has(const char *line, size_t length, const char *words)
{
    return memmem(line, length, words, strlen(words)) != NULL;
}

// The members of this line in which a change may rightly go unseen.
static const char *unseen_members(bool in_ledger, const char *line, size_t length)
{
    if (in_ledger && has(line, length, "\"key\":\"\""))
        return " counter version delta remaining leg token created_at_ms key user reason strategy ";
    if (in_ledger && has(line, length, "\"delta\":"))
        return has(line, length, "\"counter\":\"stock/") &&
                       has(line, length, "\"reason\":\"expire\"")
                   ? " token created_at_ms key strategy " // its hold may not be known
                   : " token created_at_ms strategy ";
    if (in_ledger || has(line, length, "\"end\":"))
        return "";
    if (has(line, length, "\"holdfast_history\":"))
        return " scenario started_at_ms targets ";
    if (has(line, length, "\"outcome\":\"info\""))
        return " attempt kind counter target user quantity invoke_ns status version remaining"
               " expires_at_ms replayed detail more ";
    if (has(line, length, "\"outcome\":\"fail\""))
        return " attempt target user quantity invoke_ns complete_ns status detail replayed more ";
    if (has(line, length, "\"kind\":\"read\""))
        return " attempt target user invoke_ns complete_ns ";
    return " attempt target invoke_ns complete_ns replayed detail ";
}

// Whether all of the bytes from `from` to `to` belong to such members, or to a line that a cut
// history may lack.
static bool may_go_unseen(const struct buffer *text, const struct damage *damage)
{
    const char *line = text->data + damage->from, *end = text->data + text->length;
    while (line > text->data && line[-1] != '\n')
        line--;
    const char *feed = memchr(line, '\n', (size_t)(end - line));
    size_t length = (size_t)(feed - line), at = damage->from - (size_t)(line - text->data);
    size_t to = damage->to - (size_t)(line - text->data), depth = 0;
    const char *unseen = unseen_members(damage->in_ledger, line, length);
    if (to > length)
        return false;
    bool in_text = false, unseen_now = false;
    for (size_t i = 0; i < length; i++) {
        bool begins = line[i] == '"' && !in_text && depth == 1 && strchr("{,", line[i - 1]) != NULL;
        if (begins)
            unseen_now = is_one_of(line + i + 1, strcspn(line + i + 1, "\""), unseen);
        if (line[i] == '"')
            in_text = !in_text;
        else if (!in_text)
            depth += (line[i] == '{' || line[i] == '[') ? 1 : 0;
        if (!in_text && (line[i] == '}' || line[i] == ']'))
            depth--;
        if (i >= at && (i < to || i == at) && !unseen_now)
            return false;
    }
    return true;
}

// ---- the judgement ------------------------------------------------------------------------------

static FILE *open_text(const struct buffer *text)
{
    FILE *file = fdopen(memfd_create("damaged", MFD_CLOEXEC), "w+");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text->data, 1, text->length, file), text->length);
    rewind(file);
    return file;
}

// Whether the checker accepts both files and finds no violation.
static bool holds(const struct buffer *history_text, const struct buffer *ledger_text,
                  bool *ret_whole)
{
    struct history history = {0};
    struct ledger ledger = {0};
    struct verdict verdict = {0};
    char error[HISTORY_ERROR_MAX];
    bool held = false;
    FILE *history_file = open_text(history_text), *ledger_file = open_text(ledger_text);
    if (history_read_file(fileno(history_file), &history, error) &&
        ledger_load(fileno(ledger_file), &history.head, &ledger, error)) {
        check_history(&history, &ledger, &(struct check_options){0}, &verdict);
        ck_assert(verdict.done);
        struct buffer text CLEANUP(buffer_release) = {0};
        verdict_write_text(&verdict, &text); // it must survive the numbers, too
        held = verdict.violations == 0;
        *ret_whole = history.whole;
        verdict_release(&verdict);
    }
    history_release(&history);
    ledger_release(&ledger);
    (void)fclose(history_file);
    (void)fclose(ledger_file);
    return held;
}

static int n_cases(void)
{
    const char *wanted = getenv("HOLDFAST_DAMAGES");
    return wanted != NULL ? atoi(wanted) : CASES; // NOLINT(cert-err34-c)
}

START_TEST(any_damage_is_found_or_rightly_unseen)
{
    struct generated_run run;
    uint64_t random = (uint64_t)_i + 1;
    generated_run_init(&run, random);
    struct buffer texts[] = {join(&run.history), join(&run.ledger)};
    int unseen = 0;
    bool whole = false;
    ck_assert(holds(&texts[0], &texts[1], &whole) && whole);
    for (int i = 0; i < PART && _i * PART + i < n_cases(); i++) {
        struct damage damage = choose(&texts[0], &texts[1], &random);
        const struct buffer *text = &texts[damage.in_ledger];
        struct buffer damaged CLEANUP(buffer_release) = apply(text, &damage);
        bool same =
            damaged.length == text->length && memcmp(damaged.data, text->data, text->length) == 0;
        bool only_feed = damage.from + 1 == text->length && damage.n == 0; // of the last line
        if (same || only_feed || damaged.length == 0 ||
            !holds(damage.in_ledger ? &texts[0] : &damaged, damage.in_ledger ? &damaged : &texts[1],
                   &whole))
            continue;
        unseen++;
        bool is_cut = !damage.in_ledger && !whole && damage.to == text->length;
        ck_assert_msg(is_cut || may_go_unseen(text, &damage),
                      "case %d, the %s: bytes %zu to %zu replaced by '%.*s' in\n%.300s",
                      _i * PART + i, damage.in_ledger ? "ledger" : "history", damage.from,
                      damage.to, (int)damage.n, damage.with,
                      text->data + (damage.from > 200 ? damage.from - 200 : 0));
    }
    ck_assert_int_lt(unseen, PART / 2); // most damage is found
    buffer_release(&texts[0]);
    buffer_release(&texts[1]);
    generated_run_release(&run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("damage");
    TCase *tests = suite_case(suite, "damage", PART_TIMEOUT_S);
    tcase_add_loop_test(tests, any_damage_is_found_or_rightly_unseen, 0,
                        (n_cases() + PART - 1) / PART);
    return suite_run(suite);
}
