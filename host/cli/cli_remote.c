/* cli_remote.c - the promise and schedule verbs with a server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/limits.h"
#include "json_text.h"
#include "protocol.h"
#include "value.h"

/* ---- promises ------------------------------------------------------------------------------------------ */

int cli_remote_promise_create(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "id", 0, "ID");
  cli_data_deadline(&data, CLI_TIMEOUT, 0, DA_TIME_MAX);
  cli_data_value(&data, "param", CLI_PARAM, true);
  cli_data_tags(&data, "tags", CLI_TAGS);
  return cli_data_ask(&data, "promise.create");
}

int cli_remote_promise_get(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "id", 0, "ID");
  return cli_data_ask(&data, "promise.get");
}

/* The second operand, as a workflow would give it; error_code: of an error, or NULL. */
static void add_word(cli_data *data, const char *error_code)
{
  da_err err = {{0}};
  da_buf value = {0}, error = {0};
  const cli_command *command = data->command;
  bool text = cli_has(command, CLI_STR) || (error_code != NULL && strcmp(error_code, "canceled") == 0);
  da_status status = cli_value_word(command->operands[1], text, &value, &err);
  if (status == DA_OK && error_code != NULL) status = cli_value_error(da_buf_slice(&value), error_code, &error, &err);
  if (status == DA_OK)
    cli_data_encoded(data, "value", da_buf_slice(error_code != NULL ? &error : &value));
  else
    cli_data_fail(data, cli_fail(CLI_EXIT_USAGE, "%s", err.text));
  da_buf_free(&value);
  da_buf_free(&error);
}

static int settle(const cli_command *command, const char *state, const char *error_code)
{
  if (command->operand_count > 1 && cli_has(command, CLI_VALUE))
    return cli_fail(CLI_EXIT_USAGE, "give a value as a word or as --value, not both");
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "id", 0, "ID");
  if (data.code == 0) (void)cli_put_text(&data.text, "state", da_slice_of(state));
  cli_data_value(&data, "value", CLI_VALUE, true);
  if (command->operand_count > 1) add_word(&data, error_code);
  return cli_data_ask(&data, "promise.settle");
}

int cli_remote_promise_resolve(const cli_command *command)
{
  return settle(command, "resolved", NULL);
}

int cli_remote_promise_reject(const cli_command *command)
{
  return settle(command, "rejected", "error");
}

int cli_remote_promise_cancel(const cli_command *command)
{
  return settle(command, "rejected_canceled", "canceled");
}

/* --tag KEY=VALUE, each. */
static void add_tag_words(cli_data *data)
{
  size_t at = 0;
  const char *word;
  while (data->code == 0 && (word = cli_each(data->command, CLI_TAG, &at)) != NULL) {
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word) {
      cli_data_fail(data, cli_fail(CLI_EXIT_USAGE, "--tag wants KEY=VALUE, not '%s'", word));
    } else if (!cli_put_pair(&data->text, da_slice_make(word, (size_t)(equals - word)), da_slice_of(equals + 1))) {
      cli_data_fail(data, cli_fail(CLI_EXIT_USAGE, "--tag is not UTF-8: '%s'", word));
    }
  }
}

int cli_remote_promise_search(const cli_command *command)
{
  static const char *const states[] = {"pending",           "resolved", "rejected", "rejected_canceled",
                                       "rejected_timedout", "canceled", "timedout", NULL};
  static const char *const sent[] = {NULL, NULL, NULL, NULL, NULL, "rejected_canceled", "rejected_timedout"};
  if (cli_has(command, CLI_TAG) && cli_has(command, CLI_TAGS))
    return cli_fail(CLI_EXIT_USAGE, "give tags as --tag KEY=VALUE or as --tags JSON, not both");
  cli_data data = cli_data_begin(command);
  cli_data_state(&data, states, sent);
  cli_data_tags(&data, "tags", CLI_TAGS);
  if (cli_has(command, CLI_TAG)) {
    cli_data_open(&data, "tags");
    add_tag_words(&data);
    cli_data_close(&data);
  }
  cli_data_limit(&data, 100);
  cli_data_text(&data, "cursor", CLI_CURSOR, CLI_OPTIONAL);
  return cli_data_ask(&data, "promise.search");
}

/* ---- schedules ----------------------------------------------------------------------------------------- */

int cli_remote_schedule_create(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "id", 0, "ID");
  cli_data_text(&data, "cron", CLI_CRON, CLI_NEEDED);
  cli_data_text(&data, "promiseId", CLI_PROMISE_ID, CLI_NEEDED);
  cli_data_duration(&data, "promiseTimeout", CLI_PROMISE_TIMEOUT, CLI_NEEDED);
  cli_data_value(&data, "promiseParam", CLI_PROMISE_PARAM, true);
  cli_data_tags(&data, "promiseTags", CLI_PROMISE_TAGS);
  return cli_data_ask(&data, "schedule.create");
}

int cli_remote_schedule_get(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "id", 0, "ID");
  return cli_data_ask(&data, "schedule.get");
}

int cli_remote_schedule_delete(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_operand(&data, "id", 0, "ID");
  return cli_data_ask(&data, "schedule.delete");
}

int cli_remote_schedule_search(const cli_command *command)
{
  cli_data data = cli_data_begin(command);
  cli_data_tags(&data, "tags", CLI_TAGS);
  cli_data_limit(&data, 10);
  cli_data_text(&data, "cursor", CLI_CURSOR, CLI_OPTIONAL);
  return cli_data_ask(&data, "schedule.search");
}
