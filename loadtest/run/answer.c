// Classifies answers, and reads the members of their JSON bodies that matter.
#include "run/answer.h"

#include "base/text.h"
#include "history/flat_json.h"

#include <string.h>

// "/problems/out-of-stock" -> "out-of-stock"
static void take_slug(struct answer *answer, const struct flat_member *member)
{
    char type[128];
    (void)flat_text_copy(type, sizeof type, member);
    const char *slash = strrchr(type, '/');
    (void)text_copy(answer->detail, sizeof answer->detail, slash != NULL ? slash + 1 : type);
}

static void read_body(const struct response *response, struct answer *answer)
{
    struct flat_json json = flat_json_open(response->body, response->body_length);
    struct flat_member member;
    enum flat_kind kind;
    bool problem = response->status >= 400;
    while ((kind = flat_json_next(&json, &member)) != FLAT_END && kind != FLAT_ERROR) {
        if (kind == FLAT_INT && flat_member_is(&member, "version"))
            answer->version = (struct maybe){member.number, true};
        else if (kind == FLAT_INT && flat_member_is(&member, "remaining"))
            answer->remaining = (struct maybe){member.number, true};
        else if (kind == FLAT_TEXT && problem && flat_member_is(&member, "type"))
            take_slug(answer, &member);
        else if (kind == FLAT_TEXT && !problem &&
                 (flat_member_is(&member, "code") || flat_member_is(&member, "prize")))
            (void)flat_text_copy(answer->detail, sizeof answer->detail, &member);
    }
}

static void classify(struct answer *answer)
{
    int status = answer->status;
    answer->outcome = attempt_outcome_of(status, answer->detail);
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

void answer_read(const struct response *response, bool numbers, struct answer *ret_answer)
{
    *ret_answer = (struct answer){.status = response->status,
                                  .replayed = response->replayed,
                                  .retry_after_s = response->retry_after_s};
    if (numbers || response->status >= 400)
        read_body(response, ret_answer);
    if (response->status >= 300 && ret_answer->detail[0] == '\0')
        (void)text_format(ret_answer->detail, sizeof ret_answer->detail, "status-%d",
                          response->status);
    classify(ret_answer);
}

void answer_missing(const char *why, struct answer *ret_answer)
{
    *ret_answer = (struct answer){.outcome = OUTCOME_INFO,
                                  .answer_class = ANSWER_ERROR,
                                  .retryable = true,
                                  .retry_after_s = -1};
    (void)text_copy(ret_answer->detail, sizeof ret_answer->detail, why);
}
