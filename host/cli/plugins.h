/* plugins.h - functions in C beside the program's own: what --plugin names, for every worker of this process.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_PLUGINS_H
#define DA_CLI_PLUGINS_H

#include "../vm/worker.h"
#include "cli.h"

/* Loads the command's plugins, once; an exit code, with its words said. Before the first worker. */
int cli_plugins_load(const cli_command *command);
/* Ends the process as it is: nothing waits for steps, and what they run outside of it is killed. Also from a signal
 * handler.
 */
_Noreturn void cli_plugins_leave(int code);
/* What each worker of this process has in common. */
da_worker_hooks cli_worker_hooks(void);

#endif
