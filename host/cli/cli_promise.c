/* cli_promise.c - the promise verbs, cancel, continue and migrate.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "cli.h"
#include "reach.h"
#include "rehearse.h"
#include "show.h"
#include "text.h"
#include "value.h"

static cJSON *request(const cli_command *command, const char *verb)
{
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", da_slice_of(verb));
  da_json_put_text(json, "id", da_slice_of(command->operands[0]));
  return json;
}

static int bad(cJSON *json, const char *words)
{
  cJSON_Delete(json);
  return cli_fail(CLI_EXIT_USAGE, "%s", words);
}

/* ---- create -------------------------------------------------------------------------------------------- */

static bool read_tags(const char *text, cJSON *json)
{
  da_err err = {{0}};
  cJSON *tags = da_json_parse(da_slice_of(text), &err);
  bool good = cJSON_IsObject(tags) != 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, tags)
  {
    good = good && cJSON_IsString(item) != 0;
  }
  if (good)
    da_json_put(json, "tags", tags);
  else
    cJSON_Delete(tags);
  return good;
}

int cli_promise_create(const cli_command *command)
{
  cJSON *json = request(command, "promise create");
  int64_t timeout = 0;
  if (cli_has(command, CLI_TIMEOUT)) {
    if (!cli_duration_read(command->flags[CLI_TIMEOUT], &timeout))
      return bad(json, "--timeout wants a duration: 90, 250ms, 1h30m, 3d");
    da_json_put_int(json, "timeout", timeout);
  }
  if (cli_has(command, CLI_PARAM)) {
    da_buf text = {0};
    da_err err = {{0}};
    da_status status = cli_value_canonical(cli_text(command, CLI_PARAM), false, &text, &err);
    if (status == DA_OK) da_json_put_text(json, "$param", da_buf_slice(&text));
    da_buf_free(&text);
    if (status != DA_OK) {
      cJSON_Delete(json);
      return cli_fail(CLI_EXIT_USAGE, "--param wants JSON: %s", err.text);
    }
  }
  if (cli_has(command, CLI_TAGS) && !read_tags(command->flags[CLI_TAGS], json))
    return bad(json, "--tags wants a JSON object whose values are strings");
  cJSON *rows;
  int code = cli_ask_rows(command, json, true, &rows);
  const cJSON *row = cJSON_GetArrayItem(rows, 0);
  if (code == CLI_EXIT_OK) {
    cli_show_row(command, row);
    if (!da_json_flag(row, "created")) cli_note(command, "%s was there already", command->operands[0]);
  }
  cJSON_Delete(rows);
  return code;
}

int cli_promise_get(const cli_command *command)
{
  return cli_get(command);
}

/* ---- settle -------------------------------------------------------------------------------------------- */

static void note_before(const cli_command *command, const cJSON *row)
{
  char ago[32];
  int64_t at = 0;
  (void)da_json_int(row, "settledAt", &at);
  cli_duration_text(da_clock_now_ms() - at, ago);
  cli_note(command, "%s was %.*s before, %s ago; nothing changed", command->operands[0],
           DA_FMT(da_json_text(row, "promise")), ago);
}

/* given: JSON of the value, or empty. */
static int settle(const cli_command *command, const char *state, da_slice value)
{
  cJSON *json = request(command, "promise settle");
  da_json_put_text(json, "state", da_slice_of(state));
  if (value.len > 0) da_json_put_text(json, "$value", value);
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  const cJSON *row = cJSON_GetArrayItem(rows, 0);
  if (code == CLI_EXIT_OK && row != NULL) {
    cli_show_row(command, row);
    bool before = da_json_flag(row, "before");
    if (before || da_json_flag(row, "same")) note_before(command, row);
    if (before) code = CLI_EXIT_REJECTED;
  }
  cJSON_Delete(rows);
  return code;
}

/* The second operand as JSON; nothing if there is none. */
static bool read_value(const cli_command *command, da_buf *out)
{
  da_err err = {{0}};
  if (command->operand_count < 2) return true;
  if (cli_value_word(command->operands[1], cli_has(command, CLI_STR), out, &err) == DA_OK) return true;
  cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  return false;
}

int cli_promise_resolve(const cli_command *command)
{
  da_buf value = {0};
  int code = read_value(command, &value) ? settle(command, "resolved", da_buf_slice(&value)) : CLI_EXIT_USAGE;
  da_buf_free(&value);
  return code;
}

static int settle_as_error(const cli_command *command, const char *state, const char *error_code, da_slice why)
{
  da_buf error = {0};
  da_err err = {{0}};
  int code = cli_value_error(why, error_code, &error, &err) == DA_OK ? settle(command, state, da_buf_slice(&error))
                                                                     : cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  da_buf_free(&error);
  return code;
}

int cli_promise_reject(const cli_command *command)
{
  da_buf value = {0};
  int code = CLI_EXIT_USAGE;
  if (read_value(command, &value)) {
    if (value.len == 0) da_buf_add_slice(&value, DA_LIT("\"rejected\""));
    code = settle_as_error(command, "rejected", "error", da_buf_slice(&value));
  }
  da_buf_free(&value);
  return code;
}

int cli_promise_cancel(const cli_command *command)
{
  da_buf why = {0};
  da_err err = {{0}};
  const char *words = command->operand_count > 1 ? command->operands[1] : "canceled";
  int code = cli_value_word(words, true, &why, &err) == DA_OK
                 ? settle_as_error(command, "canceled", "canceled", da_buf_slice(&why))
                 : cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  da_buf_free(&why);
  return code;
}

/* ---- cancel, continue, migrate ---------------------------------------------------------------------------------- */

static void note_moved(const cli_command *command, const cJSON *row);

/* bundle: the code that goes with the request, or NULL. done: what to say; NULL: what was migrated. */
static int change(const cli_command *command, cJSON *json, da_bundle *bundle, const char *done)
{
  cli_client client = {.rows = da_json_array()};
  cli_ask ask = {.command = command, .json = json, .bundle = bundle, .worker = bundle != NULL};
  int code = cli_reach(&ask, &client);
  cJSON *rows = client.rows;
  const cJSON *row = cJSON_GetArrayItem(rows, 0);
  da_slice value = da_json_text(json, "$value"); /* of a cut: asked twice, if its first answer was lost */
  bool same = value.len > 0 && da_slice_eq(value, da_json_text(row, "$value"));
  if (code == CLI_EXIT_OK && row != NULL) {
    cli_show_row(command, row);
    if (da_json_flag(row, "before")) {
      note_before(command, row);
      code = same ? CLI_EXIT_OK : CLI_EXIT_REJECTED;
    } else if (done != NULL) {
      cli_note(command, "%s %s", command->operands[0], done);
    } else {
      note_moved(command, row);
    }
    if (code == CLI_EXIT_OK && !da_json_flag(row, "driven") && value.len == 0)
      cli_note(command, "nobody drives it now: dahost resume %s", command->operands[0]);
  }
  cJSON_Delete(json);
  cJSON_Delete(rows);
  return code;
}

int cli_cancel(const cli_command *command)
{
  cJSON *json = request(command, "cancel");
  const char *why = command->operand_count > 1 ? command->operands[1] : "canceled";
  if (command->operand_count > 1) da_json_put_text(json, "why", da_slice_of(why));
  if (!cli_has(command, CLI_HARD)) return change(command, json, NULL, "was asked to end");
  da_buf word = {0};
  da_buf error = {0};
  da_err err = {{0}};
  da_status status = cli_value_word(why, true, &word, &err);
  if (status == DA_OK) status = cli_value_error(da_buf_slice(&word), "canceled", &error, &err);
  da_json_put_flag(json, "hard", true);
  da_json_put_text(json, "$value", da_buf_slice(&error));
  da_buf_free(&word);
  da_buf_free(&error);
  return status == DA_OK ? change(command, json, NULL, "was cut off, with all that was pending below it")
                         : bad(json, err.text);
}

int cli_continue(const cli_command *command)
{
  return change(command, request(command, "continue"), NULL, "may go on");
}

/* Below the record: what was moved with it, and what of it was parked. */
static void note_moved(const cli_command *command, const cJSON *row)
{
  const cJSON *moved;
  cJSON_ArrayForEach(moved, da_json_get(row, "migrated"))
  {
    cli_note(command, "%.*s (%.*s) runs the new code from now on%s", DA_FMT(da_json_text(moved, "id")),
             DA_FMT(da_json_text(moved, "function")), da_json_flag(moved, "continued") ? "; it was parked" : "");
  }
}

int cli_migrate_one(const cli_command *command, const char *id, da_bundle *bundle)
{
  bool ran = false;
  cli_command one = *command;
  one.operands[0] = id;
  if (cli_has(command, CLI_DRY_RUN)) {
    int code = cli_rehearse(command, id, bundle, CLI_TELL, &ran);
    if (ran) cli_note(command, "nothing was changed; without --dry-run it is migrated");
    return code;
  }
  if (!cli_has(command, CLI_FORCE)) {
    int code = cli_rehearse(command, id, bundle, CLI_TELL_PARKED, &ran);
    if (!ran) return code;
    if (code == CLI_EXIT_PARKED)
      return cli_fail(code, "'%s' was not migrated, since the new code would park it; --force does it all the same",
                      id);
  }
  return change(&one, request(&one, "migrate"), bundle, NULL);
}

int cli_migrate(const cli_command *command)
{
  da_bundle *bundle = NULL;
  da_err err = {{0}};
  if (da_bundle_read(command->operands[1], &bundle, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  int code = cli_migrate_one(command, command->operands[0], bundle);
  da_bundle_unref(bundle);
  return code;
}
