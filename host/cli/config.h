/* config.h - settings: what is built in < the file < the environment < flags, and where each came from.
 *
 * Here:     reading and checking the settings a verb has (settings.h lists them), --config FILE, the variables of the
 *           Resonate server, --print-config.
 * Rule:     after cli_config_read() every value is of its type and within its bounds, and nobody parses it again. The
 *           flags of the command hold what is not built in, as if it had been given there.
 * Units:    a flag, or a variable DAHOST_*, has its unit (10s, 64M); in the file, and in variables RESONATE_*, a bare
 *           number is bytes or milliseconds.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_CONFIG_H
#define DA_CLI_CONFIG_H

#include "../base/arena.h"
#include "../engine/record.h"
#include "cli.h"

typedef enum cli_origin {
  CLI_BUILT_IN,
  CLI_FROM_FILE,
  CLI_FROM_SHARED,   /* RESONATE_SERVER__PORT */
  CLI_FROM_VARIABLE, /* DAHOST_PORT */
  CLI_FROM_FLAG,
} cli_origin;

typedef struct cli_config_value {
  cli_origin origin;
  const char *from;        /* "--port", "DAHOST_PORT"; of the file: with its line and the key */
  int line;                /* of the file */
  int64_t number;          /* NUMBER, BYTES; DURATION in ms; SWITCH: 0 or 1 */
  const char *text;        /* TEXT, SECRET, WORD; NULL: not set */
  const char *const *list; /* LIST: NULL-terminated; NULL: not set */
} cli_config_value;

typedef struct cli_config {
  const char *path; /* of the file, or NULL */
  cli_config_value values[CLI_SETTING_COUNT];
  da_arena arena;
} cli_config;

/* Fills in the settings that the verb has, and the command's flags. False: it was said what is wrong. */
bool cli_config_read(cli_command *command, cli_config *out);
void cli_config_free(cli_config *config);

/* `which` is a setting of the verb, of this type. */
int64_t cli_config_number(const cli_command *command, cli_flag_id which); /* or bytes, or ms */
bool cli_config_on(const cli_command *command, cli_flag_id which);
const char *cli_config_text(const cli_command *command, cli_flag_id which);        /* NULL: not set */
const char *const *cli_config_list(const cli_command *command, cli_flag_id which); /* NULL: not set */
bool cli_config_given(const cli_command *command, cli_flag_id which);              /* not built in */

/* The protocol's switches (section protocol) and retry_timeout. */
void cli_config_profile(const cli_command *command, da_profile *out);

/* Appends all of them as such a file, with where each came from behind it; secrets are left out. */
void cli_config_print(const cli_command *command, da_buf *out);

typedef struct cli_setting {
  const char *key;
  const char *text; /* what is built in, as a flag has it; NULL: nothing */
  const char *words;
  int64_t least;
  int64_t most;
  cli_setting_type type;
  bool shared;
} cli_setting;

extern const cli_setting cli_settings[CLI_SETTING_COUNT];

/* Appends the words of a WORD: "debug, info, warn or error". */
void cli_setting_words(const cli_setting *setting, da_buf *out);

static inline cli_flag_id cli_setting_flag(int index)
{
  return (cli_flag_id)(CLI_SETTING_FIRST + index);
}

#endif
