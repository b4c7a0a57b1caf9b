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
/* One line of JSON. */
void cli_show_json(const cJSON *row);
/* The view for people. */
void cli_show_record(const cJSON *row);
/* get --history. Returns the exit code. */
int cli_show_history(const cli_command *command);
/* --where: `each` (given) asked of every execution that fits, a line for each; `done` is what the line says. */
int cli_bulk(const cli_command *command, cJSON *each, const char *done);
int cli_bulk_migrate(const cli_command *command, da_bundle *bundle);
/* The rows of ps --steps, for people. */
void cli_show_steps(const cli_command *command, const cJSON *rows);
void cli_show_tree(const cJSON *rows);
/* Whichever --json asks for. */
void cli_show_row(const cli_command *command, const cJSON *row);

#endif
