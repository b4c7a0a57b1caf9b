/* protocol.c - a verb's words as a request of the Resonate protocol.
 * SPDX-License-Identifier: Apache-2.0 */
#include "protocol.h"

#include "../base/clock.h"
#include "../base/json_read.h"
#include "../base/limits.h"
#include "../base/text.h"
#include "../net/envelope.h"
#include "json_text.h"
#include "reach.h"
#include "remote.h"
#include "text.h"

/* ---- asking -------------------------------------------------------------------------------------------- */

/* Would the second of two tell of another outcome than the first? */
static bool is_once(const char *kind)
{
  static const char *const kinds[] = {"task.create",  "task.acquire",  "task.release",   "task.fulfill",
                                      "task.suspend", "task.continue", "schedule.delete"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i], kind) == 0) return true;
  return false;
}

/* With a store: the envelope goes to whoever holds it, and is read by the same code that reads it in a server. */
static int ask_store(const cli_command *command, const char *kind, da_slice data, cli_answer *answer)
{
  static const da_slice corr_id = {"cli", 3};
  da_buf text = {0};
  cli_envelope_text(&text, kind, corr_id, DA_NONE, data);
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("request"));
  da_json_put_text(json, "$envelope", da_buf_slice(&text));
  da_buf_free(&text);
  size_t len = strlen(kind);
  bool create = len > 7 && strcmp(kind + len - 7, ".create") == 0;
  cli_client client = {.rows = da_json_array()};
  const cli_ask ask = {.command = command, .json = json, .create = create, .once = is_once(kind)};
  int code = cli_reach(&ask, &client);
  if (code == CLI_EXIT_OK) {
    da_buf_add_slice(&answer->text, da_json_text(cJSON_GetArrayItem(client.rows, 0), "$answer"));
    da_err fault = {{0}};
    if (cli_answer_read(answer, kind, corr_id, &fault) != DA_OK)
      code = cli_fail(CLI_EXIT_FAILED, "what holds the store answers none of the protocol: %s", fault.text);
  }
  cJSON_Delete(json);
  cJSON_Delete(client.rows);
  return code;
}

static int ask_server(const cli_command *command, const char *kind, da_slice data, cli_answer *answer)
{
  cli_remote *remote = cli_remote_new(command);
  if (remote == NULL) return CLI_EXIT_USAGE;
  int code = cli_remote_ask(remote, kind, data, answer);
  cli_remote_delete(remote);
  return code;
}

int cli_answer_show(const cli_command *command, const cli_answer *answer)
{
  bool good = answer->status >= 200 && answer->status < 300;
  da_buf out = {0};
  cli_json_text(&out, answer->data, good && !cli_has(command, CLI_JSON));
  if (good)
    cli_print(da_buf_slice(&out));
  else
    cli_refused("%.*s", DA_FMT(da_buf_slice(&out)));
  bool version = da_slice_starts(answer->data, DA_LIT("\"Unsupported protocol version"));
  if (answer->status == 401 || answer->status == 403)
    cli_note(command, "a server that asks who you are wants --token JWT, or RESONATE_TOKEN");
  else if (answer->status == 400 && version)
    cli_note(command, "this program speaks version " DA_PROTOCOL_VERSION " of the protocol");
  da_buf_free(&out);
  return good ? CLI_EXIT_OK : CLI_EXIT_REJECTED;
}

int cli_data_ask(cli_data *data, const char *kind)
{
  int code = data->code;
  cli_answer answer = {0};
  da_buf_add_byte(&data->text, '}');
  if (code == 0)
    code = cli_has(data->command, CLI_SERVER) ? ask_server(data->command, kind, da_buf_slice(&data->text), &answer)
                                              : ask_store(data->command, kind, da_buf_slice(&data->text), &answer);
  if (code == 0) code = cli_answer_show(data->command, &answer);
  da_buf_free(&answer.text);
  da_buf_free(&data->text);
  return code;
}

/* ---- members ------------------------------------------------------------------------------------------- */

cli_data cli_data_begin(const cli_command *command)
{
  cli_data data = {.command = command, .now_ms = da_clock_now_ms()};
  da_buf_add_byte(&data.text, '{');
  return data;
}

void cli_data_fail(cli_data *data, int code)
{
  if (data->code == 0) data->code = code;
}

static void put_text(cli_data *data, const char *name, const char *text, const char *dashes, const char *what)
{
  if (cli_put_text(&data->text, name, da_slice_of(text))) return;
  data->code = cli_fail(CLI_EXIT_USAGE, "%s%s is not UTF-8: '%s'", dashes, what, text);
}

void cli_data_operand(cli_data *data, const char *name, size_t i, const char *what)
{
  if (data->code == 0) put_text(data, name, data->command->operands[i], "", what);
}

/* Is the flag there to be read? */
static bool given(cli_data *data, cli_flag_id flag, cli_need need)
{
  if (data->code != 0) return false;
  if (cli_has(data->command, flag)) return true;
  if (need == CLI_NEEDED)
    data->code = cli_fail(CLI_EXIT_USAGE, "%s wants --%s %s", data->command->verb->name, cli_flag_name(flag),
                          cli_flag_metavar(flag));
  return false;
}

void cli_data_text(cli_data *data, const char *name, cli_flag_id flag, cli_need need)
{
  if (given(data, flag, need)) put_text(data, name, data->command->flags[flag], "--", cli_flag_name(flag));
}

void cli_data_int(cli_data *data, const char *name, cli_flag_id flag, cli_need need)
{
  int64_t value;
  if (!given(data, flag, need)) return;
  if (da_text_read_int(cli_text(data->command, flag), &value))
    cli_put_int(&data->text, name, value);
  else
    data->code =
        cli_fail(CLI_EXIT_USAGE, "--%s wants an integer, not '%s'", cli_flag_name(flag), data->command->flags[flag]);
}

static bool read_duration(cli_data *data, cli_flag_id flag, int64_t *out)
{
  if (cli_duration_read(data->command->flags[flag], out)) return true;
  data->code = cli_fail(CLI_EXIT_USAGE, "--%s wants a duration (90, 250ms, 1h30m, 3d), not '%s'", cli_flag_name(flag),
                        data->command->flags[flag]);
  return false;
}

void cli_data_duration(cli_data *data, const char *name, cli_flag_id flag, cli_need need)
{
  int64_t value;
  if (given(data, flag, need) && read_duration(data, flag, &value)) cli_put_int(&data->text, name, value);
}

void cli_data_deadline(cli_data *data, cli_flag_id flag, int64_t delay_ms, int64_t default_ms)
{
  int64_t wait = default_ms;
  if (data->code != 0 || (cli_has(data->command, flag) && !read_duration(data, flag, &wait))) return;
  int64_t at = data->now_ms + delay_ms + wait; /* each is below 2^53 or so */
  cli_put_int(&data->text, "timeoutAt", at < DA_TIME_MAX ? at : DA_TIME_MAX);
}

void cli_data_open(cli_data *data, const char *name)
{
  cli_put_json(&data->text, name, DA_LIT("{}"));
  data->text.len--;
}

void cli_data_close(cli_data *data)
{
  da_buf_add_byte(&data->text, '}');
}

/* ---- members that are JSON ----------------------------------------------------------------------------- */

/* The flag's text as JSON that begins so; else says what is wrong. */
static bool read_json(cli_data *data, cli_flag_id flag, char begin, da_json_item *out)
{
  da_err err = {{0}};
  da_slice text = cli_text(data->command, flag);
  const char *wanted = begin == '{' ? "a JSON object" : "a JSON array";
  if (da_json_check(text, &err) != DA_OK) {
    data->code = cli_fail(CLI_EXIT_USAGE, "--%s wants %s: %s", cli_flag_name(flag), wanted, err.text);
    return false;
  }
  *out = da_json_item_of(text);
  if (*out->text.ptr == begin) return true;
  data->code = cli_fail(CLI_EXIT_USAGE, "--%s wants %s", cli_flag_name(flag), wanted);
  return false;
}

void cli_data_json(cli_data *data, const char *name, cli_flag_id flag, char begin, cli_need need)
{
  da_json_item item;
  if (given(data, flag, need) && read_json(data, flag, begin, &item)) cli_put_json(&data->text, name, item.text);
}

static bool are_strings(da_json_item object, da_arena *arena)
{
  da_slice name;
  da_json_item member;
  for (da_json_walk walk = da_json_walk_of(object); da_json_walk_next(&walk, arena, &name, &member);)
    if (member.kind != DA_JSON_STRING) return false;
  return true;
}

void cli_data_tags(cli_data *data, const char *name, cli_flag_id flag)
{
  da_json_item item;
  da_arena arena = {0};
  if (!given(data, flag, CLI_OPTIONAL) || !read_json(data, flag, '{', &item)) return;
  if (are_strings(item, &arena))
    cli_put_json(&data->text, name, item.text);
  else
    data->code = cli_fail(CLI_EXIT_USAGE, "--%s wants a JSON object whose values are strings", cli_flag_name(flag));
  da_arena_free(&arena);
}

static void put_base64(da_buf *out, da_slice bytes)
{
  da_buf text = {0};
  da_text_base64(&text, bytes);
  (void)cli_put_text(out, "data", da_buf_slice(&text));
  da_buf_free(&text);
}

/* NULL, or what is wrong with the member of a value. */
static const char *put_data(da_buf *out, da_json_item item, bool encode, da_arena *arena)
{
  if (item.kind == DA_JSON_NULL) return NULL;
  if (!encode) {
    if (item.kind != DA_JSON_STRING) return "its data must be a string";
    cli_put_json(out, "data", item.text);
  } else if (item.kind == DA_JSON_STRING) {
    put_base64(out, da_json_item_string(item, arena));
  } else {
    da_buf compact = {0};
    cli_json_text(&compact, item.text, false);
    put_base64(out, da_buf_slice(&compact));
    da_buf_free(&compact);
  }
  return NULL;
}

void cli_data_value(cli_data *data, const char *name, cli_flag_id flag, bool encode)
{
  da_json_item item, member;
  da_slice key;
  da_arena arena = {0};
  const char *wrong = NULL;
  if (!given(data, flag, CLI_OPTIONAL) || !read_json(data, flag, '{', &item)) return;
  cli_data_open(data, name);
  for (da_json_walk walk = da_json_walk_of(item); wrong == NULL && da_json_walk_next(&walk, &arena, &key, &member);) {
    if (da_slice_eq(key, DA_LIT("data")))
      wrong = put_data(&data->text, member, encode, &arena);
    else if (!da_slice_eq(key, DA_LIT("headers")))
      wrong = "it has data and headers, no other member";
    else if (member.kind != DA_JSON_OBJECT || !are_strings(member, &arena))
      wrong = "its headers are an object of strings";
    else
      cli_put_json(&data->text, "headers", member.text);
  }
  cli_data_close(data);
  if (wrong != NULL)
    data->code = cli_fail(CLI_EXIT_USAGE, "--%s wants a value of the protocol, {\"data\":..., \"headers\":{...}}: %s",
                          cli_flag_name(flag), wrong);
  da_arena_free(&arena);
}

void cli_data_encoded(cli_data *data, const char *name, da_slice json)
{
  if (data->code != 0) return;
  cli_data_open(data, name);
  put_base64(&data->text, json);
  cli_data_close(data);
}

/* ---- members of searches ------------------------------------------------------------------------------- */

void cli_data_state(cli_data *data, const char *const *states, const char *const *sent)
{
  if (!given(data, CLI_STATE, CLI_OPTIONAL)) return;
  da_buf list = {0};
  cli_nearest nearest = {.wanted = cli_text(data->command, CLI_STATE)};
  size_t i = 0;
  for (; states[i] != NULL && !da_slice_eq(da_slice_of(states[i]), nearest.wanted); i++) {
    cli_nearest_offer(&nearest, da_slice_of(states[i]));
    da_buf_addf(&list, "%s%s", i > 0 ? ", " : "", states[i]);
  }
  if (states[i] != NULL)
    (void)cli_put_text(&data->text, "state", da_slice_of(sent != NULL && sent[i] != NULL ? sent[i] : states[i]));
  else
    data->code = cli_fail(CLI_EXIT_USAGE, "no state '%.*s'%s%.*s%s; there are %.*s", DA_FMT(nearest.wanted),
                          nearest.best.len > 0 ? " (did you mean '" : "", DA_FMT(nearest.best),
                          nearest.best.len > 0 ? "'?)" : "", DA_FMT(da_buf_slice(&list)));
  da_buf_free(&list);
}

void cli_data_limit(cli_data *data, int64_t default_limit)
{
  if (data->code == 0 && !cli_has(data->command, CLI_LIMIT)) cli_put_int(&data->text, "limit", default_limit);
  cli_data_int(data, "limit", CLI_LIMIT, CLI_OPTIONAL);
}
