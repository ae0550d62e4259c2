// Classifies answers, and reads the members of their JSON bodies that matter.
//
// Only the outcome `fail` is a promise: the checker reports a violation if the ledger has a row for
// a request that failed. So an answer is `fail` only where the API promises that nothing was
// changed (api/openapi.yaml: every 4xx except 408, and the 503s listed below). Every other answer
// without a 2xx is `info`: the request may have taken effect.
//
// A malformed answer proves nothing, whatever its status: it counts as missing. The body of an
// answer to KIND_OTHER, a request of the user's own, may be anything.
#include "run/answer.h"

#include "base/text.h"
#include "history/flat_json.h"

#include <jansson.h>
#include <string.h>

#define PROMISED_BODY_MAX ((size_t)64 * 1024) // the API's answers are far smaller

// Members of a success.
enum { HAS_VERSION = 1, HAS_REMAINING = 2, HAS_CODE = 4, HAS_PRIZE = 8 };

static const unsigned required[KIND_COUNT] = {
    [KIND_DEDUCT] = HAS_VERSION | HAS_REMAINING,
    [KIND_ISSUE] = HAS_VERSION | HAS_REMAINING | HAS_CODE,
    [KIND_DRAW] = HAS_VERSION | HAS_PRIZE,
    [KIND_READ] = HAS_VERSION | HAS_REMAINING,
};

static const char *const nothing_changed[] = {"lock-busy", "lock-lost", "contention", "overloaded",
                                              "backend-unavailable"};

static bool promises_nothing_changed(const char *slug)
{
    for (size_t i = 0; i < ARRAY_LENGTH(nothing_changed); i++) {
        if (strcmp(slug, nothing_changed[i]) == 0)
            return true;
    }
    return false;
}

// "/problems/out-of-stock" -> "out-of-stock"
static void take_slug(struct answer *answer, const struct flat_member *member)
{
    char type[128];
    (void)flat_text_copy(type, sizeof type, member);
    const char *slash = strrchr(type, '/');
    (void)text_copy(answer->detail, sizeof answer->detail, slash != NULL ? slash + 1 : type);
}

// Returns which members of a success the body has.
static unsigned read_body(const struct response *response, struct answer *answer)
{
    unsigned has = 0;
    struct flat_json json = flat_json_open(response->body, response->body_length);
    struct flat_member member;
    enum flat_kind kind;
    bool problem = response->status >= 400;
    while ((kind = flat_json_next(&json, &member)) != FLAT_END && kind != FLAT_ERROR) {
        if ((kind == FLAT_TEXT || kind == FLAT_NULL) && flat_member_is(&member, "prize"))
            has |= HAS_PRIZE;
        if (kind == FLAT_TEXT && flat_member_is(&member, "code"))
            has |= HAS_CODE;
        if (kind == FLAT_INT && flat_member_is(&member, "version")) {
            answer->version = member.number;
            has |= HAS_VERSION;
        } else if (kind == FLAT_INT && flat_member_is(&member, "remaining")) {
            answer->remaining = member.number;
            has |= HAS_REMAINING;
        } else if (kind == FLAT_TEXT && problem && flat_member_is(&member, "type")) {
            take_slug(answer, &member);
        } else if (kind == FLAT_TEXT && !problem &&
                   (flat_member_is(&member, "code") || flat_member_is(&member, "prize")))
            (void)flat_text_copy(answer->detail, sizeof answer->detail, &member);
    }
    return has;
}

// flat_json does not validate, so Jansson does.
static bool is_json_object(const struct response *response)
{
    if (response->body_length > PROMISED_BODY_MAX)
        return false;
    json_t *body = json_loadb(response->body, response->body_length, JSON_REJECT_DUPLICATES, NULL);
    bool is_object = json_is_object(body);
    json_decref(body);
    return is_object;
}

static void classify(struct answer *answer)
{
    int status = answer->status;
    if (status >= 200 && status < 300) {
        answer->outcome = OUTCOME_OK;
        answer->answer_class = ANSWER_OK;
    } else if (status >= 400 && status < 500 && status != 408) {
        answer->outcome = OUTCOME_FAIL;
        answer->answer_class = ANSWER_REFUSED;
        answer->retryable = status == 429;
    } else {
        answer->outcome =
            status == 503 && promises_nothing_changed(answer->detail) ? OUTCOME_FAIL : OUTCOME_INFO;
        answer->answer_class = ANSWER_ERROR;
        answer->retryable = status == 408 || (status >= 502 && status <= 504);
    }
}

bool answer_read(const struct response *response, enum attempt_kind kind, bool numbers,
                 struct answer *ret_answer)
{
    bool success = response->status >= 200 && response->status < 300;
    bool promised = kind != KIND_OTHER && (success || (response->status >= 400 && response->json));
    unsigned has = 0;
    if (promised && !is_json_object(response)) {
        answer_missing("malformed answer: body", ret_answer);
        return false;
    }
    *ret_answer = (struct answer){.status = response->status,
                                  .replayed = response->replayed,
                                  .retry_after_s = response->retry_after_s,
                                  .version = HISTORY_NONE,
                                  .remaining = HISTORY_NONE};
    if (promised || numbers || response->status >= 400)
        has = read_body(response, ret_answer);
    if (success && (has & required[kind]) != required[kind]) {
        answer_missing("malformed answer: members missing", ret_answer);
        return false;
    }
    if (response->status >= 300 && ret_answer->detail[0] == '\0')
        (void)text_format(ret_answer->detail, sizeof ret_answer->detail, "status-%d",
                          response->status);
    classify(ret_answer);
    return true;
}

void answer_missing(const char *why, struct answer *ret_answer)
{
    *ret_answer = (struct answer){.outcome = OUTCOME_INFO,
                                  .answer_class = ANSWER_ERROR,
                                  .retryable = true,
                                  .retry_after_s = HISTORY_NONE,
                                  .version = HISTORY_NONE,
                                  .remaining = HISTORY_NONE};
    (void)text_copy(ret_answer->detail, sizeof ret_answer->detail, why);
}
