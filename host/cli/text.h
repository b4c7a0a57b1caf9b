/* text.h - small texts for people: durations, times, nearest names, widths. No I/O.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_TEXT_H
#define DA_CLI_TEXT_H

#include "../base/arena.h"

/* "850 ms", "12 s", "3 min 20 s", "3 h", "2 d 4 h". Negative ones count as 0. */
void cli_duration_text(int64_t ms, char out[32]);
/* Local time as ISO 8601: "2026-11-23 15:14:26+01:00". */
void cli_time_text(int64_t ms, char out[40]);
/* Reads "250ms", "90", "1.5s", "1h30m", "3d", "2w"; without a unit: seconds. False if it is none, or beyond 2^53 ms. */
bool cli_duration_read(const char *text, int64_t *ms);
/* Reads "64M", "1g", "4096". */
bool cli_size_read(const char *text, size_t *bytes);

/* Edits (insert, delete, replace, swap neighbours) between two names; long ones are compared by their first 64 bytes.
 */
size_t cli_distance(da_slice a, da_slice b);
/* Offers each candidate in turn; afterwards best is the nearest one that is near enough to be what was meant, or empty.
 */
typedef struct cli_nearest {
  da_slice wanted;
  da_slice best; /* borrowed from a candidate */
  size_t distance;
} cli_nearest;
void cli_nearest_offer(cli_nearest *nearest, da_slice candidate);

/* Columns the text takes on a terminal, control bytes counted as the '?' that they become. */
size_t cli_width(da_slice text);
/* Appends text cut to `columns`, control bytes as '?', with an ellipsis where something was cut. */
void cli_fit(da_buf *out, da_slice text, size_t columns);
/* Appends text of unknown origin (a script's error, a name) for a terminal: control characters but line ends and tabs,
 * and malformed bytes, become '?'. */
void cli_clean(da_buf *out, da_slice text);
/* The same for what a script prints: colours stay, and end with it; a carriage return begins the line anew. */
void cli_clean_output(da_buf *out, da_slice text);
/* Appends a word as a shell would have to be given it. */
void cli_shell_word(da_buf *out, da_slice word);
/* Is this the first time that the key is told? `told` keeps those that were, some thousands at most. */
bool cli_first_time(da_buf *told, da_slice key);
/* Pads what was appended since `from` with spaces to `columns`. */
void cli_pad(da_buf *out, size_t from, size_t columns);

/* Appends help, broken anew so that it fits `columns`. Lines that begin with a space stay lines, and go on under their
 * second column ("  --flag  words"); of the others a paragraph is made, but where one ends early the break is meant. */
void cli_wrap(da_buf *out, da_slice text, size_t columns);

#endif
