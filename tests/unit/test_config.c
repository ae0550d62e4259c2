// Settings: order of precedence, errors that name the mistake, and the printed form.
#include "config/config.h"

#include "base/text.h"
#include "config/settings.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 16

struct attempt {
    int argc;
    char *argv[ARGUMENTS_MAX];
    struct config config;
    char error[CONFIG_ERROR_MAX];
};

// Both lists end with NULL and are not modified.
static enum rc load(struct attempt *attempt, const char *const *arguments,
                    const char *const *environment)
{
    static const char *const own[] = {"--json", NULL};
    static const char *const nothing[] = {NULL};
    char *variables[ARGUMENTS_MAX];
    size_t n = 0;
    memset(attempt, 0, sizeof(*attempt));
    for (; arguments && arguments[attempt->argc]; attempt->argc++)
        attempt->argv[attempt->argc] = (char *)arguments[attempt->argc];
    for (environment = environment ? environment : nothing; environment[n]; n++)
        variables[n] = (char *)environment[n];
    variables[n] = NULL;
    return config_load(&attempt->argc, attempt->argv, variables, own, &attempt->config,
                       attempt->error);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

#define PATH_SIZE 64

static void write_file(char *path, const char *content)
{
    ck_assert(text_copy(path, PATH_SIZE, "/tmp/holdfast-config-XXXXXX"));
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
}

START_TEST(table_is_sorted_and_variables_differ)
{
    for (size_t i = 1; settings[i].name; i++) {
        char a[SETTING_NAME_MAX], b[SETTING_NAME_MAX];
        ck_assert_int_lt(strcmp(settings[i - 1].name, settings[i].name), 0);
        setting_variable(&settings[i - 1], a);
        setting_variable(&settings[i], b);
        ck_assert_str_ne(a, b);
    }
}
END_TEST

START_TEST(defaults_stand_without_anything)
{
    struct attempt a;
    ck_assert_int_eq(load(&a, NULL, NULL), RC_OK);
    ck_assert_str_eq(a.config.listen, "127.0.0.1:8080");
    ck_assert_str_eq(a.config.store, "sqlite:holdfast.db");
    ck_assert_str_eq(a.config.stock_strategy, "conditional");
    ck_assert_int_eq(a.config.lock_ttl_ms, 10000);
    ck_assert_int_eq(a.config.lock_max_hold_ms, 60000);
    ck_assert(a.config.lock_fence);
    ck_assert_int_eq(a.config.combine_max_batch, 256);
    ck_assert(!a.config.lab && a.config.lab_constraints && a.config.lab_demand);
    ck_assert_int_eq(a.config.origin[setting_find("store")].source, SOURCE_DEFAULT);
}
END_TEST

START_TEST(flag_beats_environment_beats_file)
{
    char path[PATH_SIZE];
    struct attempt a;
    write_file(path, "# comment\n\nworkers = 3\n  lock.ttl_ms=300 # three\nqueue.limit = 30\n"
                     "auth.admin_token = with#hash\n");
    const char *const environment[] = {"HOLDFAST_LOCK_TTL_MS=400", "HOLDFAST_QUEUE_LIMIT=40",
                                       "PATH=/bin", NULL};
    ck_assert_int_eq(
        load(&a, LIST("--config", path, "--queue.limit=50", "--http.threads", "4"), environment),
        RC_OK);
    ck_assert_int_eq(a.config.workers, 3);
    ck_assert_int_eq(a.config.lock_ttl_ms, 400);
    ck_assert_int_eq(a.config.queue_limit, 50);
    ck_assert_int_eq(a.config.http_threads, 4);
    ck_assert_str_eq(a.config.auth_admin_token, "with#hash");
    ck_assert_int_eq(a.config.origin[setting_find("workers")].source, SOURCE_FILE);
    ck_assert_int_eq(a.config.origin[setting_find("workers")].line, 3);
    ck_assert_int_eq(a.config.origin[setting_find("lock.ttl_ms")].source, SOURCE_ENVIRONMENT);
    ck_assert_int_eq(a.config.origin[setting_find("queue.limit")].source, SOURCE_FLAG);
    unlink(path);
}
END_TEST

START_TEST(file_named_by_environment)
{
    char path[PATH_SIZE], variable[96];
    struct attempt a;
    write_file(path, "workers = 5\n");
    snprintf(variable, sizeof(variable), "HOLDFAST_CONFIG=%s", path);
    ck_assert_int_eq(load(&a, NULL, LIST(variable)), RC_OK);
    ck_assert_int_eq(a.config.workers, 5);
    unlink(path);
}
END_TEST

START_TEST(operands_and_own_flags_remain_in_order)
{
    struct attempt a;
    ck_assert_int_eq(load(&a, LIST("down", "--lab", "--json", "--workers", "2", "1"), NULL), RC_OK);
    ck_assert_int_eq(a.argc, 3);
    ck_assert_str_eq(a.argv[0], "down");
    ck_assert_str_eq(a.argv[1], "--json");
    ck_assert_str_eq(a.argv[2], "1");
    ck_assert(a.config.lab);
    ck_assert_int_eq(load(&a, LIST("--lab", "off", "up"), NULL), RC_OK);
    ck_assert(!a.config.lab);
    ck_assert_int_eq(a.argc, 1);
}
END_TEST

START_TEST(laboratory_mode_switches_protections_off)
{
    struct attempt a;
    ck_assert_int_eq(load(&a, LIST("--lab", "--lab.demand=off"), NULL), RC_OK);
    ck_assert(a.config.lab_constraints && !a.config.lab_demand);
    ck_assert_int_eq(load(&a, LIST("--lab", "--lab.belts=off"), NULL), RC_OK);
    ck_assert(!a.config.lab_constraints && a.config.lab_demand);
    ck_assert_int_eq(load(&a, LIST("--lab", "--lock.fence=off"), NULL), RC_OK);
    ck_assert(a.config.lab_demand && !a.config.lock_fence);
}
END_TEST

// A setting in one of the three places, and words that the error must contain.
static const struct {
    const char *flag, *variable, *file;
    enum rc rc;
    const char *words[4];
} refusals[] = {
    {"--lock.tll_ms=5", NULL, NULL, RC_USAGE, {"--lock.tll_ms", "nearest", "lock.ttl_ms"}},
    {"--zzzzzzzzzzzzzz", NULL, NULL, RC_USAGE, {"--zzzzzzzzzzzzzz", "--help"}},
    {"-x", NULL, NULL, RC_USAGE, {"'-x'"}},
    {"--workers", NULL, NULL, RC_USAGE, {"--workers", "needs a value"}},
    {"--workers=many", NULL, NULL, RC_USAGE, {"--workers", "'many'", "from 1 to 256"}},
    {"--workers=0", NULL, NULL, RC_USAGE, {"from 1 to 256"}},
    {"--workers=1.5", NULL, NULL, RC_USAGE, {"'1.5'", "whole number"}},
    {"--combine.max_batch=1025", NULL, NULL, RC_USAGE, {"combine.max_batch", "1024"}},
    {"--stock.strategy=hope", NULL, NULL, RC_USAGE, {"'hope'", "one of", "redis-lock"}},
    {"--lock.wait=dance", NULL, NULL, RC_USAGE, {"lock.wait", "fail, spin"}},
    {"--lab=perhaps", NULL, NULL, RC_USAGE, {"--lab", "on or off"}},
    {"--lab.belts=off", NULL, NULL, RC_USAGE, {"lab.belts", "laboratory"}},
    {"--lab.demand=off", NULL, NULL, RC_USAGE, {"lab.demand", "laboratory"}},
    {"--lock.fence=off", NULL, NULL, RC_USAGE, {"lock.fence", "laboratory"}},
    {"--lock.max_hold_ms=9999", NULL, NULL, RC_USAGE, {"lock.max_hold_ms", "10000"}},
    {"--auth.admin_token=two words", NULL, NULL, RC_USAGE, {"--auth.admin_token", "blanks"}},
    {NULL, "HOLDFAST_WORKERS=x", NULL, RC_USAGE, {"HOLDFAST_WORKERS", "'x'"}},
    {NULL, "HOLDFAST_LOCK_TTL=5", NULL, RC_USAGE, {"HOLDFAST_LOCK_TTL'", "HOLDFAST_LOCK_TTL_MS"}},
    {NULL,
     NULL,
     "workers = 3\nlok.ttl_ms = 5\n",
     RC_USAGE,
     {"line 2", "'lok.ttl_ms'", "lock.ttl_ms"}},
    {NULL, NULL, "\nworkers = x\n", RC_USAGE, {"line 2: workers", "'x'"}},
    {NULL, NULL, "workers\n", RC_USAGE, {"line 1", "name = value"}},
    {NULL, NULL, "workers = 1\nworkers = 2\n", RC_USAGE, {"line 2", "already", "line 1"}},
    {"--store=\"sqlite:x\"", NULL, NULL, RC_USAGE, {"--store", "quotes"}},
    {"--lock.ttl_ms=10 s", NULL, NULL, RC_USAGE, {"lock.ttl_ms", "10s"}},
    {"--lock.ttl_ms=9999999999999999h", NULL, NULL, RC_USAGE, {"lock.ttl_ms", "600000"}},
    {"--workers=2s", NULL, NULL, RC_USAGE, {"--workers", "256"}},
    {NULL, "HOLDFAST_REDIS_URL=x", NULL, RC_USAGE, {"HOLDFAST_REDIS_URL'", "'HOLDFAST_REDIS'"}},
    {NULL, "HOLDFAST_ADMIN_TOKEN=x", NULL, RC_USAGE, {"'HOLDFAST_AUTH_ADMIN_TOKEN'"}},
    {NULL, "HOLDFAST_CONFIG_FILE=x", NULL, RC_USAGE, {"'HOLDFAST_CONFIG'"}},
    {NULL, "HOLDFAST_STORE_FILE=/nowhere/s", NULL, RC_IO, {"HOLDFAST_STORE_FILE", "/nowhere/s"}},
    {NULL, "HOLDFAST_STORE_FILE=/dev/null", NULL, RC_USAGE, {"HOLDFAST_STORE_FILE", "empty"}},
    {"--config=/nowhere/holdfast.ini", NULL, NULL, RC_IO, {"/nowhere/holdfast.ini"}},
};

START_TEST(refusals_name_what_is_wrong)
{
    const char *arguments[3] = {NULL}, *variables[2] = {refusals[_i].variable, NULL};
    char path[PATH_SIZE] = "";
    size_t n = 0;
    struct attempt a;
    if (refusals[_i].flag)
        arguments[n++] = refusals[_i].flag;
    if (refusals[_i].file) {
        write_file(path, refusals[_i].file);
        arguments[n++] = "--config";
        arguments[n++] = path;
    }
    const char *const list[] = {arguments[0], n > 1 ? arguments[1] : NULL, NULL};
    ck_assert_int_eq(load(&a, list, variables), refusals[_i].rc);
    for (size_t i = 0; i < ARRAY_LENGTH(refusals[_i].words) && refusals[_i].words[i]; i++)
        ck_assert_msg(strstr(a.error, refusals[_i].words[i]), "'%s' lacks '%s'", a.error,
                      refusals[_i].words[i]);
    if (*path)
        unlink(path);
}
END_TEST

START_TEST(secrets_are_not_repeated_in_refusals)
{
    struct attempt a;
    ck_assert_int_eq(load(&a, LIST("--auth.client_token=hush hush"), NULL), RC_USAGE);
    ck_assert_ptr_null(strstr(a.error, "hush"));
}
END_TEST

START_TEST(foreign_variables_are_left_alone)
{
    struct attempt a;
    ck_assert_int_eq(load(&a, NULL,
                          LIST("HOLDFAST_SERVICE_HOST=10.0.0.1", "HOLDFAST_PORT_8080_TCP=x",
                               "HOLDFAST_TEST_REDIS=y", "HOLDFAST_BIN=z", "HOLDFAST_PAUSE=p")),
                     RC_OK);
    ck_assert_str_eq(a.config.passed_over, "");
    ck_assert_msg(load(&a, NULL,
                       LIST("HOLDFAST_MYSQL_SERVICE_HOST=10.0.0.1", "HOLDFAST_REDIS_SERVICE_PORT=1",
                            "HOLDFAST_REDIS_PORT=tcp://10.0.0.1:6379",
                            "HOLDFAST_ETCD_PORT_2379_TCP_ADDR=10.0.0.1",
                            "HOLDFAST_STORE_SERVICE_PORT_SQL=3306", "HOLDFAST_IMAGE=x")) == RC_OK,
                  "%s", a.error);
    ck_assert_str_eq(
        a.config.passed_over,
        "HOLDFAST_MYSQL_SERVICE_HOST, HOLDFAST_REDIS_SERVICE_PORT, HOLDFAST_REDIS_PORT, "
        "HOLDFAST_ETCD_PORT_2379_TCP_ADDR, HOLDFAST_STORE_SERVICE_PORT_SQL, "
        "HOLDFAST_IMAGE");
}
END_TEST

START_TEST(empty_variables_are_not_given)
{
    char path[PATH_SIZE];
    struct attempt a;
    write_file(path, "workers = 5\n");
    ck_assert_int_eq(load(&a, LIST("--config", path),
                          LIST("HOLDFAST_WORKERS=", "HOLDFAST_STORE_FILE=", "HOLDFAST_WORKER=")),
                     RC_OK);
    ck_assert_int_eq(a.config.workers, 5);
    ck_assert_int_eq(a.config.origin[setting_find("workers")].source, SOURCE_FILE);
    unlink(path);
}
END_TEST

START_TEST(values_are_read_from_files)
{
    static const char *const ends[] = {"", "\n", "\r\n"};
    char path[PATH_SIZE], variable[128], content[2 * CONFIG_TEXT_MAX];
    struct attempt a;
    for (size_t i = 0; i < ARRAY_LENGTH(ends); i++) {
        snprintf(content, sizeof(content), "hush%s", ends[i]);
        write_file(path, content);
        snprintf(variable, sizeof(variable), "HOLDFAST_AUTH_ADMIN_TOKEN_FILE=%s", path);
        ck_assert_int_eq(load(&a, NULL, LIST(variable, "HOLDFAST_AUTH_ADMIN_TOKEN=")), RC_OK);
        ck_assert_str_eq(a.config.auth_admin_token, "hush");
        ck_assert_int_eq(load(&a, NULL, LIST(variable, "HOLDFAST_AUTH_ADMIN_TOKEN=x")), RC_USAGE);
        ck_assert_ptr_nonnull(strstr(a.error, "are both set"));
        unlink(path);
    }
    for (size_t length = CONFIG_TEXT_MAX - 1; length < CONFIG_TEXT_MAX + 4; length++) {
        memset(content, 'x', length);
        content[length] = '\0';
        write_file(path, content);
        snprintf(variable, sizeof(variable), "HOLDFAST_AUTH_ADMIN_TOKEN_FILE=%s", path);
        ck_assert_int_eq(load(&a, NULL, LIST(variable)),
                         length < CONFIG_TEXT_MAX ? RC_OK : RC_USAGE);
        unlink(path);
    }
}
END_TEST

// What people write, and what is then in force.
static const struct {
    const char *flag, *shown;
} spellings[] = {
    {"--log.level=warn", "log.level          = warning"},
    {"--log.level=ERR", "log.level          = error"},
    {"--log.level=Info", "log.level          = info"},
    {"--log.format=JSON", "log.format         = json"},
    {"--lab=Yes", "lab                = on"},
    {"--lab=FALSE", "lab                = off"},
    {"--lock.ttl_ms=12s", "lock.ttl_ms        = 12000"},
    {"--lock.ttl_ms=250ms", "lock.ttl_ms        = 250"},
    {"--drain.delay_ms=2m", "drain.delay_ms     = 120000"},
    {"--lock.max_hold_ms=1h", "lock.max_hold_ms   = 3600000"},
};

static void check_shown(const char *flag, const char *expected)
{
    struct attempt a;
    struct buffer out = {0};
    ck_assert_int_eq(load(&a, LIST(flag), NULL), RC_OK);
    config_print(&a.config, &out);
    ck_assert_msg(strstr(out.data, expected), "no '%s' in\n%s", expected, out.data);
    buffer_release(&out);
}

START_TEST(usual_spellings_are_understood)
{
    check_shown(spellings[_i].flag, spellings[_i].shown);
}
END_TEST

START_TEST(printing_masks_secrets)
{
    check_shown("--store=mysql://u:p@ss:w@host:1/db", "mysql://u:***@host:1/db");
    check_shown("--redis=user:se:%2F%2Fcr@et@host:1/0", "user:***@host:1/0");
    check_shown("--redis=host:6379", "host:6379");
    check_shown("--auth.admin_token=hush", "= ***");
    check_shown("--workers=9", "# flag --workers");
    check_shown("--lab", "= on");
}
END_TEST

// The printed form, read as a file, gives the same settings.
START_TEST(printed_form_is_a_file)
{
    char path[PATH_SIZE];
    struct attempt a, b;
    struct buffer out = {0}, again = {0};
    ck_assert_int_eq(load(&a, LIST("--workers=9", "--lab", "--lock.wait=fail"), NULL), RC_OK);
    config_print(&a.config, &out);
    write_file(path, out.data);
    ck_assert_msg(load(&b, LIST("--config", path), NULL) == RC_OK, "%s", b.error);
    config_print(&b.config, &again);
    ck_assert_int_eq(b.config.workers, 9);
    ck_assert(b.config.lab);
    ck_assert_str_eq(b.config.lock_wait, "fail");
    ck_assert_ptr_nonnull(strstr(again.data, path));
    buffer_release(&out);
    buffer_release(&again);
    unlink(path);
}
END_TEST

START_TEST(help_names_every_setting)
{
    struct buffer out = {0};
    config_help(&out);
    for (size_t i = 0; settings[i].name; i++)
        ck_assert_ptr_nonnull(strstr(out.data, settings[i].name));
    buffer_release(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("config");
    tcase_add_test(tests, table_is_sorted_and_variables_differ);
    tcase_add_test(tests, defaults_stand_without_anything);
    tcase_add_test(tests, flag_beats_environment_beats_file);
    tcase_add_test(tests, file_named_by_environment);
    tcase_add_test(tests, operands_and_own_flags_remain_in_order);
    tcase_add_test(tests, laboratory_mode_switches_protections_off);
    tcase_add_loop_test(tests, refusals_name_what_is_wrong, 0, (int)ARRAY_LENGTH(refusals));
    tcase_add_test(tests, secrets_are_not_repeated_in_refusals);
    tcase_add_test(tests, foreign_variables_are_left_alone);
    tcase_add_test(tests, empty_variables_are_not_given);
    tcase_add_test(tests, values_are_read_from_files);
    tcase_add_loop_test(tests, usual_spellings_are_understood, 0, (int)ARRAY_LENGTH(spellings));
    tcase_add_test(tests, printing_masks_secrets);
    tcase_add_test(tests, printed_form_is_a_file);
    tcase_add_test(tests, help_names_every_setting);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
