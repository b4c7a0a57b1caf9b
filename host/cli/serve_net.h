/* serve_net.h - the network side of `serve`: what the flags say of it, what is told of it, its metrics.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SERVE_NET_H
#define DA_CLI_SERVE_NET_H

#include "../net/server.h"
#include "../vm/worker.h"
#include "cli.h"

typedef struct cli_net cli_net;

/* Reads the flags. Returns 0, or an exit code once it is said what is wrong. */
int cli_net_new(const cli_command *command, cli_net **out);
/* Does it want to listen? Then workers of other processes may come. */
bool cli_net_listens(const cli_net *net);
/* Listens. Returns 0, or an exit code once it is said why not. The worker may be NULL. */
int cli_net_open(cli_net *net, da_sched *sched, da_worker *worker);
/* Says where it listens, and who could listen, too. */
void cli_net_say(const cli_net *net);
void cli_net_count(cli_net *net, const da_event *event);
/* The key of tokens, the certificate and its key are read again; says what came of it. False: there are none. */
bool cli_net_reload(cli_net *net);
/* The longest that cli_net_stop() may take. */
int64_t cli_net_stop_ms(const cli_net *net);
/* Also of one that was never opened. */
void cli_net_stop(cli_net *net, void (*stopped)(void *user), void *user);

#endif
