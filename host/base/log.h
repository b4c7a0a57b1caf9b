/* log.h - one line per fact on stderr: `level event key=value`, or the same as one JSON object.
 *
 * Logged at the edges (sched, net, vm, cli), once, where a thing is handled. Engine and store stay silent and
 * return what a logger needs. One write(2) per line, so that lines of threads do not mix; what came from outside (ids,
 * paths) can neither break a line nor be taken for another key. Nobody logs a token or a value.
 * Level from DAHOST_LOG (debug, info, warn, error); default warn.
 *
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_LOG_H
#define DA_BASE_LOG_H

#include "bytes.h"

typedef enum da_log_level { DA_LOG_DEBUG, DA_LOG_INFO, DA_LOG_WARN, DA_LOG_ERROR } da_log_level;
typedef enum da_log_format { DA_LOG_TEXT, DA_LOG_JSON } da_log_format;

/* The format is pairs, `key=%d key="%s"`; a quote inside of a quoted value is fine, a blank in a bare one is not. */
void da_log(da_log_level level, const char *event, const char *format, ...) DA_PRINTF(3, 4);
void da_log_set_level(da_log_level level);
void da_log_set_format(da_log_format format);
/* Lines go there instead of stderr, without a line end; from any thread, several at a time. NULL: stderr. Before the
 * first line. */
void da_log_set_sink(void (*sink)(void *user, da_log_level level, da_slice line), void *user);
da_log_format da_log_get_format(void);

/* A line made piece by piece, written whatever the level is: for what has a switch of its own. */
typedef struct da_log_line {
  da_buf out;
  da_log_format format;
  da_log_level level;
} da_log_line;

void da_log_begin(da_log_line *line, da_log_level level, const char *event);
void da_log_add(da_log_line *line, const char *key, da_slice value);
void da_log_add_int(da_log_line *line, const char *key, int64_t value);
void da_log_end(da_log_line *line); /* writes and frees it */

#endif
