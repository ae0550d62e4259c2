// Settings: one table (settings.c) of name, type, default, limits and help drives the flags, the
// environment, the file, `holdfast config` and `--help`. A flag wins over the environment, the
// environment over the file, the file over the default.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

struct buffer;

#define CONFIG_TEXT_MAX 512
#define CONFIG_ERROR_MAX 640
#define CONFIG_SETTINGS_MAX 64

enum config_source {
    SOURCE_DEFAULT,
    SOURCE_FILE,
    SOURCE_ENVIRONMENT,
    SOURCE_VARIABLE_FILE, // the file that HOLDFAST_..._FILE names
    SOURCE_FLAG,
};

// The settings in force. Plain data. `const char *` members point to static words and are never
// NULL.
struct config {
    char listen[CONFIG_TEXT_MAX];
    char store[CONFIG_TEXT_MAX];
    char redis[CONFIG_TEXT_MAX]; // "" if none, as all texts below
    char zookeeper[CONFIG_TEXT_MAX];
    char etcd[CONFIG_TEXT_MAX];
    char auth_admin_token[CONFIG_TEXT_MAX];
    char auth_client_token[CONFIG_TEXT_MAX];
    // Names from the registry.
    const char *stock_strategy, *coupon_strategy, *lottery_strategy, *points_strategy,
        *reservation_strategy, *order_strategy;
    int64_t reservation_per_user, reservation_sweep_ms;
    const char *lock_wait;  // "fail", "spin", "notify"
    const char *log_level;  // "debug" ... "error"
    const char *log_format; // "text", "json"
    int64_t lock_ttl_ms, lock_wait_ms, lock_max_hold_ms, lock_tenure_ms, lock_partitions;
    int64_t combine_max_batch, workers, queue_limit;
    int64_t feed_limit, feed_poll_ms;
    int64_t http_threads, http_connections, request_timeout_ms, drain_delay_ms;
    bool lab, lab_demand, lock_fence;
    bool lab_constraints; // the setting lab.belts
    char lab_store[CONFIG_TEXT_MAX];

    // Where each value came from, in the table's order.
    struct {
        enum config_source source;
        int line; // SOURCE_FILE only
    } origin[CONFIG_SETTINGS_MAX];
    char file[CONFIG_TEXT_MAX]; // the file that was read, "" if none
    // Variables HOLDFAST_... that are not settings and resemble none, separated by commas, cut if
    // they are many; "" if none. The caller warns of them once the log is configured.
    char passed_over[CONFIG_TEXT_MAX];
};

// Loads the defaults, then the file that `--config FILE` or HOLDFAST_CONFIG names, then the
// environment, then the flags. HOLDFAST_NAME_FILE names a file that contains the value of
// HOLDFAST_NAME. A variable that is empty counts as not set. Removes `--name value` and
// `--name=value` from argv; a truth value may be left out (`--lab`). The operands remain, in order,
// and so do the command's own flags, which own_flags lists (ended by NULL).
//
// RC_USAGE with a sentence in ret_error (CONFIG_ERROR_MAX bytes) that names the mistake, what was
// expected and, for an unknown name, the nearest known one. RC_IO if the file cannot be read.
MUST_CHECK enum rc config_load(int *argc, char **argv, char *const *environment,
                               const char *const *own_flags, struct config *ret_config,
                               char *ret_error);

// Appends every setting as `name = value  # where it came from`, the format of the file. Secrets
// are masked.
void config_print(const struct config *config, struct buffer *out);

// Appends a paragraph for each setting, for --help.
void config_help(struct buffer *out);
