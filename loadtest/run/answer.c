// Classifies answers, and reads the members of their JSON bodies that matter.
//
// A malformed answer proves nothing, whatever its status: it counts as missing. The body of an
// answer to KIND_OTHER, a request of the user's own, may be anything.
#include "run/answer.h"

#include "base/text.h"
#include "history/flat_json.h"
#include "run/json_object.h"

#include <string.h>

enum member {
    MEMBER_VERSION,
    MEMBER_REMAINING,
    MEMBER_CODE,
    MEMBER_PRIZE,
    MEMBER_TYPE,
    MEMBER_LEGS,
    MEMBER_POINTS,
    MEMBER_RESERVATION,
    MEMBER_REDEMPTION,
    MEMBER_EXPIRES,
    MEMBER_FAILED,
    MEMBER_OTHER
};

static const char *const names[] = {"version",       "remaining",     "code",   "prize",
                                    "type",          "legs",          "points", "reservation_id",
                                    "redemption_id", "expires_at_ms", "failed"};

// The members, as bits, that a success has.
static const unsigned required[KIND_COUNT] = {
    [KIND_DEDUCT] = 1U << MEMBER_VERSION | 1U << MEMBER_REMAINING,
    [KIND_ISSUE] = 1U << MEMBER_VERSION | 1U << MEMBER_REMAINING | 1U << MEMBER_CODE,
    [KIND_DRAW] = 1U << MEMBER_VERSION | 1U << MEMBER_PRIZE,
    [KIND_EARN] = 1U << MEMBER_VERSION | 1U << MEMBER_REMAINING,
    [KIND_SPEND] = 1U << MEMBER_VERSION | 1U << MEMBER_REMAINING,
    [KIND_TRANSFER] = 1U << MEMBER_LEGS,
    [KIND_RESERVE] = 1U << MEMBER_LEGS | 1U << MEMBER_RESERVATION | 1U << MEMBER_EXPIRES,
    [KIND_CONFIRM] = 1U << MEMBER_LEGS,
    [KIND_RELEASE] = 1U << MEMBER_LEGS,
    [KIND_EXTEND] = 1U << MEMBER_LEGS | 1U << MEMBER_EXPIRES,
    [KIND_ORDER] = 1U << MEMBER_LEGS,
    [KIND_CANCEL] = 1U << MEMBER_LEGS,
    [KIND_REFUND] = 1U << MEMBER_LEGS,
    [KIND_REDEEM] = 1U << MEMBER_LEGS | 1U << MEMBER_REDEMPTION,
    [KIND_ROLLBACK] = 1U << MEMBER_LEGS | 1U << MEMBER_REDEMPTION,
    [KIND_READ] = 1U << MEMBER_VERSION | 1U << MEMBER_REMAINING,
};

// "/problems/out-of-stock" -> "out-of-stock"
static void take_slug(struct answer *answer, const struct flat_member *member)
{
    char type[128];
    (void)flat_text_copy(type, sizeof type, member);
    const char *slash = strrchr(type, '/');
    (void)text_copy(answer->detail, sizeof answer->detail, slash != NULL ? slash + 1 : type);
}

// What only a failing leg tells: where it stands among the request's lines, or whose counter it is.
struct failing {
    int64_t index; // -1: not told
    bool code;
};

static bool read_leg(const struct flat_member *text, struct answer_leg *leg,
                     struct failing *ret_failing)
{
    struct flat_json json = flat_json_open(text->text, text->text_length);
    struct flat_member member;
    enum flat_kind type;
    while ((type = flat_json_next(&json, &member)) != FLAT_END && type != FLAT_ERROR) {
        if (type == FLAT_INT && flat_member_is(&member, "index"))
            ret_failing->index = member.number;
        if (type == FLAT_TEXT && flat_member_is(&member, "counter"))
            ret_failing->code = member.text_length > 5 && memcmp(member.text, "code/", 5) == 0;
        struct maybe *number = flat_member_is(&member, "version")     ? &leg->version
                               : flat_member_is(&member, "remaining") ? &leg->remaining
                                                                      : NULL;
        if (number != NULL && (type != FLAT_INT || number->known))
            return false;
        if (number != NULL)
            *number = (struct maybe){member.number, true};
    }
    return type == FLAT_END && leg->version.known && leg->remaining.known;
}

// Reads the legs of a change, which the API lists in the order of the request. False unless there
// are as many as the kind has, each with its numbers.
static bool read_legs(const struct flat_member *array, enum attempt_kind kind,
                      struct answer *answer)
{
    struct flat_json json = flat_array_open(array);
    struct answer_leg legs[1 + ANSWER_MORE_MAX] = {0};
    struct flat_member text;
    enum flat_kind type;
    size_t n = 0;
    struct failing unused;
    while ((type = flat_array_next(&json, &text)) != FLAT_END) {
        if (type == FLAT_ERROR || n == ARRAY_LENGTH(legs) || !read_leg(&text, &legs[n++], &unused))
            return false;
    }
    bool holds = attempt_kind_may_name(kind, COUNTER_HOLD); // which no answer tells
    if (n == 0 ||
        !(attempt_kind_has_more(kind, n - 1) || (holds && attempt_kind_has_more(kind, 2 * n - 1))))
        return false;
    answer->version = legs[0].version;
    answer->remaining = legs[0].remaining;
    memcpy(answer->more, legs + 1, sizeof answer->more);
    return true;
}

// Reads the legs for which a request was refused. The numbers beside the list are those of the
// first of them, so they are the first leg's only if that is in the list, or if the list is empty.
static bool read_failed(const struct flat_member *array, enum attempt_kind kind,
                        struct answer *answer, bool *ret_first_told)
{
    int64_t before = kind == KIND_ORDER; // legs before that of the first line
    struct flat_json json = flat_array_open(array);
    struct flat_member text;
    enum flat_kind type;
    bool empty = true;
    *ret_first_told = false;
    while ((type = flat_array_next(&json, &text)) != FLAT_END) {
        struct answer_leg leg = {0};
        struct failing failing = {.index = -1};
        if (type == FLAT_ERROR || !read_leg(&text, &leg, &failing) ||
            failing.index + before > ANSWER_MORE_MAX)
            return false;
        int64_t index = failing.index;
        if (index < 0)
            *(failing.code ? &answer->code : &answer->account) = leg;
        else if (index + before > 0)
            answer->more[index + before - 1] = leg;
        *ret_first_told |= index >= 0 && index + before == 0;
        empty = false;
    }
    *ret_first_told |= empty;
    return true;
}

// The balance of an account that is read is called `points`. In the answer to a change that is what
// was asked for.
static enum member find_member(const struct flat_member *member, enum attempt_kind kind)
{
    size_t i = 0;
    while (i < MEMBER_OTHER && (*names[i] != *member->name || !flat_member_is(member, names[i])))
        i++;
    return i == MEMBER_POINTS && kind == KIND_READ ? MEMBER_REMAINING : (enum member)i;
}

// Reads the members that matter. Returns what is wrong with them, or NULL.
static const char *read_body(const struct response *response, enum attempt_kind kind,
                             struct answer *answer)
{
    bool problem = response->status >= 400, first_told = true;
    unsigned needed = response->status < 300 ? required[kind] : 0, has = 0, seen = 0;
    struct flat_json json = flat_json_open(response->body, response->body_length);
    struct flat_member value;
    enum flat_kind type;
    while ((type = flat_json_next(&json, &value)) != FLAT_END && type != FLAT_ERROR) {
        enum member member = find_member(&value, kind);
        unsigned bit = 1U << member;
        if ((seen & needed & bit) != 0)
            return "malformed answer: member repeated";
        seen |= bit;
        if (type == FLAT_INT && member == MEMBER_VERSION)
            answer->version = (struct maybe){value.number, true};
        else if (type == FLAT_INT && member == MEMBER_REMAINING)
            answer->remaining = (struct maybe){value.number, true};
        else if (type == FLAT_INT && member == MEMBER_EXPIRES && (needed & bit) != 0)
            answer->expires_at_ms = (struct maybe){value.number, true};
        else if (type == FLAT_ARRAY && member == MEMBER_LEGS && (needed & bit) != 0) {
            if (!read_legs(&value, kind, answer))
                return "malformed answer: legs";
        } else if (type == FLAT_ARRAY && member == MEMBER_FAILED && problem) {
            if (!read_failed(&value, kind, answer, &first_told))
                return "malformed answer: failed";
        } else if (type == FLAT_TEXT && member == MEMBER_TYPE && problem)
            take_slug(answer, &value);
        else if (type == FLAT_TEXT && !problem && ((needed & bit) != 0 || kind == KIND_OTHER) &&
                 (member == MEMBER_CODE || member == MEMBER_PRIZE || member == MEMBER_RESERVATION ||
                  member == MEMBER_REDEMPTION))
            (void)flat_text_copy(answer->detail, sizeof answer->detail, &value);
        else if (type != FLAT_NULL || member != MEMBER_PRIZE)
            continue;
        has |= bit;
    }
    if (!first_told)
        answer->version = answer->remaining = (struct maybe){0};
    return (has & needed) == needed ? NULL : "malformed answer: members missing";
}

static void classify(struct answer *answer, bool proxied)
{
    int status = answer->status;
    answer->outcome = attempt_outcome_of(status, answer->detail, proxied);
    if (answer->outcome == OUTCOME_OK) {
        answer->answer_class = ANSWER_OK;
    } else if (status >= 400 && status < 500 && status != 408) {
        answer->answer_class = ANSWER_REFUSED;
        answer->retryable = status == 429;
    } else {
        answer->answer_class = ANSWER_ERROR;
        answer->retryable = status == 408 || (status >= 502 && status <= 504);
    }
}

bool answer_read(const struct response *response, enum attempt_kind kind, bool numbers,
                 bool proxied, struct answer *ret_answer)
{
    bool success = response->status >= 200 && response->status < 300;
    bool promised = kind != KIND_OTHER && (success || (response->status >= 400 && response->json));
    const char *wrong = NULL;
    if (promised && !json_object_is_valid(response->body, response->body_length))
        wrong = "malformed answer: body";
    *ret_answer = (struct answer){.status = response->status,
                                  .replayed = response->replayed,
                                  .retry_after_s = response->retry_after_s};
    if (wrong == NULL && (promised || numbers || response->status >= 400))
        wrong = read_body(response, kind, ret_answer);
    if (wrong != NULL) {
        answer_missing(wrong, ret_answer);
        return false;
    }
    if (response->status >= 300 && ret_answer->detail[0] == '\0')
        (void)text_format(ret_answer->detail, sizeof ret_answer->detail, "status-%d",
                          response->status);
    classify(ret_answer, proxied);
    return true;
}

void answer_missing(const char *why, struct answer *ret_answer)
{
    *ret_answer = (struct answer){.outcome = OUTCOME_INFO,
                                  .answer_class = ANSWER_ERROR,
                                  .retryable = true,
                                  .retry_after_s = -1};
    (void)text_copy(ret_answer->detail, sizeof ret_answer->detail, why);
}
