/* verbs.h - which verbs and flags there are.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_VERBS_H
#define DA_CLI_VERBS_H

#include "cli.h"

typedef struct cli_flag {
  const char *name;
  const char *metavar; /* NULL: a switch */
  const char *help;
} cli_flag;

extern const cli_flag cli_flags[CLI_FLAG_COUNT];
extern const cli_flag_set cli_repeated;   /* may be given several times */
extern const cli_flag_set cli_only_words; /* have no environment variable */
extern const cli_verb cli_verbs[];
extern const size_t cli_verb_count;

enum { CLI_VARIABLE_MAX = 80 };

/* "DAHOST_STEP_THREADS". */
void cli_variable_name(cli_flag_id which, char out[CLI_VARIABLE_MAX]);
/* Another variable of the same meaning, of the Resonate tools, or NULL. */
const char *cli_also_variable(cli_flag_id which);
/* The other row of its name, or NULL. */
const cli_verb *cli_verb_twin(const cli_verb *verb);
/* On stdout. */
void cli_print_help(const cli_verb *verb);
/* The list of the verbs, on stdout. */
void cli_print_overview(void);

#endif
