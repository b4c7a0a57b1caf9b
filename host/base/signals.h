/* signals.h - whose the dispositions of this process's signals are.
 *
 * The program `dahost` takes SIGURG (vm/watch.c), SIGPIPE of step threads (vm/step_pool.c), SIGBUS and SIGSEGV of the
 * store's pages (store/guard.c). A program that embeds a host keeps all of them for itself.
 * Threads: set before anything else; read by any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_SIGNALS_H
#define DA_BASE_SIGNALS_H

#include <stdbool.h>

void da_signals_leave(void); /* from now on none is taken */
bool da_signals_ours(void);

#endif
