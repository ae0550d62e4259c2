// The reports of a run: a table for the terminal, JSON for machines, a web page with charts, and
// the progress line. Functions with an `out` append to it; out->failed is set if memory ran out.
#pragma once

#include "base/cleanup.h"
#include "base/text.h"
#include "report/summary.h"

#include <stdio.h>

void report_table(const struct summary *summary, struct buffer *out);

// One object; loadtest/reports.md lists its members.
void report_json(const struct summary *summary, struct buffer *out);

// One self-contained page: no other file, no network, no cookie; light and dark; phone and desktop.
void report_html(const struct summary *summary, struct buffer *out);

// The progress line, without a line feed, at most `columns` wide. `recent` covers the last recent_s
// seconds. progress: 0 to 1, or negative if unknown.
void report_live(const struct measure *recent, double recent_s, const struct measure *total,
                 double elapsed_s, double progress, size_t columns, struct buffer *out);

// Both write to the terminal, without the control characters that a server's text may contain. All
// output of the commands passes through them.
//
// report_print: the lines of the text. False if they could not be written.
MUST_CHECK bool report_print(FILE *out, const struct buffer *text);
// report_error: "holdfast-load COMMAND: ERROR", a line on standard error.
void report_error(const char *command, const char *error);

// Whether a report can be saved at the path. Leaves no file behind. False with a sentence in
// ret_error (HISTORY_ERROR_MAX bytes). For the time before a long run.
MUST_CHECK bool report_can_save(const char *path, char *ret_error);

// Whether both paths name one file, under any name, or would if they were written to. Special
// files, such as /dev/null, are one only under one name.
bool report_same_file(const char *one, const char *other);

// Writes the file atomically, so a full disk leaves no half report; a path that is not a regular
// file is written to directly. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool report_save(const char *path, const struct buffer *text, char *ret_error);
