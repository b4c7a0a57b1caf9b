/* log.c - one line per fact on stderr.
 * SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

static const char *const names[] = {"debug", "info", "warn", "error"};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic int threshold = DA_LOG_WARN;
static _Atomic int wanted_format = DA_LOG_TEXT;
static void (*sink_fn)(void *user, da_log_level level, da_slice line);
static void *sink_user;

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

void da_log_set_format(da_log_format format)
{
  atomic_store(&wanted_format, (int)format);
}

void da_log_set_sink(void (*sink)(void *user, da_log_level level, da_slice line), void *user)
{
  sink_fn = sink;
  sink_user = user;
}

da_log_format da_log_get_format(void)
{
  return (da_log_format)atomic_load(&wanted_format);
}

/* ---- pieces -------------------------------------------------------------------------------------------- */

/* "2026-11-26T07:00:00.123Z" */
static void add_time(da_buf *out)
{
  struct timespec now;
  struct tm parts;
  char text[32];
  (void)clock_gettime(CLOCK_REALTIME, &now);
  (void)gmtime_r(&now.tv_sec, &parts);
  (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  da_buf_addf(out, "{\"time\":\"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
}

/* Is it told from what stands around it without quotes? */
static bool is_bare(da_slice value)
{
  for (size_t i = 0; i < value.len; i++) {
    unsigned char c = (unsigned char)value.ptr[i];
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') return false;
  }
  return value.len > 0;
}

void da_log_begin(da_log_line *line, da_log_level level, const char *event)
{
  *line = (da_log_line){.format = da_log_get_format(), .level = level};
  if (line->format == DA_LOG_JSON) {
    add_time(&line->out);
    da_buf_addf(&line->out, ",\"level\":\"%s\",\"event\":\"%s\"", names[level], event);
  } else {
    da_buf_addf(&line->out, "%s %s", names[level], event);
  }
}

void da_log_add(da_log_line *line, const char *key, da_slice value)
{
  da_buf_addf(&line->out, line->format == DA_LOG_JSON ? ",\"%s\":" : " %s=", key);
  if (line->format == DA_LOG_TEXT && is_bare(value))
    da_buf_add_slice(&line->out, value);
  else
    da_text_quote_lossy(&line->out, value);
}

void da_log_add_int(da_log_line *line, const char *key, int64_t value)
{
  da_buf_addf(&line->out, line->format == DA_LOG_JSON ? ",\"%s\":%lld" : " %s=%lld", key, (long long)value);
}

void da_log_end(da_log_line *line)
{
  if (line->format == DA_LOG_JSON) da_buf_add_byte(&line->out, '}');
  if (sink_fn != NULL) {
    sink_fn(sink_user, line->level, da_buf_slice(&line->out));
    da_buf_free(&line->out);
    return;
  }
  da_buf_add_byte(&line->out, '\n');
  ssize_t written = write(STDERR_FILENO, line->out.ptr, line->out.len);
  (void)written; /* nobody is left to be told */
  da_buf_free(&line->out);
}

/* ---- pairs --------------------------------------------------------------------------------------------- */

static bool is_key_byte(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* Does `key=` stand here, behind a blank? Then its length without '='. */
static size_t key_at(da_slice text, size_t at)
{
  size_t len = 0;
  while (at + len < text.len && is_key_byte(text.ptr[at + len])) len++;
  return len > 0 && at + len < text.len && text.ptr[at + len] == '=' ? len : 0;
}

/* Where the value ends that begins at `at`: behind its closing quote, or before the blank in front of the next key. */
static size_t value_end(da_slice text, size_t at, bool quoted)
{
  for (size_t i = at; i < text.len; i++) {
    bool last = i + 1 == text.len || (text.ptr[i + 1] == ' ' && key_at(text, i + 2) > 0);
    if (last && (!quoted || text.ptr[i] == '"')) return i + 1;
  }
  return text.len;
}

static void add_pairs(da_log_line *line, da_slice text)
{
  size_t at = 0;
  while (at < text.len) {
    char key[64];
    int64_t number;
    size_t len = key_at(text, at);
    (void)snprintf(key, sizeof key, "%.*s", len > 0 ? (int)len : 4, len > 0 ? text.ptr + at : "text");
    if (len > 0) at += len + 1;
    bool quoted = at < text.len && text.ptr[at] == '"';
    size_t end = value_end(text, quoted ? at + 1 : at, quoted);
    da_slice value = da_slice_make(text.ptr + at, end - at);
    bool closed = quoted && value.len >= 2 && value.ptr[value.len - 1] == '"';
    if (closed) value = da_slice_make(value.ptr + 1, value.len - 2);
    if (!quoted && da_text_read_int(value, &number))
      da_log_add_int(line, key, number);
    else
      da_log_add(line, key, value);
    at = end;
    while (at < text.len && text.ptr[at] == ' ') at++;
  }
}

void da_log(da_log_level level, const char *event, const char *format, ...)
{
  (void)pthread_once(&once, read_level);
  if ((int)level < atomic_load(&threshold)) return;
  char text[2048];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  da_log_line line;
  da_log_begin(&line, level, event);
  if (len > 0) add_pairs(&line, da_slice_make(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1));
  da_log_end(&line);
}
