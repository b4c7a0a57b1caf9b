/* log.h - one line per fact on stderr: `level event key=value`.
 *
 * Logged at the edges (sched, net, vm, cli), once, where a thing is handled. Engine and store stay silent and
 * return what a logger needs. One write(2) per line, so that lines of threads do not mix.
 * Level from DAHOST_LOG (debug, info, warn, error); default warn. Threads: any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_LOG_H
#define DA_BASE_LOG_H

#include "status.h"

typedef enum da_log_level { DA_LOG_DEBUG, DA_LOG_INFO, DA_LOG_WARN, DA_LOG_ERROR } da_log_level;

void da_log(da_log_level level, const char *event, const char *format, ...) DA_PRINTF(3, 4);
void da_log_set_level(da_log_level level);

#endif
