/* hear.h - what a process that runs scripts for others says on stderr of its executions.
 *
 * Output of scripts, what parks, fails or is missing; the end of executions. What scripts print while they load is kept
 * until it is said that all is ready.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_HEAR_H
#define DA_CLI_HEAR_H

#include "../vm/worker.h"
#include "cli.h"

/* All zero but for the command. */
typedef struct cli_hearing {
  const cli_command *command;
  da_buf early; /* what scripts printed so far */
  bool ready;
  da_buf told; /* what is said once */
} cli_hearing;

void cli_hear(cli_hearing *hearing, const da_event *event);
/* From now on output is printed as it comes. */
void cli_hear_ready(cli_hearing *hearing);
/* Prints what was kept: once it is said that all is ready, or that it will not be. */
void cli_hear_early(cli_hearing *hearing);
/* --log. Without it errors alone: what the log would warn of is said anyway. */
void cli_hear_log(const cli_command *command);

#endif
