/* status.c - words for failures, and the end of a process that found itself wrong.
 * SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *da_status_text(da_status status)
{
  switch (status) {
  case DA_OK:
    return "ok";
#define X(value, name, text) \
  case DA_##name:            \
    return text;
    DA_STATUS_MAP(X)
#undef X
  }
  return "unknown status";
}

const char *da_status_name(da_status status)
{
  switch (status) {
  case DA_OK:
    return "OK";
#define X(value, name, text) \
  case DA_##name:            \
    return #name;
    DA_STATUS_MAP(X)
#undef X
  }
  return "UNKNOWN";
}

da_status da_fail(da_err *err, da_status status, const char *format, ...)
{
  if (err == NULL) return status;
  char whole[8 * sizeof err->text];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(whole, sizeof whole, format, args);
  va_end(args);
  size_t used = len < 0 ? 0 : (size_t)len < sizeof whole ? (size_t)len : sizeof whole - 1;
  /* What is too long is a path or an id: it loses its middle, since the reason and the mend stand at the end. */
  size_t room = sizeof err->text - 1;
  size_t half = (room - 3) / 2;
  if (used <= room) {
    memcpy(err->text, whole, used);
    err->text[used] = '\0';
  } else {
    (void)snprintf(err->text, sizeof err->text, "%.*s...%s", (int)half, whole, whole + used - half);
  }
  return status;
}

_Noreturn void da_assert_failed(const char *file, int line, const char *what, long long a, long long b)
{
  (void)fprintf(stderr, "%s:%d: assertion failed: %s (left %lld, right %lld)\n", file, line, what, a, b);
  abort();
}
