/* rehearse.h - migrate --dry-run.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_REHEARSE_H
#define DA_CLI_REHEARSE_H

#include "../vm/bundle.h"
#include "show.h"

/* Tells on stdout how the execution of the first operand would take to the bundle; returns the exit code. */
int cli_rehearse(const cli_command *command, da_bundle *bundle);

#endif
