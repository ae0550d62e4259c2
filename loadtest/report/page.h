// report/page.html, compiled into the program by cmake/EmbedFile.cmake.
#pragma once

#include <stddef.h>

extern const char embedded_report_page[];
extern const size_t embedded_report_page_length;
