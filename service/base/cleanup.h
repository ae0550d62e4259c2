// Compiler attributes that GCC and clang share: cleanup at the end of a scope, checked results,
// checked formats.
#pragma once

#include <stdlib.h>

// Runs fn(&variable) when the variable goes out of scope, on every path.
#define CLEANUP(fn) __attribute__((cleanup(fn)))

// The compiler warns when a caller ignores the function's result.
#define MUST_CHECK __attribute__((warn_unused_result))

// The compiler checks the arguments against the format. Parameters are numbered from 1.
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

// The struct that contains this member, from a pointer to the member.
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

// For `T *memory CLEANUP(free_memory) = malloc(...)`, whatever T is.
static inline void free_memory(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}
