/* battery.c - what the libraries of natives that every host has share: errors, options, time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "battery.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bind.h"

const dahost_library_info *const battery_libraries[] = {&battery_exec, &battery_fs,   &battery_hash,
                                                        &battery_http, &battery_json, NULL};

int battery_add(dahost_library *library, const battery_native *natives, char *why, size_t why_size)
{
  for (; natives->name != NULL; natives++) {
    if (dahost_add(library, natives->name, natives->kind, natives->fn, NULL)) continue;
    (void)snprintf(why, why_size, "%s", dahost_library_error(library));
    return -1;
  }
  return 0;
}

/* ---- errors --------------------------------------------------------------------------------------------- */

/* What another attempt may find otherwise. */
static bool passes(int error)
{
  static const int passing[] = {EAGAIN, EBUSY, EDQUOT, EINTR, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, ESTALE, ETXTBSY};
  for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
    if (passing[i] == error) return true;
  return false;
}

void battery_fail_errno(dahost_call *call, int error, const char *format, ...)
{
  char text[800], code[32] = "error";
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const char *name = strerrorname_np(error), *words = strerrordesc_np(error);
  if (name != NULL) {
    size_t i = 0;
    for (; name[i] != '\0' && i + 1 < sizeof code; i++) code[i] = (char)tolower((unsigned char)name[i]);
    code[i] = '\0';
  }
  dahost_fail(call, code, "%s: %s", text, words != NULL ? words : "an unknown error");
  if (!passes(error)) dahost_fail_fatal(call);
}

bool battery_refuse(dahost_call *call, const char *format, ...)
{
  char text[800];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  dahost_fail(call, "bad_argument", "%s", text);
  dahost_fail_fatal(call);
  return false;
}

/* ---- options -------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *const *names, const char *name)
{
  for (; *names != NULL; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

static bool refuse_name(dahost_call *call, const char *what, const char *const *names, const char *name)
{
  char list[200] = "";
  size_t len = 0;
  for (; *names != NULL && len < sizeof list; names++)
    len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len > 0 ? ", " : "", *names);
  return battery_refuse(call, "unknown option '%.60s' of %s; it takes %s", name != NULL ? name : "[...]", what, list);
}

bool battery_options(dahost_call *call, int i, const char *what, const char *const *names, dahost_value *out)
{
  *out = 0;
  if (!dahost_opt_table(call, i, out)) return false;
  for (dahost_value key = 0, value = 0; dahost_next(call, *out, &key, &value);) {
    const char *name = dahost_type_of(call, key) == DAHOST_STRING ? dahost_to_string(call, key, NULL) : NULL;
    if (name == NULL || !is_one_of(names, name)) return refuse_name(call, what, names, name);
  }
  return true;
}

static dahost_value option(dahost_call *call, dahost_value options, const char *name)
{
  dahost_value value = options != 0 ? dahost_field(call, options, name) : 0;
  return dahost_type_of(call, value) > DAHOST_NIL ? value : 0;
}

bool battery_option_integer(dahost_call *call, dahost_value options, const char *what, const char *name, int64_t max,
                            int64_t *out)
{
  dahost_value value = option(call, options, name);
  if (value == 0) return true;
  dahost_type type = dahost_type_of(call, value);
  double number = type == DAHOST_INTEGER || type == DAHOST_NUMBER ? dahost_to_number(call, value) : -1;
  if (!(number >= 0) || number > (double)max || floor(number) != number)
    return battery_refuse(call, "option '%s' of %s must be an integer from 0 to %lld", name, what, (long long)max);
  *out = (int64_t)number;
  return true;
}

bool battery_option_flag(dahost_call *call, dahost_value options, const char *what, const char *name, bool *out)
{
  dahost_value value = option(call, options, name);
  if (value == 0) return true;
  if (dahost_type_of(call, value) != DAHOST_BOOLEAN)
    return battery_refuse(call, "option '%s' of %s must be true or false", name, what);
  *out = dahost_to_boolean(call, value);
  return true;
}

bool battery_option_text(dahost_call *call, dahost_value options, const char *what, const char *name, const char **out)
{
  size_t len = 0;
  dahost_value value = option(call, options, name);
  if (value == 0) return true;
  const char *text = dahost_to_string(call, value, &len);
  if (text == NULL || strlen(text) != len)
    return battery_refuse(call, "option '%s' of %s must be a string without a zero byte", name, what);
  *out = text;
  return true;
}

bool battery_duration_ms(dahost_call *call, dahost_value value, const char *what, int64_t *out)
{
  size_t len = 0;
  double ms = -1;
  dahost_type type = dahost_type_of(call, value);
  if (type <= DAHOST_NIL) return true;
  if (type == DAHOST_INTEGER || type == DAHOST_NUMBER) ms = dahost_to_number(call, value) * 1000;
  if (type == DAHOST_STRING) ms = bind_duration_of_text(dahost_to_string(call, value, &len));
  if (!(ms >= 0))
    return battery_refuse(call, "%s must be seconds as a number, or text like \"250ms\", \"1h30m\", \"3d\"", what);
  *out = ms >= 9e15 ? (int64_t)9e15 : (int64_t)ceil(ms);
  return true;
}

/* ---- time ----------------------------------------------------------------------------------------------- */

static int64_t clock_ms(clockid_t clock)
{
  struct timespec now;
  (void)clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t battery_tick_ms(void)
{
  return clock_ms(CLOCK_MONOTONIC);
}

bool battery_stopped(dahost_call *call)
{
  if (clock_ms(CLOCK_REALTIME) >= dahost_call_deadline(call))
    dahost_fail(call, "timedout", "its deadline has passed");
  else if (dahost_call_canceled(call))
    dahost_fail(call, "canceled", "nobody waits for it any more");
  else
    return false;
  return true;
}
