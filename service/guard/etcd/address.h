// The setting `etcd`: where the members of one cluster listen, and who we are there.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ETCD_ENDPOINTS_MAX 8
#define ETCD_URL_MAX 160
#define ETCD_WORD_MAX 128

struct etcd_address {
    size_t n;
    char urls[ETCD_ENDPOINTS_MAX][ETCD_URL_MAX];       // "http://host:port"
    char user[ETCD_WORD_MAX], password[ETCD_WORD_MAX]; // "" if none
};

// `[http://][user:password@]host:port[,...]`, also https. One user serves for all members, named
// before any of them. False if the text cannot be understood.
bool etcd_address_parse(const char *text, struct etcd_address *ret_address);
