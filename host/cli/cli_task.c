/* cli_task.c - the task verbs, invoke, and who is to be resumed or told: what clients and workers do, by hand.
 *
 * The same with a server and with a store; with a store they are requests to the engine like those of a worker.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "../base/limits.h"
#include "../base/text.h"
#include "../net/envelope.h"
#include "json_text.h"
#include "protocol.h"
#include "text.h"

/* ---- tasks --------------------------------------------------------------------------------------------- */

static cli_data begin(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "id", 0, "ID");
  return data;
}

static int ask_of_id(const cli_command *command, const char *kind)
{
  cli_data data = begin(command);
  return cli_data_ask(&data, kind);
}

static int ask_of_version(const cli_command *command, const char *kind, const char *name, cli_flag_id flag, char opens)
{
  cli_data data = begin(command);
  cli_data_int(&data, "version", CLI_VERSION, CLI_NEEDED);
  if (name != NULL) cli_data_json(&data, name, flag, opens, CLI_NEEDED);
  return cli_data_ask(&data, kind);
}

int cli_task_get(const cli_command *command)
{
  return ask_of_id(command, "task.get");
}

int cli_task_halt(const cli_command *command)
{
  return ask_of_id(command, "task.halt");
}

int cli_task_continue(const cli_command *command)
{
  return ask_of_id(command, "task.continue");
}

int cli_task_release(const cli_command *command)
{
  return ask_of_version(command, "task.release", NULL, CLI_ACTION, '{');
}

int cli_task_fence(const cli_command *command)
{
  return ask_of_version(command, "task.fence", "action", CLI_ACTION, '{');
}

int cli_task_complete(const cli_command *command)
{
  return ask_of_version(command, "task.fulfill", "action", CLI_ACTION, '{');
}

int cli_task_suspend(const cli_command *command)
{
  return ask_of_version(command, "task.suspend", "actions", CLI_ACTIONS, '[');
}

int cli_task_claim(const cli_command *command)
{
  cli_data data = begin(command);
  cli_data_int(&data, "version", CLI_VERSION, CLI_NEEDED);
  cli_data_text(&data, "pid", CLI_PID, CLI_NEEDED);
  cli_data_duration(&data, "ttl", CLI_TTL, CLI_NEEDED);
  return cli_data_ask(&data, "task.acquire");
}

int cli_task_heartbeat(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_text(&data, "pid", CLI_PID, CLI_NEEDED);
  cli_data_json(&data, "tasks", CLI_TASKS, '[', CLI_NEEDED);
  return cli_data_ask(&data, "task.heartbeat");
}

int cli_task_create(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_text(&data, "pid", CLI_PID, CLI_NEEDED);
  cli_data_duration(&data, "ttl", CLI_TTL, CLI_NEEDED);
  cli_data_open(&data, "action");
  (void)cli_put_text(&data.text, "kind", DA_LIT("promise.create"));
  cli_data_open(&data, "head");
  (void)cli_put_text(&data.text, "corrId", DA_LIT("cli"));
  (void)cli_put_text(&data.text, "version", DA_LIT(DA_PROTOCOL_VERSION));
  cli_data_close(&data);
  cli_data_open(&data, "data");
  cli_data_operand(&data, "id", 0, "ID");
  cli_data_deadline(&data, CLI_TIMEOUT, 0, DA_TIME_MAX);
  cli_data_value(&data, "param", CLI_PARAM, false);
  cli_data_tags(&data, "tags", CLI_TAGS);
  cli_data_close(&data);
  cli_data_close(&data);
  return cli_data_ask(&data, "task.create");
}

int cli_task_search(const cli_command *command)
{
  static const char *const states[] = {"pending", "acquired", "suspended", "halted", "fulfilled", NULL};
  cli_data data = cli_data_begin(command);
  cli_data_state(&data, states, NULL);
  cli_data_limit(&data, 100);
  cli_data_text(&data, "cursor", CLI_CURSOR, CLI_OPTIONAL);
  return cli_data_ask(&data, "task.search");
}

/* ---- who is resumed, who is told ------------------------------------------------------------------------ */

int cli_promise_register_callback(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "awaited", 0, "AWAITED");
  cli_data_operand(&data, "awaiter", 1, "AWAITER");
  return cli_data_ask(&data, "promise.register_callback");
}

int cli_promise_register_listener(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "awaited", 0, "AWAITED");
  cli_data_operand(&data, "address", 1, "ADDRESS");
  return cli_data_ask(&data, "promise.register_listener");
}

/* ---- invoke -------------------------------------------------------------------------------------------- */

enum { INVOKE_TIMEOUT_MS = 3600000 };

/* Appends each --arg: as it stands if it is JSON, else as a string. */
static bool add_args(cli_data *data, da_buf *call)
{
  size_t at = 0, count = 0;
  const char *word;
  da_buf_addf(call, ",\"args\":[");
  while ((word = cli_each(data->command, CLI_ARG, &at)) != NULL) {
    da_slice text = da_slice_of(word);
    if (count++ > 0) da_buf_add_byte(call, ',');
    if (da_json_check(text, NULL) == DA_OK) {
      cli_json_text(call, text, false);
    } else if (!da_text_quote(call, text)) {
      cli_data_fail(data, cli_fail(CLI_EXIT_USAGE, "--arg is not UTF-8: '%s'", word));
      return false;
    }
  }
  da_buf_add_byte(call, ']');
  return true;
}

/* {"func":...,"args":[...],"version":n}, the param of a call. */
static void add_call(cli_data *data)
{
  cli_data call = {.command = data->command, .code = data->code};
  da_buf_add_byte(&call.text, '{');
  cli_data_text(&call, "func", CLI_FUNC, CLI_NEEDED);
  if (cli_has(data->command, CLI_JSON_ARGS))
    cli_data_json(&call, "args", CLI_JSON_ARGS, '[', CLI_NEEDED);
  else if (call.code == 0)
    (void)add_args(&call, &call.text);
  if (cli_has(data->command, CLI_VERSION))
    cli_data_int(&call, "version", CLI_VERSION, CLI_NEEDED);
  else
    cli_put_int(&call.text, "version", 1);
  cli_data_close(&call);
  cli_data_fail(data, call.code);
  cli_data_encoded(data, "param", da_buf_slice(&call.text));
  da_buf_free(&call.text);
}

int cli_invoke(const cli_command *command)
{
  if (cli_has(command, CLI_ARG) && cli_has(command, CLI_JSON_ARGS))
    return cli_fail(CLI_EXIT_USAGE, "give arguments as --arg X or as --json-args JSON, not both");
  int64_t delay = 0;
  if (cli_has(command, CLI_DELAY) && !cli_duration_read(command->flags[CLI_DELAY], &delay))
    return cli_fail(CLI_EXIT_USAGE, "--delay wants a duration (90, 250ms, 1h30m, 3d), not '%s'",
                    command->flags[CLI_DELAY]);
  cli_data data = begin(command);
  cli_data_deadline(&data, CLI_TIMEOUT, delay, INVOKE_TIMEOUT_MS);
  add_call(&data);
  cli_data_open(&data, "tags");
  if (cli_has(command, CLI_TARGET))
    cli_data_text(&data, "resonate:target", CLI_TARGET, CLI_NEEDED);
  else
    (void)cli_put_text(&data.text, "resonate:target", DA_LIT("poll://any@default"));
  if (delay > 0) {
    char instant[24];
    long long at = data.now_ms + delay;
    (void)snprintf(instant, sizeof instant, "%lld", at);
    (void)cli_put_text(&data.text, "resonate:delay", da_slice_of(instant));
  }
  cli_data_close(&data);
  return cli_data_ask(&data, "promise.create");
}
