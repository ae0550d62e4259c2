// The version and the compiler of this build. CMake passes the version.
#pragma once

#ifndef HOLDFAST_VERSION
#define HOLDFAST_VERSION "0.0.0-unversioned"
#endif

#ifdef __clang__
#define HOLDFAST_COMPILER "clang " __clang_version__
#else
#define HOLDFAST_COMPILER "gcc " __VERSION__
#endif
