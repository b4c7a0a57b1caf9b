/* cli_queue.c - send: a message for a channel, or for the inbox of an execution.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sys/random.h>

#include "../base/limits.h"
#include "cli.h"
#include "show.h"
#include "value.h"

/* The same however often the request has to be asked: so the message is put once. */
static void put_message_id(cJSON *json)
{
  da_digest id = {{0}};
  char hex[33];
  if (getrandom(id.bytes, sizeof id.bytes, 0) < 0) memset(&id, 0, sizeof id);
  da_digest_hex(&id, hex);
  da_json_put_text(json, "message", da_slice_of(hex));
}

static void say(const cli_command *command, const cJSON *row)
{
  int64_t waiting = 0;
  (void)da_json_int(row, "messages", &waiting);
  if (waiting == 0)
    cli_note(command, "%s: sent, and received", command->operands[0]);
  else
    cli_note(command, "%s: sent; %lld message%s wait%s there", command->operands[0], (long long)waiting,
             waiting == 1 ? "" : "s", waiting == 1 ? "s" : "");
  if (da_json_get(row, "execution") != NULL && !da_json_flag(row, "driven"))
    cli_note(command, "nobody drives it now: dahost resume %.*s", DA_FMT(da_json_text(row, "execution")));
}

int cli_send(const cli_command *command)
{
  da_buf value = {0};
  da_err err = {{0}};
  if (cli_value_word(command->operands[1], cli_has(command, CLI_STR), &value, &err) != DA_OK)
    return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  if (value.len > DA_MESSAGE_MAX) {
    da_buf_free(&value);
    return cli_fail(CLI_EXIT_USAGE, "the message is longer than %d bytes: send where it can be found instead",
                    (int)DA_MESSAGE_MAX);
  }
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("send"));
  da_json_put_text(json, "channel", da_slice_of(command->operands[0]));
  da_json_put_text(json, "$value", da_buf_slice(&value));
  put_message_id(json);
  da_buf_free(&value);
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  const cJSON *row = cJSON_GetArrayItem(rows, 0);
  if (code == CLI_EXIT_OK && row != NULL) {
    if (cli_has(command, CLI_JSON)) cli_show_json(row);
    say(command, row);
  }
  cJSON_Delete(rows);
  return code;
}
