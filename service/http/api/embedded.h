// Files compiled into the program by cmake/Embed.cmake.
#pragma once

#include "http/wire/strict.h"

#include <stddef.h>
#include <stdint.h>

extern const char embedded_openapi_yaml[]; // api/openapi.yaml
extern const size_t embedded_openapi_yaml_length;

// A page for browsers, or a file that a page loads.
struct embedded_page {
    const char *path; // of its address
    const char *type; // Content-Type
    struct slice text;
    int64_t tag; // derived from the text; never 0
};

// Both end with an entry whose path is NULL.
extern const struct embedded_page embedded_pages[];    // api/web, guide and clients
extern const struct embedded_page embedded_vendored[]; // swagger-ui-dist; may be empty
