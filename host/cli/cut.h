/* cut.h - ps --cut: executions that were ended from outside while calls of theirs were still to be undone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_CUT_H
#define DA_CLI_CUT_H

#include "cli.h"

/* Lists them with what was not undone; returns the exit code. */
int cli_cut(const cli_command *command);

#endif
