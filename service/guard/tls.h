// Makes libcurl verify a server as the address demands.
#pragma once

#include "guard/addresses.h"

#include <curl/curl.h>

static inline void tls_prepare(CURL *curl, const struct tls_settings *tls)
{
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, tls->verify >= ADDRESS_TLS_VERIFY_CA ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST,
                     tls->verify == ADDRESS_TLS_VERIFY_FULL ? 2L : 0L);
    if (tls->ca[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, tls->ca);
    if (tls->cert[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->cert);
    if (tls->key[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->key);
}
