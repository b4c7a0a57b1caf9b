/* rehearse.h - how an execution would take to other code, for migrate, and replays of histories.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_REHEARSE_H
#define DA_CLI_REHEARSE_H

#include "../vm/bundle.h"
#include "show.h"

/* Runs execution `id`, and what it called, over its records with the code of the bundle, carrying out nothing. What
 * would come of it is told on stdout: always (CLI_TELL), or only if it would be parked (CLI_TELL_PARKED). Returns
 * CLI_EXIT_OK, CLI_EXIT_REJECTED or CLI_EXIT_PARKED for what would become of it, with *ran set; or another code, with
 * words told. */
typedef enum cli_tell { CLI_TELL, CLI_TELL_PARKED } cli_tell;
int cli_rehearse(const cli_command *command, const char *id, da_bundle *bundle, cli_tell tell, bool *ran);

/* Runs every execution of a history (history.h) over its records with the bundle's code. *rows: an array, the caller's,
 * of {id, function, outcome, replayed, calls}, and `difference` where that code does not do what was recorded. A
 * malformed history is DA_EINVAL or DA_EVERSION, a script that does not load DA_ELUA, a missing function DA_ENOTFOUND.
 */
da_status DA_MUST_USE cli_replay_history(da_slice text, da_bundle *bundle, cJSON **rows, da_err *err);

#endif
