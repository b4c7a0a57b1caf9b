/* show.h - asking for rows, and how a record looks to a person.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SHOW_H
#define DA_CLI_SHOW_H

#include "cli.h"

/* Asks, and keeps the rows; `given` is deleted, *rows is the caller's. Returns the exit code. */
int cli_ask_rows(const cli_command *command, cJSON *given, bool create, cJSON **rows);
/* One line of JSON. */
void cli_show_json(const cJSON *row);
/* The view for people. */
void cli_show_record(const cJSON *row);
/* get --history. Returns the exit code. */
int cli_show_history(const cli_command *command);
/* The rows of ps --steps, for people. */
void cli_show_steps(const cli_command *command, const cJSON *rows);
void cli_show_tree(const cJSON *rows);
/* Whichever --json asks for. */
void cli_show_row(const cli_command *command, const cJSON *row);

#endif
