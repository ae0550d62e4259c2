// One parser for the addresses of all settings (store, redis, zookeeper, etcd, listen):
//
//     scheme://user:password@host:port,host:port/path?option=value&option=value
//
// A caller's const table says which of these parts are allowed. Pure text: no name is looked up, no
// file is opened. Any thread.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX 512 // a whole address, and each of its parts
#define ADDRESS_HOST_MAX 256
#define ADDRESS_USER_MAX 128
#define ADDRESS_HOSTS_MAX 16
#define ADDRESS_OPTIONS_MAX 8
#define ADDRESS_ERROR_MAX 768 // the longest sentence of an error

struct address_scheme {
    const char *name;
    unsigned port; // if none is written; 0: it must be written
    bool tls;      // the scheme asks for TLS
    bool socket;   // a Unix socket, `unix:/path` or `unix://user:password@/path`
};

struct address_option {
    const char *name;           // in small letters, with `-`; `_` and capitals are accepted for it
    const char *const *choices; // the allowed values, ended by NULL; NULL: see below
    int64_t min, max;           // max > 0: a whole number. Otherwise any text but an empty one.
};

enum address_flags {
    ADDRESS_SCHEMELESS = 1,     // without a scheme the first of the table is meant
    ADDRESS_USER = 2,           // a user and a password may be given
    ADDRESS_HOSTS = 4,          // several hosts, separated by commas
    ADDRESS_PATH = 8,           // a path may be given
    ADDRESS_PATH_REQUIRED = 16, // and must be
    ADDRESS_ANY_HOST = 32,      // an empty host, or `*`, stands for all interfaces: name is ""
    ADDRESS_PORT_ZERO = 64,     // port 0 is allowed
};

// What a setting allows. All texts are borrowed for good: use static ones.
struct address_form {
    const char *setting;  // begins every error
    const char *expected; // the form, as errors show it
    unsigned flags;
    const struct address_scheme *schemes; // ended by a NULL name
    // Ended by a NULL name; NULL: no options. The option `socket` takes the place of the hosts.
    const struct address_option *options;
};

struct address_host {
    char name[ADDRESS_HOST_MAX]; // a name, an IPv4 address, or an IPv6 address without brackets
    uint16_t port;
};

struct address {
    const struct address_scheme *scheme;                     // of the form's table
    char user[ADDRESS_USER_MAX], password[ADDRESS_TEXT_MAX]; // decoded; "" if none
    size_t n_hosts;                                          // 0 with a Unix socket
    struct address_host hosts[ADDRESS_HOSTS_MAX];
    char socket[ADDRESS_TEXT_MAX]; // decoded; "" if none
    char path[ADDRESS_TEXT_MAX];   // decoded, without the slash in front; "" if none
    size_t n_options;
    struct {
        const char *name; // of the form's table
        char value[ADDRESS_TEXT_MAX];
    } options[ADDRESS_OPTIONS_MAX];
};

// Parses one address. User, password, path and option values may be percent-encoded: % and #
// always are, / and ? where they stand in a password, and @ behind the host. RC_USAGE with a
// sentence in ret_error (of `size` bytes), which names the setting, the mistake, the form that is
// meant, and the text with its secrets masked.
MUST_CHECK enum rc address_parse(const char *text, const struct address_form *form,
                                 struct address *ret_address, char *ret_error, size_t size);

// Parses 1 to `max` addresses separated by commas, with or without blanks around them. An address
// without a scheme has that of the address before it. The form must not allow several hosts, and a
// comma in a password must be percent-encoded. Errors as above; ret_addresses is then undefined.
MUST_CHECK enum rc address_parse_list(const char *text, const struct address_form *form, size_t max,
                                      struct address *ret_addresses, size_t *ret_n, char *ret_error,
                                      size_t size);

// The value of an option, or NULL if it was not given.
const char *address_option(const struct address *address, const char *name);
// The same of an option that is a whole number.
int64_t address_option_int(const struct address *address, const char *name, int64_t fallback);

// How far TLS is demanded. A form that allows TLS has the options ADDRESS_TLS_OPTIONS.
enum address_tls {
    ADDRESS_TLS_OFF,
    ADDRESS_TLS_UNVERIFIED,  // encrypted, to whatever server answers
    ADDRESS_TLS_VERIFY_CA,   // the certificate is signed by a trusted authority
    ADDRESS_TLS_VERIFY_FULL, // and names the host
};
#define ADDRESS_TLS_OPTIONS                                                                        \
    {"tls", address_tls_words, 0, 0},                                                              \
    {                                                                                              \
        "ca", NULL, 0, 0                                                                           \
    }
extern const char *const address_tls_words[]; // off, on, unverified, verify-ca, verify-full

// A scheme with TLS, `tls=on` and `ca=FILE` alone all mean ADDRESS_TLS_VERIFY_FULL. address_parse
// has refused `tls=off` with either of the two others, and `tls=verify-ca` without `ca`: every
// certificate of a public authority would do.
enum address_tls address_tls(const struct address *address);

// Whether the host is this machine by its name: localhost, 127.0.0.0/8 or ::1.
bool address_is_loopback(const struct address_host *host);

// Writes host:port, or [host]:port for IPv6. False if it did not fit.
bool address_host_text(const struct address_host *host, char *target, size_t size);

// Copies an address, or a list of them, with each password and each option that looks like a secret
// replaced by `***`. Also of text that is no address: where in doubt, more is masked.
void address_mask(const char *text, char *target, size_t size);
