/* hear.c - events of executions, as lines for people.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hear.h"

#include <string.h>
#include <unistd.h>

#include "../base/id.h"
#include "../base/log.h"
#include "config.h"
#include "event.h"
#include "text.h"
#include "value.h"

static void print_output(da_slice text)
{
  da_buf line = {0};
  if (da_log_get_format() == DA_LOG_JSON) {
    da_log_line object;
    da_log_begin(&object, DA_LOG_INFO, "output");
    da_log_add(&object, "text", text);
    da_log_end(&object);
    return;
  }
  if (isatty(STDERR_FILENO))
    cli_clean_output(&line, text);
  else
    da_buf_add_slice(&line, text);
  da_buf_add_byte(&line, '\n');
  for (size_t done = 0; done < line.len;) {
    ssize_t n = write(STDERR_FILENO, line.ptr + done, line.len - done);
    if (n <= 0) break;
    done += (size_t)n;
  }
  da_buf_free(&line);
}

static void hear_output(cli_hearing *h, da_slice text)
{
  if (h->ready) {
    print_output(text);
    return;
  }
  if (h->early.len > 0) da_buf_add_byte(&h->early, '\n');
  da_buf_add_slice(&h->early, text);
}

static void say_attempt(const cli_hearing *h, const da_event *event)
{
  da_buf words = {0};
  da_buf code = {0};
  cli_value_error_text(event->text, &words, &code);
  da_slice line = da_buf_slice(&words);
  ptrdiff_t end = da_slice_find(line, '\n');
  if (end >= 0) line.len = (size_t)end;
  cli_note(h->command, "%.*s attempt %d failed: %.*s", DA_FMT(event->child), event->attempt, DA_FMT(line));
  da_buf_free(&words);
  da_buf_free(&code);
}

void cli_hear(cli_hearing *h, const da_event *event)
{
  switch (event->kind) {
  case DA_EVENT_OUTPUT:
    hear_output(h, event->text);
    break;
  case DA_EVENT_PARKED:
    (void)cli_fail(0, "%.*s parked: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
    break;
  case DA_EVENT_COMPLETED:
    if (da_id_rest(event->execution).len > 0) break; /* its parent tells */
    cli_note(h->command, "%.*s %s", DA_FMT(event->execution), cli_state_name(event->state));
    break;
  case DA_EVENT_ATTEMPT:
    say_attempt(h, event);
    break;
  case DA_EVENT_UNSERVED:
    if (cli_first_time(&h->told, event->func))
      (void)cli_fail(0, "%.*s: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
    break;
  case DA_EVENT_STARTED:
  case DA_EVENT_RESTARTED:
  case DA_EVENT_AGAIN:
  case DA_EVENT_RESUMED:
  case DA_EVENT_CALLED:
  case DA_EVENT_REPLAYED:
  case DA_EVENT_PROGRESS:
  case DA_EVENT_SETTLED:
  case DA_EVENT_SUSPENDED:
    break;
  }
}

void cli_hear_ready(cli_hearing *h)
{
  h->ready = true;
}

void cli_hear_early(cli_hearing *h)
{
  if (h->early.len > 0) print_output(da_buf_slice(&h->early));
  da_buf_free(&h->early);
}

void cli_hear_log(const cli_command *command)
{
  static const char *const names[] = {"debug", "info", "warn", "error"};
  const char *level = cli_config_text(command, CLI_LOG);
  da_log_set_level(DA_LOG_ERROR);
  for (int i = DA_LOG_DEBUG; level != NULL && i <= DA_LOG_ERROR; i++)
    if (strcmp(level, names[i]) == 0) da_log_set_level((da_log_level)i);
}
