/* systemd.h - a service manager: sockets that it opened, and what it wants to be told (sd_listen_fds(3), sd_notify(3)).
 *
 * Both are a variable of the environment and a descriptor, so no library is needed.
 * Threads:  one, before others are started.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SYSTEMD_H
#define DA_CLI_SYSTEMD_H

#include "../base/bytes.h"

/* The sockets that were opened for this process, at most `max`. Afterwards no program that it starts takes them for its
 * own. */
size_t cli_systemd_sockets(int *fds, size_t max);
/* Lines of NAME=VALUE, if somebody wants to know: READY=1, STOPPING=1. */
void cli_systemd_notify(const char *format, ...) DA_PRINTF(1, 2);
/* RELOADING=1, with the instant that it demands. */
void cli_systemd_reloading(void);

#endif
