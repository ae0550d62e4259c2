// Scope-bound destruction for locals, as GCC and clang both offer it.
#pragma once

#include <stdlib.h>

// Runs fn(&variable) when the variable goes out of scope, on every path.
#define CLEANUP(fn) __attribute__((cleanup(fn)))

// The compiler complains when the result of such a function is dropped.
#define MUST_CHECK __attribute__((warn_unused_result))

// The compiler checks the arguments against the format, numbered from 1.
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

// The struct that holds this member, from a pointer to the member.
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

// For `T *memory CLEANUP(free_memory) = malloc(...)`, whatever T is.
static inline void free_memory(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}
