// Compensations: written as JSON lines by a reconciliation, read back and applied on request.
//
// Like an administrator's change a compensation locks the rows and raises their versions, so every
// strategy that demands the version notices. The ledger's row has the reason `compensate`. Its
// request key comes from the file and contains a space, which no client's key can, so a file that
// is applied twice changes nothing the second time.
//
// What breaks it: a counter that sells all the time has moved before anyone has read the proposal.
// Applying it then is refused; it has to be proposed again when less is sold.
#include "store/reconcile/compensation.h"

#include "base/json_write.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/reconcile/reconcile.h"
#include "store/tables/admin.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#define KEY_PREFIX "compensate "

static uint64_t hash(const struct compensation *compensation)
{
    uint64_t hash = TEXT_HASH_START;
    for (size_t i = 0; i < compensation->n_changes; i++) {
        const struct compensating_change *change = &compensation->changes[i];
        hash = text_hash(hash, change->counter, strlen(change->counter) + 1);
        hash = text_hash_int(hash, change->version);
        hash = text_hash_int(hash, change->remaining);
        hash = text_hash_int(hash, change->delta);
        hash = text_hash_int(hash, change->ledger_delta);
    }
    return hash;
}

// ---- the file -----------------------------------------------------------------------------------

// A name that was written by hand into the database may not be JSON.
static bool can_be_written(const struct compensation *compensation)
{
    for (size_t i = 0; i < compensation->n_changes; i++) {
        for (const char *at = compensation->changes[i].counter; *at != '\0'; at++) {
            if (*at < 0x20 || *at > 0x7e)
                return false;
        }
    }
    return compensation->n_changes > 0;
}

void compensation_write(struct buffer *out, const struct finding *finding)
{
    const struct compensation *compensation = &finding->compensation;
    char key[REQUEST_KEY_MAX + 1];
    if (!can_be_written(compensation))
        return;
    text_format(key, sizeof key, KEY_PREFIX "%016" PRIx64, hash(compensation));
    buffer_append_text(out, "{");
    json_write_text(out, "key", key);
    json_write_text(out, "check", finding->check);
    json_write_text(out, "why", finding->what);
    json_write_open(out, "changes", '[');
    for (size_t i = 0; i < compensation->n_changes; i++) {
        const struct compensating_change *change = &compensation->changes[i];
        json_write_open(out, NULL, '{');
        json_write_text(out, "counter", change->counter);
        json_write_int(out, "version", change->version);
        json_write_int(out, "remaining", change->remaining);
        json_write_int(out, "delta", change->delta);
        json_write_int(out, "ledger_delta", change->ledger_delta);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_close(out, '}');
    buffer_append_text(out, "\n");
}

static bool parse_change(json_t *json, struct compensating_change *ret)
{
    const char *counter;
    json_int_t version, remaining, delta, ledger_delta;
    if (json_unpack_ex(json, NULL, JSON_STRICT, "{s:s,s:I,s:I,s:I,s:I}", "counter", &counter,
                       "version", &version, "remaining", &remaining, "delta", &delta,
                       "ledger_delta", &ledger_delta) != 0)
        return false;
    ret->version = version;
    ret->remaining = remaining;
    ret->delta = delta;
    ret->ledger_delta = ledger_delta;
    int64_t after;
    return text_copy(ret->counter, sizeof ret->counter, counter) &&
           !__builtin_add_overflow(remaining, delta, &after) && after >= 0;
}

static bool parse_changes(const json_t *json, struct compensation *ret)
{
    size_t n = json_array_size(json);
    if (n < 1 || n > COMPENSATION_CHANGES_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!parse_change(json_array_get(json, i), &ret->changes[i]))
            return false;
        if (i > 0 && strcmp(ret->changes[i - 1].counter, ret->changes[i].counter) >= 0)
            return false;
    }
    ret->n_changes = n;
    return true;
}

enum rc compensation_parse(const char *line, size_t length, struct proposal *ret_proposal,
                           char ret_error[COMPENSATION_ERROR_MAX])
{
    struct proposal proposal = {0};
    const char *key = "", *check, *why;
    json_t *changes;
    json_error_t error = {0};
    json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    bool whole =
        json != NULL && json_unpack_ex(json, &error, JSON_STRICT, "{s:s,s:s,s:s,s:o}", "key", &key,
                                       "check", &check, "why", &why, "changes", &changes) == 0;
    if (!whole)
        text_format(ret_error, COMPENSATION_ERROR_MAX, "%.200s", error.text);
    else if (!text_copy(proposal.key, sizeof proposal.key, key) ||
             strncmp(key, KEY_PREFIX, strlen(KEY_PREFIX)) != 0)
        text_format(ret_error, COMPENSATION_ERROR_MAX, "the key does not begin with '%s'",
                    KEY_PREFIX);
    else if (!parse_changes(changes, &proposal.compensation))
        text_format(ret_error, COMPENSATION_ERROR_MAX,
                    "changes: expected 1 or 2, sorted by counter, none below 0");
    else
        *ret_proposal = proposal;
    bool parsed = proposal.compensation.n_changes > 0;
    json_decref(json);
    return parsed ? RC_OK : RC_USAGE;
}

// ---- apply --------------------------------------------------------------------------------------

struct applying {
    const struct proposal *proposal;
    enum compensation_result result;
};

static enum rc find_earlier(struct db *db, const struct proposal *proposal, int64_t fingerprint,
                            enum compensation_result *ret_result)
{
    struct ledger_row row;
    enum rc rc = ledger_find_leg(db, proposal->key, 0, &row);
    if (rc == RC_OK)
        *ret_result =
            row.fingerprint == fingerprint ? COMPENSATION_REPEATED : COMPENSATION_KEY_USED;
    return rc;
}

// Locks the counter. COMPENSATION_MOVED if it is not what the change demands, or if its ledger goes
// on where it does not.
static enum rc lock(struct db *db, const struct compensating_change *change,
                    struct counter *ret_counter, int64_t *ret_last, int64_t *ret_now_ms,
                    enum compensation_result *ret_result)
{
    struct db_value param = db_text(change->counter);
    text_copy(ret_counter->name, sizeof ret_counter->name, change->counter);
    enum rc rc = counter_load(db, ret_counter, 1, true, ret_now_ms);
    *ret_last = 0;
    if (rc == RC_OK)
        rc = db_query_int(db, "SELECT COALESCE(MAX(version), 0) FROM ledger WHERE counter = ?",
                          &param, 1, ret_last);
    if (rc == RC_OK &&
        (ret_counter->version == 0 || ret_counter->version != change->version ||
         ret_counter->remaining != change->remaining || *ret_last < ret_counter->version))
        *ret_result = COMPENSATION_MOVED;
    return rc;
}

static void fill_row(const struct proposal *proposal, size_t leg, int64_t fingerprint,
                     int64_t version, int64_t now_ms, struct ledger_row *row)
{
    const struct compensating_change *change = &proposal->compensation.changes[leg];
    *row = (struct ledger_row){.version = version,
                               .delta = change->ledger_delta,
                               .remaining = change->remaining + change->delta,
                               .leg = (int64_t)leg,
                               .fingerprint = fingerprint,
                               .reason = "compensate",
                               .strategy = "admin",
                               .created_at_ms = now_ms};
    text_copy(row->counter, sizeof row->counter, change->counter);
    text_copy(row->request_key, sizeof row->request_key, proposal->key);
}

static enum rc attempt(struct db *db, void *arg)
{
    struct applying *applying = arg;
    const struct proposal *proposal = applying->proposal;
    const struct compensation *compensation = &proposal->compensation;
    int64_t fingerprint = (int64_t)(hash(compensation) >> 1);
    struct counter_change changes[COMPENSATION_CHANGES_MAX];
    struct ledger_row rows[COMPENSATION_CHANGES_MAX];
    applying->result = COMPENSATION_APPLIED;
    enum rc rc = find_earlier(db, proposal, fingerprint, &applying->result);
    if (rc != RC_NOT_FOUND)
        return rc;
    rc = RC_OK;
    for (size_t i = 0; i < compensation->n_changes && rc == RC_OK; i++) {
        int64_t last, now_ms = 0; // a counter that is missing has no time
        rc = lock(db, &compensation->changes[i], &changes[i].before, &last, &now_ms,
                  &applying->result);
        if (rc != RC_OK)
            return rc;
        fill_row(proposal, i, fingerprint, last + 1, now_ms, &rows[i]);
        changes[i].version = rows[i].version;
        changes[i].remaining = rows[i].remaining;
    }
    if (applying->result != COMPENSATION_APPLIED)
        return rc;
    rc = counter_save(db, RULE_LOCKED, 0, changes, compensation->n_changes);
    return rc == RC_OK ? ledger_insert(db, rows, compensation->n_changes) : rc;
}

enum rc compensation_apply(struct db *db, const struct proposal *proposal,
                           enum compensation_result *ret_result)
{
    struct applying applying = {.proposal = proposal};
    enum rc rc = admin_transaction(db, attempt, &applying);
    if (rc == RC_OK)
        *ret_result = applying.result;
    return rc;
}
