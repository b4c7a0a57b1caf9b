/* scripts.h - the files of a process that runs scripts for others: its operands, what they define, loading them again.
 *
 * Here:     [GROUP=]FILE to groups and bundles; names that two files give; what is said of a file that changed.
 * May not:  know whether the promises lie here or on a server elsewhere.
 * Life:     cli_scripts_read(), then a worker is made for its targets and set, then cli_scripts_load(); bundles and
 *           addresses are kept as long as the process.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SCRIPTS_H
#define DA_CLI_SCRIPTS_H

#include "../base/limits.h"
#include "../vm/worker.h"
#include "cli.h"

/* One operand. */
typedef struct cli_script {
  const char *path;
  size_t group;      /* among the targets */
  da_bundle *bundle; /* what is served of it */
} cli_script;

typedef struct cli_scripts {
  const cli_command *command;
  da_worker *worker; /* set by its owner before anything is loaded */
  cli_script list[CLI_OPERANDS_MAX];
  size_t count;
  da_slice targets[DA_GROUPS_MAX]; /* addresses of the groups; first that of files which name none */
  size_t target_count;
} cli_scripts;

/* Reads the operands; `scripts` is all zero. Returns 0, or an exit code once it is said what is wrong. */
int cli_scripts_read(cli_scripts *scripts, const cli_command *command);
/* Loads all of them, serves them, and looks for what two of them define. */
da_status DA_MUST_USE cli_scripts_load(cli_scripts *scripts, da_err *err);
/* Writes the schedules of all of them, and says what comes of it. */
void cli_scripts_declare(cli_scripts *scripts);
/* Reads all of them again; says of each what came of it. What cannot be loaded stays as it was. */
void cli_scripts_reload(cli_scripts *scripts);
/* Appends "order (order.lua); gpu: encode, step.cut (render_gpu.lua)". */
void cli_scripts_list(const cli_scripts *scripts, da_buf *out);

#endif
