/* log.c - one line per fact on stderr.
 * SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"debug", "info", "warn", "error"};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic int threshold = DA_LOG_WARN;

static void read_level(void)
{
  const char *wanted = getenv("DAHOST_LOG");
  for (int i = 0; wanted != NULL && i <= DA_LOG_ERROR; i++)
    if (strcmp(wanted, names[i]) == 0) atomic_store(&threshold, i);
}

void da_log_set_level(da_log_level level)
{
  (void)pthread_once(&once, read_level);
  atomic_store(&threshold, (int)level);
}

void da_log(da_log_level level, const char *event, const char *format, ...)
{
  (void)pthread_once(&once, read_level);
  if ((int)level < atomic_load(&threshold)) return;
  char line[2048];
  int at = snprintf(line, sizeof line, "%s %s ", names[level], event);
  va_list args;
  va_start(args, format);
  int more = vsnprintf(line + at, sizeof line - (size_t)at - 1, format, args);
  va_end(args);
  size_t len = (size_t)at + (more > 0 ? (size_t)more : 0);
  if (len > sizeof line - 2) len = sizeof line - 2;
  line[len++] = '\n';
  ssize_t written = write(STDERR_FILENO, line, len);
  (void)written; /* nobody is left to be told */
}
