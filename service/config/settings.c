// The table of settings. A setting is named in five places (flag, environment, file, help, printed
// configuration), which drift apart when each is written by hand. So one alphabetical table has
// everything about a setting, and the five places are loops over it.
//
// A setting's flag is its name as written; its variable is the name in capitals with `_` for `.`.
// Values are checked when they are stored, and trusted afterwards.
//
// What breaks it: a name out of alphabetical order (a unit test checks), two names that make the
// same variable, or more settings than CONFIG_SETTINGS_MAX.
#include "config/settings.h"

#include "base/address.h"
#include "base/text.h"
#include "guard/strategy/registry.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const wait_choices[] = {"fail", "spin", "notify", NULL};
static const char *const level_choices[] = {"debug", "info", "warning", "error", NULL};
static const char *const format_choices[] = {"text", "json", NULL};

#define MEMBER(member) offsetof(struct config, member)

const struct setting settings[] = {
    {"auth.admin_token", SETTING_SECRET, MEMBER(auth_admin_token), "", 0, 0, NULL,
     "Bearer token for administration: PUT, restock, ledger, reconciliation. Empty: these calls "
     "are open, or disabled if auth.client_token is set."},
    {"auth.client_token", SETTING_SECRET, MEMBER(auth_client_token), "", 0, 0, NULL,
     "Bearer token for everything else under /v1; the administrator's token works there too."},
    {"combine.max_batch", SETTING_INTEGER, MEMBER(combine_max_batch), "256", 1, 1024, NULL,
     "How many requests may share one transaction. 1: direct mode, one transaction per request."},
    {"coupon.strategy", SETTING_STRATEGY, MEMBER(coupon_strategy), "conditional", 0, 0, NULL,
     "Concurrency strategy for issuing coupons."},
    {"drain.delay_ms", SETTING_INTEGER, MEMBER(drain_delay_ms), "0", 0, 600000, NULL,
     "On SIGTERM: how long /readyz answers 503 while all else is served as before, so that a "
     "load balancer notices first. Behind a load balancer: longer than its checks take."},
    {"etcd", SETTING_ADDRESS, MEMBER(etcd), "", 0, 0, NULL,
     "The members of one etcd cluster, for etcd-lock: "
     "[http://|https://][user:password@]host[:port][,host[:port]...]. https is verified; "
     "?ca=FILE, cert=FILE and key=FILE name PEM files."},
    {"feed.limit", SETTING_INTEGER, MEMBER(feed_limit), "1000", 1, 50000, NULL,
     "How many clients may wait for changes (GET /v1/changes); further ones are answered 503 "
     "overloaded. Each occupies one of http.connections; at most half of these may wait."},
    {"feed.poll_ms", SETTING_INTEGER, MEMBER(feed_poll_ms), "200", 10, 60000, NULL,
     "While clients wait for changes: how often the database is asked, in ms, for what other "
     "instances and administration have changed. This instance's own operations are seen at once."},
    {"http.connections", SETTING_INTEGER, MEMBER(http_connections), "4096", 8, 100000, NULL,
     "How many client connections may be open. Beyond it, the connection that has waited longest "
     "for a request gives way to a new one; first those that have never sent one."},
    {"http.threads", SETTING_INTEGER, MEMBER(http_threads), "2", 1, 64, NULL,
     "Threads that read requests and write answers."},
    {"lab", SETTING_TRUTH, MEMBER(lab), "off", 0, 0, NULL,
     "Laboratory mode: opens the laboratory (/lab), and allows the strategy `none`, the lab settings "
     "and the header X-Holdfast-Strategy."},
    {"lab.belts", SETTING_TRUTH, MEMBER(lab_constraints), "on", 0, 0, NULL,
     "The database's unique keys and checks. off: dropped; in laboratory mode only, and only from "
     "a database that is empty or has lost them already."},
    {"lab.demand", SETTING_TRUTH, MEMBER(lab_demand), "on", 0, 0, NULL,
     "What a save demands of the row: its version, its fence, enough left, its row lock. off: "
     "every strategy saves as `none` does, behind its guard if it has one; in laboratory mode "
     "only. The ledger's key still refuses two writers of one version, unless lab.belts=off."},
    {"lab.store", SETTING_ADDRESS, MEMBER(lab_store), "", 0, 0, NULL,
     "Database of the laboratory's runs (/lab): mysql://user:password@host:port/NAME_lab. Each run deletes "
     "everything in it. Empty: a temporary SQLite file below $TMPDIR or /tmp."},
    {"listen", SETTING_TEXT, MEMBER(listen), "127.0.0.1:8080", 0, 0, NULL,
     "Address to serve on: host:port, [v6-address]:port, or *:port for all interfaces. Of a name "
     "with several addresses, all. Port 0 picks a free one. Beyond loopback, both tokens must be set."},
    {"lock.fence", SETTING_TRUTH, MEMBER(lock_fence), "on", 0, 0, NULL,
     "What lock strategies demand when they save: the version as read, and no newer fencing "
     "token. off: a holder that lost its lock unnoticed overwrites newer saves; in laboratory "
     "mode only. The ledger's key still refuses its save, unless lab.belts=off."},
    {"lock.max_hold_ms", SETTING_INTEGER, MEMBER(lock_max_hold_ms), "60000", 100, 3600000, NULL,
     "How long a lock may be held, in ms. After that its lease is no longer renewed and expires. "
     "At least lock.ttl_ms."},
    {"lock.partitions", SETTING_INTEGER, MEMBER(lock_partitions), "0", 0, 10000, NULL,
     "How many locks there are for all counters, chosen by a hash of the counter's name. 0: one for "
     "each counter. All instances must have the same setting; else they are slow, not wrong."},
    {"lock.tenure_ms", SETTING_INTEGER, MEMBER(lock_tenure_ms), "20", 0, 10000, NULL,
     "zookeeper-lock and etcd-lock: how long a lock may be kept, in ms, for requests on the same "
     "counters that arrive while it is held. Other instances wait as much longer. 0: every "
     "transaction takes the lock anew."},
    {"lock.ttl_ms", SETTING_INTEGER, MEMBER(lock_ttl_ms), "10000", 100, 600000, NULL,
     "Length of a lock's lease in ms. If the holder dies, the lock is free again after this "
     "time. A living holder renews the lease every third of it, up to lock.max_hold_ms."},
    {"lock.wait", SETTING_CHOICE, MEMBER(lock_wait), "notify", 0, 0, wait_choices,
     "What to do when another owner holds the lock. fail: fail at once. spin: poll, up to "
     "lock.wait_ms. notify: as spin, but the lock server signals waiters, where supported."},
    {"lock.wait_ms", SETTING_INTEGER, MEMBER(lock_wait_ms), "2000", 0, 60000, NULL,
     "How long to wait for a lock, in ms."},
    {"log.format", SETTING_CHOICE, MEMBER(log_format), "text", 0, 0, format_choices,
     "Format of log lines: text for people, json for machines."},
    {"log.level", SETTING_CHOICE, MEMBER(log_level), "info", 0, 0, level_choices,
     "Least severe level that is logged."},
    {"lottery.strategy", SETTING_STRATEGY, MEMBER(lottery_strategy), "conditional", 0, 0, NULL,
     "Concurrency strategy for lottery draws."},
    {"order.strategy", SETTING_STRATEGY, MEMBER(order_strategy), "conditional", 0, 0, NULL,
     "Concurrency strategy for orders."},
    {"points.strategy", SETTING_STRATEGY, MEMBER(points_strategy), "conditional", 0, 0, NULL,
     "Concurrency strategy for loyalty points."},
    {"queue.limit", SETTING_INTEGER, MEMBER(queue_limit), "10000", 1, 1000000, NULL,
     "How many requests may wait in the queue; further ones are answered 503 overloaded."},
    {"redis", SETTING_ADDRESS, MEMBER(redis), "", 0, 0, NULL,
     "Redis masters, for redis-lock: [redis://|rediss://][[user]:password@]host[:port][/db] or "
     "unix:/path. rediss is TLS, verified; ?ca=FILE, cert=FILE and key=FILE name PEM files. 3, 5, ... "
     "of them, separated by commas, are independent masters, and a majority grants the lock."},
    {"request.timeout_ms", SETTING_INTEGER, MEMBER(request_timeout_ms), "5000", 10, 600000, NULL,
     "Deadline of a request in ms. If it has not begun to run by then, it is answered 503. The "
     "first request line, each header section and each body must arrive within this time, too."},
    {"reservation.per_user", SETTING_INTEGER, MEMBER(reservation_per_user), "0", 0, 1000000, NULL,
     "How many reservations a user may have open at once, on all instances together, which must have "
     "the same setting. 0: any number. A reservation without a user_id does not count."},
    {"reservation.strategy", SETTING_STRATEGY, MEMBER(reservation_strategy), "conditional", 0, 0,
     NULL, "Concurrency strategy for reservations."},
    {"reservation.sweep_ms", SETTING_INTEGER, MEMBER(reservation_sweep_ms), "1000", 10, 3600000,
     NULL,
     "How often holds that have expired are looked for, in ms. A request that needs their goods does "
     "not wait for this."},
    {"stock.strategy", SETTING_STRATEGY, MEMBER(stock_strategy), "conditional", 0, 0, NULL,
     "Concurrency strategy for stock."},
    {"store", SETTING_ADDRESS, MEMBER(store), "sqlite:holdfast.db", 0, 0, NULL,
     "Database: sqlite:PATH (one instance) or mysql://user:password@host:port/database (many). "
     "mysqls:// demands TLS with a verified certificate. Options: ?tls=on|off|unverified|verify-ca|"
     "verify-full&ca=FILE&connect-timeout=SECONDS, or ?socket=PATH with no host. Several hosts, "
     "a:3306,b:3306, are tried in turn."},
    {"workers", SETTING_INTEGER, MEMBER(workers), "8", 1, 256, NULL,
     "Threads that run transactions, each with a database connection of its own."},
    {"zookeeper", SETTING_ADDRESS, MEMBER(zookeeper), "", 0, 0, NULL,
     "ZooKeeper servers, for zookeeper-lock: [user:password@]host[:port][,host[:port]...][/path]. "
     "All nodes are below the path, which is made if it is missing. With a user only that user may "
     "read and change them."},
    {NULL, SETTING_TEXT, 0, NULL, 0, 0, NULL, NULL},
};

_Static_assert(ARRAY_LENGTH(settings) - 1 <= CONFIG_SETTINGS_MAX, "raise CONFIG_SETTINGS_MAX");

int setting_find(const char *name)
{
    for (int i = 0; settings[i].name; i++)
        if (strcmp(settings[i].name, name) == 0)
            return i;
    return -1;
}

// Levenshtein distance. Names longer than the row are cut; they are similar to nothing.
static size_t distance(const char *a, const char *b)
{
    size_t row[SETTING_NAME_MAX + 1];
    size_t length = strnlen(b, SETTING_NAME_MAX);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] && i < SETTING_NAME_MAX; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t substituted = diagonal + (a[i] != b[j]);
            size_t moved = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = substituted < moved ? substituted : moved;
        }
    }
    return row[length];
}

const char *setting_nearest(const char *name)
{
    const char *nearest = NULL;
    size_t best = strlen(name) / 2 + 1;
    for (const struct setting *setting = settings; setting->name; setting++) {
        size_t d = distance(name, setting->name);
        if (d < best) {
            best = d;
            nearest = setting->name;
        }
    }
    return nearest;
}

void setting_variable(const struct setting *setting, char *target)
{
    (void)text_format(target, SETTING_NAME_MAX, "HOLDFAST_%s", setting->name);
    for (char *c = target; *c; c++)
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
}

static void join_words(const char *const *words, char *target, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; words[i] && used < size; i++) {
        (void)text_format(target + used, size - used, "%s%s", i ? ", " : "one of ", words[i]);
        used += strlen(target + used);
    }
}

static bool is_duration(const struct setting *setting)
{
    size_t length = strlen(setting->name);
    return length > 3 && strcmp(setting->name + length - 3, "_ms") == 0;
}

#define STRATEGY_WORDS_MAX 32

void setting_expected(const struct setting *setting, char *target, size_t size)
{
    const char *names[STRATEGY_WORDS_MAX] = {0};
    switch (setting->type) {
    case SETTING_INTEGER:
        (void)text_format(target, size, "a whole number from %lld to %lld%s",
                          (long long)setting->min, (long long)setting->max,
                          is_duration(setting) ? ", or with a unit: 500ms, 10s, 2m, 1h" : "");
        break;
    case SETTING_TRUTH:
        (void)text_copy(target, size, "on or off");
        break;
    case SETTING_CHOICE:
        join_words(setting->choices, target, size);
        break;
    case SETTING_STRATEGY:
        for (size_t i = 0; strategies[i] && i < STRATEGY_WORDS_MAX - 1; i++)
            names[i] = strategies[i]->name;
        join_words(names, target, size);
        break;
    case SETTING_SECRET:
        (void)text_format(target, size,
                          "up to %d visible ASCII characters without blanks or enclosing quotes",
                          CONFIG_TEXT_MAX - 1);
        break;
    case SETTING_TEXT:
    case SETTING_ADDRESS:
        (void)text_format(target, size, "up to %d printable characters without enclosing quotes",
                          CONFIG_TEXT_MAX - 1);
        break;
    }
}

// Quotes that a shell would have removed. `docker run --env-file` and our file do not.
static bool is_quoted(const char *text)
{
    size_t length = strlen(text);
    return length > 1 && (*text == '"' || *text == '\'') && text[length - 1] == *text;
}

// Above the blank (`lowest`) only ASCII is accepted.
static bool store_text(const char *text, unsigned char lowest, char *target)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < lowest || (unsigned char)*c == 0x7f ||
            (lowest > ' ' && (unsigned char)*c > 0x7e))
            return false;
    return !is_quoted(text) && strlen(text) < CONFIG_TEXT_MAX &&
           text_copy(target, CONFIG_TEXT_MAX, text);
}

// "10s" is 10000.
static bool parse_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}};
    char digits[20];
    size_t length = strspn(text, "0123456789");
    int64_t number;
    if (!text_format(digits, sizeof digits, "%.*s", (int)length, text) ||
        !text_to_int64(digits, &number))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++)
        if (strcasecmp(text + length, units[i].unit) == 0)
            return !__builtin_mul_overflow(number, units[i].ms, ret_ms);
    return false;
}

static bool store_integer(const struct setting *setting, const char *text, int64_t *target)
{
    int64_t value;
    bool is_number =
        text_to_int64(text, &value) || (is_duration(setting) && parse_duration(text, &value));
    if (!is_number || value < setting->min || value > setting->max)
        return false;
    *target = value;
    return true;
}

static bool store_truth(const char *text, bool *target)
{
    static const char *const on[] = {"on", "true", "yes", "1"};
    static const char *const off[] = {"off", "false", "no", "0"};
    for (size_t i = 0; i < ARRAY_LENGTH(on); i++) {
        if (strcasecmp(text, on[i]) != 0 && strcasecmp(text, off[i]) != 0)
            continue;
        *target = strcasecmp(text, on[i]) == 0;
        return true;
    }
    return false;
}

// Other programs' words for our choices.
static const char *synonym(const char *text)
{
    static const char *const words[][2] = {
        {"warn", "warning"}, {"err", "error"},   {"information", "info"},
        {"trace", "debug"},  {"fatal", "error"}, {"critical", "error"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcasecmp(text, words[i][0]) == 0)
            return words[i][1];
    return text;
}

static bool store_choice(const char *const *choices, const char *text, const char **target)
{
    text = synonym(text);
    for (size_t i = 0; choices[i]; i++) {
        if (strcasecmp(choices[i], text) != 0)
            continue;
        *target = choices[i];
        return true;
    }
    return false;
}

static bool store_strategy(const char *text, const char **target)
{
    const struct strategy *strategy = strategy_find(text);
    if (!strategy)
        return false;
    *target = strategy->name;
    return true;
}

bool setting_store(const struct setting *setting, const char *text, struct config *config,
                   char *ret_expected)
{
    void *member = (char *)config + setting->offset;
    bool stored = false;
    switch (setting->type) {
    case SETTING_TEXT:
    case SETTING_ADDRESS:
        stored = store_text(text, ' ', member);
        break;
    case SETTING_SECRET:
        stored = store_text(text, ' ' + 1, member);
        break;
    case SETTING_INTEGER:
        stored = store_integer(setting, text, member);
        break;
    case SETTING_TRUTH:
        stored = store_truth(text, member);
        break;
    case SETTING_CHOICE:
        stored = store_choice(setting->choices, text, member);
        break;
    case SETTING_STRATEGY:
        stored = store_strategy(text, member);
        break;
    }
    if (!stored)
        setting_expected(setting, ret_expected, CONFIG_ERROR_MAX);
    return stored;
}

void setting_show(const struct setting *setting, const struct config *config, char *target)
{
    const char *member = (const char *)config + setting->offset;
    switch (setting->type) {
    case SETTING_TEXT:
        (void)text_copy(target, CONFIG_TEXT_MAX, member);
        break;
    case SETTING_ADDRESS:
        address_mask(member, target, CONFIG_TEXT_MAX);
        break;
    case SETTING_SECRET:
        (void)text_copy(target, CONFIG_TEXT_MAX, *member ? "***" : "");
        break;
    case SETTING_INTEGER:
        (void)text_format(target, CONFIG_TEXT_MAX, "%lld",
                          (long long)*(const int64_t *)(const void *)member);
        break;
    case SETTING_TRUTH:
        (void)text_copy(target, CONFIG_TEXT_MAX,
                        *(const bool *)(const void *)member ? "on" : "off");
        break;
    case SETTING_CHOICE:
    case SETTING_STRATEGY:
        (void)text_copy(target, CONFIG_TEXT_MAX, *(const char *const *)(const void *)member);
        break;
    }
}
