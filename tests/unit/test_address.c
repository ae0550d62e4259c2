// Tests of the parser of addresses, and of the mask that hides their secrets.
#include "base/address.h"

#include "base/text.h"
#include "suite.h"

#include <string.h>

static const struct address_scheme sql[] = {
    {"sql", 3306, false, false}, {"sqls", 3306, true, false}, {NULL, 0, false, false}};
static const struct address_option sql_options[] = {ADDRESS_TLS_OPTIONS,
                                                    {"connect-timeout", NULL, 1, 60},
                                                    {"socket", NULL, 0, 0},
                                                    {NULL, NULL, 0, 0}};
static const struct address_scheme cache[] = {
    {"cache", 6379, false, false}, {"unix", 0, false, true}, {NULL, 0, false, false}};
static const struct address_scheme bare[] = {{"", 0, false, false}, {NULL, 0, false, false}};

static const struct address_form forms[] = {
    {"store", "sql://FORM", ADDRESS_USER | ADDRESS_HOSTS | ADDRESS_PATH_REQUIRED, sql, sql_options},
    {"cache", "cache://FORM", ADDRESS_USER | ADDRESS_PATH | ADDRESS_SCHEMELESS, cache, NULL},
    {"listen", "HOST:PORT", ADDRESS_SCHEMELESS | ADDRESS_ANY_HOST | ADDRESS_PORT_ZERO, bare, NULL},
};
enum { STORE, CACHE, LISTEN };

// Writes what was understood: scheme user password [hosts] socket path tls options.
static void describe(const struct address *address, char *target, size_t size)
{
    char host[ADDRESS_HOST_MAX + 16];
    struct buffer text CLEANUP(buffer_release) = {0};
    buffer_format(&text, "%s u=%s p=%s [", address->scheme->name, address->user, address->password);
    for (size_t i = 0; i < address->n_hosts; i++) {
        ck_assert(address_host_text(&address->hosts[i], host, sizeof host));
        buffer_format(&text, "%s%s", i == 0 ? "" : " ", host);
    }
    buffer_format(&text, "] s=%s /%s", address->socket, address->path);
    for (size_t i = 0; i < address->n_options; i++)
        buffer_format(&text, " %s=%s", address->options[i].name, address->options[i].value);
    ck_assert(text_copy(target, size, text.data));
}

static const struct {
    int form;
    const char *text, *meaning;
} good[] = {
    {STORE, "sql://h/d", "sql u= p= [h:3306] s= /d"},
    {STORE, "SQL://h/d", "sql u= p= [h:3306] s= /d"},
    {STORE, "  sql://u@h:1/d ", "sql u=u p= [h:1] s= /d"},
    {STORE, "sql://u:p%40ss@db.example:3307/shop", "sql u=u p=p@ss [db.example:3307] s= /shop"},
    {STORE, "sql://u:p@s:s@h/d", "sql u=u p=p@s:s [h:3306] s= /d"},
    {STORE, "sql://u:p,w@h/d", "sql u=u p=p,w [h:3306] s= /d"},
    {STORE, "sql://%75:%2f%3F%23%25@h/a%2Fb", "sql u=u p=/?#% [h:3306] s= /a/b"},
    {STORE, "sql://u@[::1]/d", "sql u=u p= [[::1]:3306] s= /d"},
    {STORE, "sql://[fe80::1%25eth0]:7/d", "sql u= p= [[fe80::1%eth0]:7] s= /d"},
    {STORE, "sql://[fe80::1%eth0]:7/d", "sql u= p= [[fe80::1%eth0]:7] s= /d"},
    {STORE, "sql://u:p@a:1,b,[::2]:3,10.0.0.4:4/d",
     "sql u=u p=p [a:1 b:3306 [::2]:3 10.0.0.4:4] s= /d"},
    {STORE, "sql://a, b:2/d", "sql u= p= [a:3306 b:2] s= /d"},
    {STORE, "sql://my_db-1.svc:65535/d", "sql u= p= [my_db-1.svc:65535] s= /d"},
    {STORE, "sql://localhost:3307/d", "sql u= p= [localhost:3307] s= /d"},
    {STORE, "sql://u:p@/d?socket=/run/x.sock",
     "sql u=u p=p [] s=/run/x.sock /d socket=/run/x.sock"},
    {STORE, "sql://h/d?tls=verify-ca&ca=/a%20b.pem",
     "sql u= p= [h:3306] s= /d tls=verify-ca ca=/a b.pem"},
    {STORE, "sqls://h/d?Connect_Timeout=60", "sqls u= p= [h:3306] s= /d connect-timeout=60"},
    {STORE, "sql://h/d?", "sql u= p= [h:3306] s= /d"},
    {CACHE, "h", "cache u= p= [h:6379] s= /"},
    {CACHE, "h:1", "cache u= p= [h:1] s= /"},
    {CACHE, "cache://:secret@host:6379/0", "cache u= p=secret [host:6379] s= /0"},
    {CACHE, "u:p@h:1/2", "cache u=u p=p [h:1] s= /2"},
    {CACHE, "cache://h/", "cache u= p= [h:6379] s= /"},
    {CACHE, "unix:/run/r.sock", "unix u= p= [] s=/run/r.sock /"},
    {CACHE, "unix:///run/r%20.sock", "unix u= p= [] s=/run/r .sock /"},
    {CACHE, "unix://u:p@/run/r.sock", "unix u=u p=p [] s=/run/r.sock /"},
    {LISTEN, "127.0.0.1:8080", " u= p= [127.0.0.1:8080] s= /"},
    {LISTEN, "localhost:0", " u= p= [localhost:0] s= /"},
    {LISTEN, ":80", " u= p= [:80] s= /"},
    {LISTEN, "*:80", " u= p= [:80] s= /"},
    {LISTEN, "[::]:80", " u= p= [[::]:80] s= /"},
};

START_TEST(what_people_write_is_understood)
{
    struct address address;
    char error[ADDRESS_ERROR_MAX] = "", meaning[ADDRESS_TEXT_MAX];
    enum rc rc = address_parse(good[_i].text, &forms[good[_i].form], &address, error, sizeof error);
    ck_assert_msg(rc == RC_OK, "%s: %s", good[_i].text, error);
    describe(&address, meaning, sizeof meaning);
    ck_assert_str_eq(meaning, good[_i].meaning);
}
END_TEST

static const struct {
    int form;
    const char *text, *why;
} bad[] = {
    {STORE, "", "no scheme"},
    {STORE, "h/d", "no scheme"},
    {STORE, "postgres://h/d", "unknown scheme 'postgres'"},
    {STORE, "://h/d", "no scheme"},
    {STORE, "sql:h/d", "no scheme"},
    {STORE, "sql://", "nothing stands behind"},
    {STORE, "sql://h", "nothing stands behind"},
    {STORE, "sql://h/", "nothing stands behind"},
    {STORE, "sql:///d", "no host"},
    {STORE, "sql://u:SECRET@/d", "no host"},
    {STORE, "sql://u:SECRET@:3306/d", "no host"},
    {STORE, "sql://a,,b/d", "no host"},
    {STORE, "sql://a,/d", "no host"},
    {STORE, "sql://h:0/d", "1 to 65535"},
    {STORE, "sql://h:65536/d", "1 to 65535"},
    {STORE, "sql://h:99999999999999999999/d", "1 to 65535"},
    {STORE, "sql://h:/d", "1 to 65535"},
    {STORE, "sql://h:+1/d", "1 to 65535"},
    {STORE, "sql://h:33x/d", "1 to 65535"},
    {STORE, "sql://::1/d", "in brackets"},
    {STORE, "sql://[::1/d", "[::1]:8080"},
    {STORE, "sql://[::1]x/d", "[::1]:8080"},
    {STORE, "sql://[1.2.3.4]/d", "no IPv6 address"},
    {STORE, "sql://[::1%]/d", "no IPv6 address"},
    {STORE, "sql://[]/d", "no IPv6 address"},
    {STORE, "sql://1.2.3/d", "neither a name nor an IPv4"},
    {STORE, "sql://1.2.3.256/d", "neither a name nor an IPv4"},
    {STORE, "sql://ho st/d", "a character"},
    {STORE, "sql://h\xc3\xb6st/d", "a character"},
    {STORE, "sql://u:SECRET%@h/d", "% must be written as %25"},
    {STORE, "sql://u:SECRET%4@h/d", "% must be written as %25"},
    {STORE, "sql://u:SECRET%zz@h/d", "% must be written as %25"},
    {STORE, "sql://u:SECRET%00@h/d", "control character"},
    {STORE, "sql://u:SECRET/SECRET@h/d", "/ is written %2F"},
    {STORE, "sql://u:SECRET?SECRET@h/d", "? %3F"},
    {STORE, "sql://u:SECRET#SECRET@h/d", "# %23"},
    {STORE, "sql://u:SECRET@SECRET/SECRET@h/d", "/ is written %2F"},
    {STORE, "sql://h/d#x", "# is written as %23"},
    {STORE, "sql://u:SECRET@h/d?ssl-mode=REQUIRED", "no option 'ssl-mode'"},
    {STORE, "sql://h/d?password=SECRET", "no option 'password'"},
    {STORE, "sql://h/d?tls", "name=value"},
    {STORE, "sql://h/d?tls=maybe", "tls is one of off, on, unverified, verify-ca, verify-full"},
    {STORE, "sql://h/d?tls=on&tls=on", "given twice"},
    {STORE, "sql://h/d?ca=", "ca has no value"},
    {STORE, "sql://h/d?connect-timeout=0", "from 1 to 60"},
    {STORE, "sql://h/d?connect-timeout=1s", "from 1 to 60"},
    {STORE, "sqls://h/d?tls=off", "contradicts"},
    {STORE, "sql://h/d?tls=off&ca=/x", "contradicts"},
    {STORE, "sqls://h/d?tls=verify-ca", "needs ca=FILE"},
    {STORE, "sql://h/d?socket=/x", "exclude each other"},
    {STORE, "sql:///d?socket=x", "begin with /"},
    {CACHE, "", "no host"},
    {CACHE, "h/0?tls=on", "no options"},
    {CACHE, "a,b", "only one host"},
    {CACHE, "http://h", "unknown scheme 'http'"},
    {CACHE, "unix://h/run/r.sock", "exclude each other"},
    {CACHE, "unix://", "no path of a socket"},
    {LISTEN, "8080", "neither a name nor an IPv4"},
    {LISTEN, "h", "no port"},
    {LISTEN, "::", "in brackets"},
    {LISTEN, "u:SECRET@h:1", "no user"},
    {LISTEN, "h:1/x", "nothing may follow"},
    {LISTEN, "h:65536", "0 to 65535"},
};

START_TEST(what_is_refused_says_why)
{
    const struct address_form *form = &forms[bad[_i].form];
    struct address address = {.n_hosts = 77};
    char error[ADDRESS_ERROR_MAX] = "";
    enum rc rc = address_parse(bad[_i].text, form, &address, error, sizeof error);
    ck_assert_msg(rc == RC_USAGE, "%s", bad[_i].text);
    ck_assert_uint_eq(address.n_hosts, 77);
    ck_assert_msg(strstr(error, bad[_i].why) != NULL, "%s: %s", bad[_i].text, error);
    ck_assert_msg(strncmp(error, form->setting, strlen(form->setting)) == 0, "%s", error);
    ck_assert_msg(strstr(error, form->expected) != NULL, "%s", error);
    ck_assert_msg(strstr(error, "SECRET") == NULL, "%s", error);
}
END_TEST

START_TEST(lists)
{
    struct address found[3];
    char error[ADDRESS_ERROR_MAX], meaning[ADDRESS_TEXT_MAX];
    size_t n = 0;
    ck_assert_int_eq(address_parse_list("a:1, u:p@b/3 ,cache://[::1]:2", &forms[CACHE], 3, found,
                                        &n, error, sizeof error),
                     RC_OK);
    ck_assert_uint_eq(n, 3);
    describe(&found[1], meaning, sizeof meaning);
    ck_assert_str_eq(meaning, "cache u=u p=p [b:6379] s= /3");
    static const char *const refused[] = {"", "a,", ",a", "a,,b", "a,b,c,d", "a,http://b"};
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++)
        ck_assert_msg(address_parse_list(refused[i], &forms[CACHE], 3, found, &n, error,
                                         sizeof error) == RC_USAGE,
                      "%s", refused[i]);
    // The scheme holds for what follows.
    ck_assert_int_eq(
        address_parse_list("sqls://a/d,b/e", &forms[STORE], 3, found, &n, error, sizeof error),
        RC_OK);
    ck_assert_str_eq(found[1].scheme->name, "sqls");
}
END_TEST

START_TEST(what_tls_means)
{
    static const struct {
        const char *text;
        enum address_tls tls;
    } cases[] = {
        {"sql://h/d", ADDRESS_TLS_OFF},
        {"sql://h/d?tls=off", ADDRESS_TLS_OFF},
        {"sql://h/d?tls=on", ADDRESS_TLS_VERIFY_FULL},
        {"sql://h/d?ca=/x", ADDRESS_TLS_VERIFY_FULL},
        {"sqls://h/d", ADDRESS_TLS_VERIFY_FULL},
        {"sqls://h/d?tls=verify-ca&ca=/x", ADDRESS_TLS_VERIFY_CA},
        {"sqls://h/d?tls=unverified", ADDRESS_TLS_UNVERIFIED},
        {"sql://h/d?tls=verify-full", ADDRESS_TLS_VERIFY_FULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct address address;
        char error[ADDRESS_ERROR_MAX];
        ck_assert_int_eq(address_parse(cases[i].text, &forms[STORE], &address, error, sizeof error),
                         RC_OK);
        ck_assert_msg(address_tls(&address) == cases[i].tls, "%s", cases[i].text);
    }
}
END_TEST

START_TEST(loopback)
{
    static const char *const here[] = {"localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "::1"};
    static const char *const away[] = {"", "db", "10.0.0.1", "::", "127.example", "localhost.net"};
    struct address_host host = {.port = 1};
    for (size_t i = 0; i < ARRAY_LENGTH(here); i++) {
        ck_assert(text_copy(host.name, sizeof host.name, here[i]));
        ck_assert_msg(address_is_loopback(&host), "%s", here[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(away); i++) {
        ck_assert(text_copy(host.name, sizeof host.name, away[i]));
        ck_assert_msg(!address_is_loopback(&host), "%s", away[i]);
    }
}
END_TEST

START_TEST(the_mask_hides_secrets)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"sqlite:/a/b.db", "sqlite:/a/b.db"},
        {"host:6379", "host:6379"},
        {"sql://u@h/d", "sql://u@h/d"},
        {"sql://u:secret@h:1/d?tls=on", "sql://u:***@h:1/d?tls=on"},
        {"sql://:@h", "sql://:***@h"},
        {"sql://u:se@cr:et@h/d", "sql://u:***@h/d"},
        {"sql://u:se/cr?et@h/d", "sql://u:***@h/d"},
        {"sql://u:se,cret@h/d", "sql://u:***@h/d"},
        {"sql://u:se@cr,et@h/d", "sql://u:***@h/d"},
        {"sql://u:secret@a:1,b:2/d", "sql://u:***@a:1,b:2/d"},
        {"u:secret@h:1/2", "u:***@h:1/2"},
        {"a:1,b:2", "a:1,b:2"},
        {"cache://:one@a,cache://:two@b, u:three@c", "cache://:***@a,cache://:***@b, u:***@c"},
        {"a:1,u:secret@b:2", "a:1,u:***@b:2"},
        {"sql://h/d?password=secret&a=b&sslpassword=two",
         "sql://h/d?password=***&a=b&sslpassword=***"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char masked[ADDRESS_TEXT_MAX];
        address_mask(cases[i][0], masked, sizeof masked);
        ck_assert_str_eq(masked, cases[i][1]);
    }
}
END_TEST

// Any text is understood or refused with a sentence, without a crash (sanitizers see more).
static void try(const char *text)
{
    struct address list[3];
    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        char error[ADDRESS_ERROR_MAX] = "", masked[16];
        size_t n;
        enum rc rc = address_parse(text, &forms[i], &list[0], error, sizeof error);
        ck_assert_msg(rc == RC_OK || (rc == RC_USAGE && error[0] != '\0'), "%s", text);
        rc = address_parse_list(text, &forms[i], 3, list, &n, masked, sizeof masked);
        ck_assert_msg(rc == RC_OK || (rc == RC_USAGE && masked[0] != '\0'), "%s", text);
        address_mask(text, masked, sizeof masked);
    }
}

START_TEST(every_prefix_and_suffix)
{
    char text[ADDRESS_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        for (size_t length = 0; length < strlen(good[i].text); length++) {
            try(good[i].text + length);
            ck_assert(text_format(text, sizeof text, "%.*s", (int)length, good[i].text));
            try(text);
        }
    }
}
END_TEST

START_TEST(random_text)
{
    static const char letters[] = "sql://cache://unix:/@@::,,[]??&&==%%##tlsca0129 \x80\x01hu";
    uint64_t state = 42;
    for (int round = 0; round < 30000; round++) {
        char text[65];
        size_t length = (size_t)round % sizeof text;
        for (size_t i = 0; i < length; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            text[i] = letters[(state >> 33) % (sizeof letters - 1)];
        }
        text[length] = '\0';
        try(text);
    }
}
END_TEST

START_TEST(long_text)
{
    char text[4096];
    static const char *const heads[] = {"sql://", "sql://u:", "sql://u@h/",
                                        "sql://h/d?ca=", "unix:/"};
    for (size_t i = 0; i < ARRAY_LENGTH(heads); i++) {
        memset(text, 'a', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        memcpy(text, heads[i], strlen(heads[i]));
        try(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("address");
    TCase *addresses = suite_case(suite, "addresses", 60);
    tcase_add_loop_test(addresses, what_people_write_is_understood, 0, ARRAY_LENGTH(good));
    tcase_add_loop_test(addresses, what_is_refused_says_why, 0, ARRAY_LENGTH(bad));
    tcase_add_test(addresses, lists);
    tcase_add_test(addresses, what_tls_means);
    tcase_add_test(addresses, loopback);
    tcase_add_test(addresses, the_mask_hides_secrets);
    tcase_add_test(addresses, every_prefix_and_suffix);
    tcase_add_test(addresses, random_text);
    tcase_add_test(addresses, long_text);
    return suite_run(suite);
}
