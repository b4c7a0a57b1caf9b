/* rehearse.h - migrate --dry-run, and replays of histories.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_REHEARSE_H
#define DA_CLI_REHEARSE_H

#include "../vm/bundle.h"
#include "show.h"

/* Tells on stdout how the execution of the first operand would take to the bundle; returns the exit code. */
int cli_rehearse(const cli_command *command, da_bundle *bundle);

/* Runs every execution of a history (history.h) over its records with the bundle's code. *rows: an array, the caller's,
 * of {id, function, outcome, replayed, calls}, and `difference` where that code does not do what was recorded. A
 * malformed history is DA_EINVAL or DA_EVERSION, a script that does not load DA_ELUA, a missing function DA_ENOTFOUND.
 */
da_status DA_MUST_USE cli_replay_history(da_slice text, da_bundle *bundle, cJSON **rows, da_err *err);

#endif
