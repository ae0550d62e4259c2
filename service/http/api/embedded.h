// Files compiled into the program by cmake/EmbedFile.cmake.
#pragma once

#include <stddef.h>

extern const char embedded_openapi_yaml[]; // api/openapi.yaml
extern const size_t embedded_openapi_yaml_length;
