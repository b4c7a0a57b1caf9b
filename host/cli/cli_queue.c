/* cli_queue.c - send: a message for a channel, or for the inbox of an execution; queue: what is in them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sys/random.h>

#include "../base/limits.h"
#include "cli.h"
#include "show.h"
#include "text.h"
#include "value.h"

enum {
  NAME_MAX_BYTES = 200, /* as lua/da/queue.lua has it */
  LISTED_MAX = 1000     /* without --limit; as in service_queue.c */
};

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

static bool has_control(const char *name)
{
  for (; *name != '\0'; name++)
    if ((unsigned char)*name < ' ' || *name == '\x7f') return true;
  return false;
}

int cli_send(const cli_command *command)
{
  da_buf value = {0};
  da_err err = {{0}};
  if (cli_value_word(command->operands[1], cli_has(command, CLI_STR), &value, &err) != DA_OK)
    return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  const char *slash = strrchr(command->operands[0], '/');
  const char *name = slash != NULL ? slash + 1 : command->operands[0];
  size_t name_len = strlen(name);
  if (name_len < 1 || name_len > NAME_MAX_BYTES || command->operands[0][0] == '/' || has_control(name)) {
    da_buf_free(&value);
    return cli_fail(CLI_EXIT_USAGE,
                    "'%s' names no channel: a name has 1 to %d bytes and no control characters, an inbox is "
                    "<execution id>/<name>",
                    command->operands[0], (int)NAME_MAX_BYTES);
  }
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

/* ---- queue --------------------------------------------------------------------------------------------- */

static int64_t number(const cJSON *row, const char *name)
{
  int64_t value = 0;
  (void)da_json_int(row, name, &value);
  return value;
}

/* "3 messages", "2 of 2 held", "10 per 1 s"; who waits. */
static void add_state(da_buf *out, const cJSON *row)
{
  char per[32];
  da_slice kind = da_json_text(row, "kind");
  int64_t waiting = number(row, "waiting");
  int64_t messages = number(row, "messages");
  cli_duration_text(number(row, "per"), per);
  if (da_slice_eq(kind, DA_LIT("channel")))
    da_buf_addf(out, "%lld message%s", (long long)messages, messages == 1 ? "" : "s");
  else if (da_slice_eq(kind, DA_LIT("semaphore")))
    da_buf_addf(out, "%lld of %lld held", (long long)number(row, "held"), (long long)number(row, "n"));
  else
    da_buf_addf(out, "%lld per %s", (long long)number(row, "rate"), per);
  if (waiting > 0) da_buf_addf(out, ", %lld wait%s", (long long)waiting, waiting == 1 ? "s" : "");
}

static void add_list(da_buf *out, const cJSON *row, const char *member, const char *word)
{
  const cJSON *item;
  cJSON_ArrayForEach(item, da_json_get(row, member))
  {
    da_buf_addf(out, "\n  %-8s ", word);
    cli_fit(out, da_slice_of(cJSON_GetStringValue(item)), 100);
  }
}

static void show_queue(const cJSON *row, size_t width)
{
  da_buf out = {0};
  size_t from = out.len;
  da_buf_add_slice(&out, da_json_text(row, "name"));
  cli_pad(&out, from, width + 2);
  da_buf_addf(&out, "%-10.*s ", DA_FMT(da_json_text(row, "kind")));
  add_state(&out, row);
  add_list(&out, row, "holders", "held by");
  add_list(&out, row, "waits", "waits");
  add_list(&out, row, "texts", "message");
  cli_print_text(da_buf_slice(&out));
  da_buf_free(&out);
}

int cli_queue(const cli_command *command)
{
  cJSON *json = da_json_object();
  if (!cli_add_limit(command, json)) {
    cJSON_Delete(json);
    return CLI_EXIT_USAGE;
  }
  int64_t limit = LISTED_MAX;
  (void)da_json_int(json, "limit", &limit);
  da_json_put_text(json, "verb", DA_LIT("queue"));
  if (command->operand_count > 0) da_json_put_text(json, "name", da_slice_of(command->operands[0]));
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  size_t width = 0;
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    size_t own = cli_width(da_json_text(row, "name"));
    if (own > width) width = own < 60 ? own : 60;
  }
  cJSON_ArrayForEach(row, rows)
  {
    if (cli_has(command, CLI_JSON))
      cli_show_json(row);
    else
      show_queue(row, width);
  }
  if (code == CLI_EXIT_OK && cJSON_GetArraySize(rows) == 0) cli_note(command, "no channel, semaphore or limiter here");
  if (code == CLI_EXIT_OK && command->operand_count == 0 && cJSON_GetArraySize(rows) >= limit)
    cli_note(command, "there may be more: --limit N");
  cJSON_Delete(rows);
  return code;
}
