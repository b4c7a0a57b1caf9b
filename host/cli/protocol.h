/* protocol.h - a verb's words as a request of the Resonate protocol, asked of the server or the store that is meant.
 *
 * Here:     the data of a request, member by member from operands and flags; the answer, shown.
 * May not:  judge what the server, or the engine, judges: ids, limits, states of tasks.
 * Walk:     cli_data_begin(), members, cli_data_ask(). A member whose flag is wrong says so and makes the rest do
 *           nothing.
 * Threads:  one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_PROTOCOL_H
#define DA_CLI_PROTOCOL_H

#include "answer.h"
#include "cli.h"

typedef struct cli_data {
  const cli_command *command;
  da_buf text;    /* "{..." without its end; owned */
  int64_t now_ms; /* of this command */
  int code;       /* of what was wrong, which is said; else 0 */
} cli_data;

/* Prints the data of an answer, or what it refuses. Returns the exit code. */
int cli_answer_show(const cli_command *command, const cli_answer *answer);

cli_data cli_data_begin(const cli_command *command);
/* Adds the end, asks, shows the answer, frees. Returns the exit code. */
int cli_data_ask(cli_data *data, const char *kind);

/* Operand i, which help calls `what`. */
void cli_data_operand(cli_data *data, const char *name, size_t i, const char *what);
/* Members whose flag was not given are left out, unless they are needed: then that is said. */
typedef enum cli_need { CLI_OPTIONAL, CLI_NEEDED } cli_need;
void cli_data_text(cli_data *data, const char *name, cli_flag_id flag, cli_need need);
void cli_data_int(cli_data *data, const char *name, cli_flag_id flag, cli_need need);
void cli_data_duration(cli_data *data, const char *name, cli_flag_id flag, cli_need need);
/* begin: '{' or '['. */
void cli_data_json(cli_data *data, const char *name, cli_flag_id flag, char begin, cli_need need);
void cli_data_tags(cli_data *data, const char *name, cli_flag_id flag);
/* A value of the protocol. encode: its data becomes base64, else it must be a string. */
void cli_data_value(cli_data *data, const char *name, cli_flag_id flag, bool encode);
/* The value whose data is the base64 of this JSON. */
void cli_data_encoded(cli_data *data, const char *name, da_slice json);
/* Now and the flag's duration, and delay_ms; not given: default_ms, of which DA_TIME_MAX is no deadline. */
void cli_data_deadline(cli_data *data, cli_flag_id flag, int64_t delay_ms, int64_t default_ms);
/* One of the states (NULL behind the last), or none of them is said; sent as *sent if that is given, not NULL there. */
void cli_data_state(cli_data *data, const char *const *states, const char *const *sent);
void cli_data_limit(cli_data *data, int64_t default_limit);
/* An object is begun or ended. */
void cli_data_open(cli_data *data, const char *name);
void cli_data_close(cli_data *data);
/* What cli_fail() returned. */
void cli_data_fail(cli_data *data, int code);

#endif
