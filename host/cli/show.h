/* show.h - asking for rows, and how a record looks to a person.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SHOW_H
#define DA_CLI_SHOW_H

#include "../vm/bundle.h"
#include "cli.h"

/* Asks, and keeps the rows; `given` is deleted, *rows is the caller's. Returns the exit code. */
int cli_ask_rows(const cli_command *command, cJSON *given, bool create, cJSON **rows);
/* Adds what --tags says. False: it is no such thing; said. */
bool cli_add_tags(const cli_command *command, cJSON *json);
/* Is it the name of a tag of the runtime? */
bool cli_is_reserved_tag(da_slice name);
/* One line of JSON. */
void cli_show_json(const cJSON *row);
/* The view for people. */
void cli_show_record(const cJSON *row);
/* get --history. Returns the exit code. */
int cli_show_history(const cli_command *command);
/* --where: `each` (given) asked of every execution that fits, a line for each; `done` is what the line says. */
int cli_bulk(const cli_command *command, cJSON *each, const char *done);
int cli_bulk_migrate(const cli_command *command, da_bundle *bundle);
/* ---- parts --------------------------------------------------------------------------------------------- */

int64_t cli_row_int(const cJSON *row, const char *name); /* 0 if it is not there */
da_slice cli_state_words(da_slice state);
/* How long it has lasted, or lasted. */
void cli_lifetime(const cJSON *row, char out[32]);
/* Each appends to a line, `before` in front, or nothing: what is awaited; what was published, as far as there is room;
 * what a step under way says of itself, or has to say of its last attempt. */
void cli_add_awaits(da_buf *out, const cJSON *row, const char *before);
void cli_add_published_short(da_buf *out, const cJSON *row, const char *before);
void cli_add_step_state(da_buf *out, const cJSON *row, const char *before);
/* Adds --limit. False: it is none; said. */
bool cli_add_limit(const cli_command *command, cJSON *json);
/* Takes the row that says there are more out of the rows. */
bool cli_take_more(cJSON *rows);
void cli_print_rows(const cJSON *rows);
int cli_by_creation(const void *a, const void *b);
/* The rows in order; free() the list. */
const cJSON **cli_sorted_rows(const cJSON *rows, size_t *count, int (*order)(const void *a, const void *b));

/* The rows of ps --steps, for people. */
void cli_show_steps(const cli_command *command, const cJSON *rows);
void cli_show_tree(const cJSON *rows);
/* Whichever --json asks for. */
void cli_show_row(const cli_command *command, const cJSON *row);

#endif
