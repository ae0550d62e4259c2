// Loads the settings from four places: default, file, environment, flags. A typing mistake in any
// of them must not start a shop with limits that the operator did not intend.
//
// The places are applied over the table in settings.c, later ones taking precedence, and each
// setting records where its value came from. An unknown name is an error, like a bad value, and the
// error names the place and what was expected.
//
// The environment differs in two points, because others write into it. An empty variable counts as
// not set. A variable with our prefix that resembles no setting is passed over, and the caller is
// told; Kubernetes makes such variables for every Service called holdfast-....
//
// What breaks it: a mistyped variable that resembles no setting: it is passed over.
#include "config/config.h"

#include "base/text.h"
#include "config/settings.h"
#include "guard/addresses.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PREFIX "HOLDFAST_"
#define FILE_VARIABLE PREFIX "CONFIG"
#define FILE_SUFFIX "_FILE" // HOLDFAST_STORE_FILE names a file with the value of HOLDFAST_STORE

// Variables with our prefix that are expected and are not settings. A trailing * matches any rest.
static const char *const foreign[] = {
    FILE_VARIABLE,      // names the file
    PREFIX "SERVICE_*", // Kubernetes, for a Service called holdfast
    PREFIX "PORT",
    PREFIX "PORT_*", // the same
    PREFIX "TEST_*",
    PREFIX "PAUSE", // serve, in a build for tests
    PREFIX "BIN",   // ./dev test
    PREFIX "STACK_*",
    PREFIX "MYSQL", // ./dev
    NULL,
};

static enum rc failed(char *ret_error, enum rc rc, const char *format, ...) PRINTF_LIKE(3, 4);

static enum rc failed(char *ret_error, enum rc rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret_error, CONFIG_ERROR_MAX, format, args);
    va_end(args);
    return rc;
}

// `where` is "--lock.ttl_ms", "HOLDFAST_LOCK_TTL_MS" or "holdfast.ini line 3: lock.ttl_ms".
static enum rc apply(struct config *config, int index, const char *text, enum config_source source,
                     const char *where, char *ret_error)
{
    const struct setting *setting = &settings[index];
    char expected[CONFIG_ERROR_MAX];
    if (!setting_store(setting, text, config, expected)) {
        if (setting->type == SETTING_SECRET || setting->type == SETTING_ADDRESS)
            return failed(ret_error, RC_USAGE, "%s: expected %s", where, expected);
        return failed(ret_error, RC_USAGE, "%s: '%.60s' is not %s", where, text, expected);
    }
    config->origin[index].source = source;
    return RC_OK;
}

static enum rc apply_defaults(struct config *config, char *ret_error)
{
    enum rc rc = RC_OK;
    for (int i = 0; !rc && settings[i].name; i++)
        rc = apply(config, i, settings[i].fallback, SOURCE_DEFAULT, settings[i].name, ret_error);
    return rc;
}

static enum rc unknown(const char *where, const char *written, const char *name, char *ret_error)
{
    const char *nearest = setting_nearest(name);
    return failed(ret_error, RC_USAGE, "%s%s'%.80s' is not a setting; %s%s%s", where,
                  *where ? ": " : "", written, nearest ? "the nearest is '" : "",
                  nearest ? nearest : "see `holdfast --help` for all of them", nearest ? "'" : "");
}

// ---- the file -----------------------------------------------------------------------------------

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

// A # begins a comment at the start of a line or after a blank, so that a password may contain one.
static void cut_comment(char *line)
{
    for (char *c = line; *c; c++) {
        if (*c == '#' && (c == line || isspace((unsigned char)c[-1]))) {
            *c = '\0';
            return;
        }
    }
}

static enum rc apply_line(struct config *config, char *line, int number, char *ret_error)
{
    char where[CONFIG_TEXT_MAX + 2 * SETTING_NAME_MAX];
    (void)text_format(where, sizeof(where), "%s line %d", config->file, number);
    cut_comment(line);
    line = trim(line);
    if (!*line)
        return RC_OK;
    char *equals = strchr(line, '=');
    if (!equals)
        return failed(ret_error, RC_USAGE, "%s: expected `name = value`", where);
    *equals = '\0';
    char *name = trim(line);
    int index = setting_find(name);
    if (index < 0)
        return unknown(where, name, name, ret_error);
    if (config->origin[index].source == SOURCE_FILE)
        return failed(ret_error, RC_USAGE, "%s: %s is already set on line %d", where, name,
                      config->origin[index].line);
    size_t used = strlen(where);
    (void)text_format(where + used, sizeof(where) - used, ": %s", name);
    enum rc rc = apply(config, index, trim(equals + 1), SOURCE_FILE, where, ret_error);
    if (!rc)
        config->origin[index].line = number;
    return rc;
}

static void close_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static enum rc apply_file(struct config *config, const char *path, char *ret_error)
{
    if (!text_copy(config->file, sizeof(config->file), path))
        return failed(ret_error, RC_USAGE, "--config: the path is too long");
    FILE *file CLEANUP(close_file) = fopen(path, "re");
    if (!file)
        return failed(ret_error, RC_IO, "cannot open %s: %s", path, strerror(errno));
    char *line CLEANUP(free_memory) = NULL;
    size_t capacity = 0;
    ssize_t length;
    enum rc rc = RC_OK;
    for (int number = 1; !rc && (length = getline(&line, &capacity, file)) >= 0; number++) {
        if (strlen(line) != (size_t)length)
            return failed(ret_error, RC_USAGE, "%s line %d: contains a NUL byte", path, number);
        rc = apply_line(config, line, number, ret_error);
    }
    if (!rc && ferror(file))
        return failed(ret_error, RC_IO, "cannot read %s: %s", path, strerror(errno));
    return rc;
}

// ---- the environment ----------------------------------------------------------------------------

static bool is_foreign(const char *variable)
{
    for (size_t i = 0; foreign[i]; i++) {
        size_t length = strlen(foreign[i]);
        bool any_rest = foreign[i][length - 1] == '*';
        if (any_rest ? strncmp(variable, foreign[i], length - 1) == 0
                     : strcmp(variable, foreign[i]) == 0)
            return true;
    }
    return false;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text), end = strlen(suffix);
    return length >= end && strcmp(text + length - end, suffix) == 0;
}

// The variables that Kubernetes makes for a Service, such as HOLDFAST_REDIS_PORT_6379_TCP_ADDR.
static bool is_of_kubernetes(const char *variable, const char *value)
{
    const char *port = strstr(variable, "_PORT_");
    return ends_with(variable, "_SERVICE_HOST") || ends_with(variable, "_SERVICE_PORT") ||
           strstr(variable, "_SERVICE_PORT_") || (port && isdigit((unsigned char)port[6])) ||
           (ends_with(variable, "_PORT") && strstr(value, "://"));
}

// True if the shorter one is at the start or at the end of the longer one, in whole words.
static bool shares_words(const char *a, const char *b)
{
    const char *longer = strlen(a) > strlen(b) ? a : b, *shorter = longer == a ? b : a;
    size_t length = strlen(shorter), rest = strlen(longer) - length;
    return (strncmp(longer, shorter, length) == 0 && longer[length] == '_') ||
           (rest > 0 && longer[rest - 1] == '_' && strcmp(longer + rest, shorter) == 0);
}

// The variable that was probably meant, or NULL. The target has SETTING_NAME_MAX bytes.
static const char *nearest_variable(const char *variable, char *target)
{
    char name[SETTING_NAME_MAX];
    if (strncmp(variable, FILE_VARIABLE "_", strlen(FILE_VARIABLE "_")) == 0)
        return FILE_VARIABLE;
    (void)text_copy(name, sizeof(name), variable + strlen(PREFIX));
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    const char *nearest = setting_nearest(name);
    if (nearest) {
        setting_variable(&settings[setting_find(nearest)], target);
        return target;
    }
    for (int i = 0; settings[i].name; i++) {
        setting_variable(&settings[i], target);
        if (shares_words(variable + strlen(PREFIX), target + strlen(PREFIX)))
            return target;
    }
    return NULL;
}

#define VALUE_SIZE (CONFIG_TEXT_MAX + 3)

// Reads a value from the file that a variable names, without the line end behind it. The target
// has VALUE_SIZE bytes. A value that is too long for a setting is cut, but stays too long.
static enum rc read_value(const char *variable, const char *path, char *target, char *ret_error)
{
    FILE *file CLEANUP(close_file) = fopen(path, "re");
    size_t length = file ? fread(target, 1, VALUE_SIZE - 1, file) : 0;
    if (!file || ferror(file))
        return failed(ret_error, RC_IO, "%s: cannot read %.200s: %s", variable, path,
                      strerror(errno));
    if (memchr(target, '\0', length))
        return failed(ret_error, RC_USAGE, "%s: %.200s contains a NUL byte", variable, path);
    if (length > 0 && target[length - 1] == '\n')
        length--;
    if (length > 0 && target[length - 1] == '\r')
        length--;
    if (length == 0)
        return failed(ret_error, RC_USAGE, "%s: %.200s is empty", variable, path);
    target[length] = '\0';
    return RC_OK;
}

static enum rc apply_value(struct config *config, int index, const char *variable,
                           const char *value, bool is_file, char *ret_error)
{
    enum config_source source = is_file ? SOURCE_VARIABLE_FILE : SOURCE_ENVIRONMENT;
    enum config_source before = config->origin[index].source;
    char known[SETTING_NAME_MAX], content[VALUE_SIZE];
    if (before != source && (before == SOURCE_ENVIRONMENT || before == SOURCE_VARIABLE_FILE)) {
        setting_variable(&settings[index], known);
        return failed(ret_error, RC_USAGE,
                      "environment: %s and %s" FILE_SUFFIX " are both set; remove one", known,
                      known);
    }
    enum rc rc = is_file ? read_value(variable, value, content, ret_error) : RC_OK;
    return rc ? rc : apply(config, index, is_file ? content : value, source, variable, ret_error);
}

static enum rc apply_variable(struct config *config, const char *variable, const char *value,
                              char *ret_error)
{
    char known[SETTING_NAME_MAX];
    for (int i = 0; settings[i].name; i++) {
        setting_variable(&settings[i], known);
        size_t length = strlen(known);
        bool is_file =
            strncmp(known, variable, length) == 0 && strcmp(variable + length, FILE_SUFFIX) == 0;
        if (is_file || strcmp(known, variable) == 0)
            return apply_value(config, i, variable, value, is_file, ret_error);
    }
    if (is_foreign(variable))
        return RC_OK;
    const char *nearest =
        is_of_kubernetes(variable, value) ? NULL : nearest_variable(variable, known);
    if (nearest)
        return failed(ret_error, RC_USAGE,
                      "environment: '%.80s' is not a setting; the nearest is '%s'", variable,
                      nearest);
    size_t used = strlen(config->passed_over);
    (void)text_format(config->passed_over + used, CONFIG_TEXT_MAX - used, "%s%s", used ? ", " : "",
                      variable);
    return RC_OK;
}

static enum rc apply_environment(struct config *config, char *const *environment, char *ret_error)
{
    enum rc rc = RC_OK;
    for (char *const *entry = environment; !rc && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (strncmp(*entry, PREFIX, strlen(PREFIX)) != 0 || !equals || !equals[1])
            continue;
        char variable[2 * SETTING_NAME_MAX];
        (void)text_format(variable, sizeof(variable), "%.*s", (int)(equals - *entry), *entry);
        rc = apply_variable(config, variable, equals + 1, ret_error);
    }
    return rc;
}

static const char *environment_find(char *const *environment, const char *variable)
{
    size_t length = strlen(variable);
    for (char *const *entry = environment; *entry; entry++)
        if (strncmp(*entry, variable, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

// ---- flags --------------------------------------------------------------------------------------

struct flags {
    const char *values[CONFIG_SETTINGS_MAX]; // by setting, NULL if not given
    const char *file;
};

static bool is_own(const char *argument, const char *const *own_flags)
{
    for (size_t i = 0; own_flags && own_flags[i]; i++)
        if (strcmp(argument, own_flags[i]) == 0)
            return true;
    return false;
}

// Without 1 and 0, which may be the command's operands: `migrate down --lab 1`.
static bool is_truth(const char *text)
{
    static const char *const words[] = {"on", "off", "true", "false", "yes", "no"};
    for (size_t i = 0; text && i < ARRAY_LENGTH(words); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

// Reads the flag at argv[*at] and moves *at past it and its value.
static enum rc take_flag(int argc, char **argv, int *at, struct flags *flags, char *ret_error)
{
    char name[CONFIG_TEXT_MAX];
    const char *written = argv[(*at)++];
    const char *equals = strchr(written, '=');
    size_t length = equals ? (size_t)(equals - written) : strlen(written);
    (void)text_format(name, sizeof(name), "%.*s", (int)length, written);
    bool is_file = strcmp(name, "--config") == 0;
    int index = strncmp(name, "--", 2) == 0 ? setting_find(name + 2) : -1;
    if (index < 0 && !is_file)
        return unknown("", name, name + strspn(name, "-"), ret_error);

    const char *next = *at < argc ? argv[*at] : NULL;
    const char *value = equals ? equals + 1 : next;
    if (!equals && !is_file && settings[index].type == SETTING_TRUTH && !is_truth(next)) {
        value = "on";
    } else if (!equals) {
        if (!value || strncmp(value, "--", 2) == 0)
            return failed(ret_error, RC_USAGE, "%s needs a value", name);
        (*at)++;
    }
    if (is_file)
        flags->file = value;
    else
        flags->values[index] = value;
    return RC_OK;
}

static enum rc take_flags(int *argc, char **argv, const char *const *own_flags, struct flags *flags,
                          char *ret_error)
{
    int kept = 0, at = 0;
    while (at < *argc) {
        bool is_flag = argv[at][0] == '-' && argv[at][1] != '\0';
        if (!is_flag || is_own(argv[at], own_flags)) {
            argv[kept++] = argv[at++];
            continue;
        }
        enum rc rc = take_flag(*argc, argv, &at, flags, ret_error);
        if (rc)
            return rc;
    }
    *argc = kept;
    return RC_OK;
}

static enum rc apply_flags(struct config *config, const struct flags *flags, char *ret_error)
{
    enum rc rc = RC_OK;
    for (int i = 0; !rc && settings[i].name; i++) {
        char where[SETTING_NAME_MAX];
        (void)text_format(where, sizeof(where), "--%s", settings[i].name);
        if (flags->values[i])
            rc = apply(config, i, flags->values[i], SOURCE_FLAG, where, ret_error);
    }
    return rc;
}

enum rc config_load(int *argc, char **argv, char *const *environment, const char *const *own_flags,
                    struct config *ret_config, char *ret_error)
{
    struct config config = {0};
    struct flags flags = {0};
    enum rc rc = take_flags(argc, argv, own_flags, &flags, ret_error);
    if (rc)
        return rc;
    if (!flags.file)
        flags.file = environment_find(environment, FILE_VARIABLE);
    rc = apply_defaults(&config, ret_error);
    if (!rc && flags.file && *flags.file)
        rc = apply_file(&config, flags.file, ret_error);
    if (!rc)
        rc = apply_environment(&config, environment, ret_error);
    if (!rc)
        rc = apply_flags(&config, &flags, ret_error);
    const char *unsafe = !config.lab_constraints ? "lab.belts"
                         : !config.lab_demand    ? "lab.demand"
                         : !config.lock_fence    ? "lock.fence"
                                                 : NULL;
    if (!rc && !config.lab && unsafe)
        rc = failed(ret_error, RC_USAGE, "%s: off is for laboratory mode only; set lab as well",
                    unsafe);
    if (!rc && config.lock_max_hold_ms < config.lock_ttl_ms)
        rc = failed(ret_error, RC_USAGE, "lock.max_hold_ms: expected at least lock.ttl_ms (%lld)",
                    (long long)config.lock_ttl_ms);
    if (!rc)
        rc = lock_servers_check(config.redis, config.zookeeper, config.etcd, ret_error,
                                CONFIG_ERROR_MAX);
    if (!rc)
        *ret_config = config;
    return rc;
}
