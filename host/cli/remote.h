/* remote.h - a Resonate server, asked one request after the other over HTTP.
 *
 * Here:     where the server is and what lets us in (--server, --token), one round of HTTP, and words for people where
 *           what comes back is no answer of the protocol.
 * May not:  ask twice: a request whose answer is lost may have been done.
 * Threads:  one; every call returns when the answer is there, on a loop of its own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_REMOTE_H
#define DA_CLI_REMOTE_H

#include "answer.h"
#include "cli.h"

typedef struct cli_remote cli_remote;

/* NULL: refused, said on stderr. */
cli_remote *cli_remote_new(const cli_command *command);
void cli_remote_delete(cli_remote *remote);
/* data: a JSON object. CLI_EXIT_OK if there is an answer, whatever its status; else why there is none was said. */
int cli_remote_ask(cli_remote *remote, const char *kind, da_slice data, cli_answer *answer);

#endif
