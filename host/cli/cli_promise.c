/* cli_promise.c - the promise verbs, cancel, continue and migrate.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "cli.h"
#include "reach.h"
#include "rehearse.h"
#include "show.h"
#include "text.h"
#include "value.h"

enum { SEARCH_LIMIT = 100, SEARCH_LIMIT_MAX = 1000 }; /* of the protocol */

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

enum { TAGS_MAX = 16, TAG_BYTES_MAX = 256 }; /* of an execution, as for f:with{tags=} (bindings/bind_options.c) */

bool cli_is_reserved_tag(da_slice name)
{
  return da_slice_starts(name, DA_LIT("resonate:")) || da_slice_starts(name, DA_LIT("dahost:"));
}

/* NULL, or what is wrong with the tags of an execution. */
static const char *bad_tag(const cJSON *tags)
{
  const cJSON *tag;
  cJSON_ArrayForEach(tag, tags)
  {
    size_t len = strlen(tag->string);
    if (cli_is_reserved_tag(da_slice_of(tag->string)))
      return "names that begin with 'resonate:' or 'dahost:' are the runtime's own";
    if (len < 1 || len > TAG_BYTES_MAX || strlen(tag->valuestring) > TAG_BYTES_MAX)
      return "a name has 1 to 256 bytes, a value at most as many";
  }
  return cJSON_GetArraySize(tags) > TAGS_MAX ? "16 tags are the most" : NULL;
}

bool cli_add_tags(const cli_command *command, cJSON *json)
{
  if (!cli_has(command, CLI_TAGS)) return true;
  cJSON *tags = da_json_parse(cli_text(command, CLI_TAGS), NULL);
  bool good = cJSON_IsObject(tags) != 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, tags) good = good && cJSON_IsString(item) != 0;
  const char *wrong = good && command->verb->run != cli_promise_create ? bad_tag(tags) : NULL;
  if (good && wrong == NULL) {
    da_json_put(json, "tags", tags);
    return true;
  }
  cJSON_Delete(tags);
  if (good)
    cli_fail(CLI_EXIT_USAGE, "--tags: %s", wrong);
  else
    cli_fail(CLI_EXIT_USAGE, "--tags wants a JSON object whose values are strings");
  return false;
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
  if (!cli_add_tags(command, json)) {
    cJSON_Delete(json);
    return CLI_EXIT_USAGE;
  }
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
  if (cli_has(command, CLI_WHERE)) return cli_bulk(command, json, done);
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

/* A rehearsal of one cancel would tell nothing that get does not. */
static bool where_fits(const cli_command *command)
{
  if (!cli_has(command, CLI_DRY_RUN) || cli_has(command, CLI_WHERE)) return true;
  cli_fail(CLI_EXIT_USAGE, "--dry-run goes with --where COND, to see what it would touch");
  return false;
}

int cli_cancel(const cli_command *command)
{
  if (!where_fits(command)) return CLI_EXIT_USAGE;
  size_t at = cli_has(command, CLI_WHERE) ? 0 : 1;
  cJSON *json = request(command, "cancel");
  const char *why = command->operand_count > at ? command->operands[at] : "canceled";
  if (command->operand_count > at) da_json_put_text(json, "why", da_slice_of(why));
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
  if (!where_fits(command)) return CLI_EXIT_USAGE;
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
    if (ran && code == CLI_EXIT_PARKED && !cli_has(command, CLI_FORCE))
      cli_note(command, "nothing was changed; without --dry-run it is refused, unless --force is given");
    else if (ran)
      cli_note(command, "nothing was changed; without --dry-run it is migrated");
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
  bool many = cli_has(command, CLI_WHERE);
  const char *file = command->operands[many ? 0 : 1];
  if (da_bundle_read(file, &bundle, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  int code = many ? cli_bulk_migrate(command, bundle) : cli_migrate_one(command, command->operands[0], bundle);
  da_bundle_unref(bundle);
  return code;
}

/* ---- search -------------------------------------------------------------------------------------------- */

static bool add_search_state(const cli_command *command, cJSON *json)
{
  static const char *const known[] = {"pending", "resolved", "rejected", "canceled", "timedout"};
  cli_nearest nearest = {.wanted = cli_text(command, CLI_STATE)};
  if (nearest.wanted.len == 0) return true;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    cli_nearest_offer(&nearest, da_slice_of(known[i]));
    if (!da_slice_eq(nearest.wanted, da_slice_of(known[i]))) continue;
    da_json_put_text(json, "state", nearest.wanted);
    return true;
  }
  cli_fail(CLI_EXIT_USAGE,
           "no state '%.*s'%s%.*s%s of a promise; there are pending, resolved, rejected, canceled, timedout",
           DA_FMT(nearest.wanted), nearest.best.len > 0 ? " (did you mean '" : "", DA_FMT(nearest.best),
           nearest.best.len > 0 ? "'?)" : "");
  return false;
}

static bool add_search_tags(const cli_command *command, cJSON *json)
{
  size_t at = 0;
  const char *word;
  cJSON *list = da_json_array();
  da_json_put(json, "tags", list);
  while ((word = cli_each(command, CLI_TAG, &at)) != NULL) {
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word) {
      cli_fail(CLI_EXIT_USAGE, "--tag wants KEY=VALUE, not '%s'", word);
      return false;
    }
    cJSON *tag = da_json_object();
    da_json_put_text(tag, "key", da_slice_make(word, (size_t)(equals - word)));
    da_json_put_text(tag, "value", da_slice_of(equals + 1));
    da_json_add(list, tag);
  }
  return true;
}

static bool add_search_limit(const cli_command *command, cJSON *json)
{
  size_t limit = SEARCH_LIMIT;
  bool good = !cli_has(command, CLI_LIMIT) || cli_size_read(command->flags[CLI_LIMIT], &limit);
  if (good && limit >= 1 && limit <= SEARCH_LIMIT_MAX) {
    da_json_put_int(json, "limit", (int64_t)limit);
    return true;
  }
  cli_fail(CLI_EXIT_USAGE, "--limit wants a number from 1 to %d, not '%s'", SEARCH_LIMIT_MAX,
           command->flags[CLI_LIMIT]);
  return false;
}

static void print_found(const cJSON *row, size_t width)
{
  da_buf out = {0};
  da_slice func = da_json_text(row, "function");
  da_buf_add_slice(&out, da_json_text(row, "id"));
  cli_pad(&out, 0, width + 2);
  size_t from = out.len;
  da_buf_add_slice(&out, da_json_text(row, "promise"));
  cli_pad(&out, from, 11);
  da_buf_add_slice(&out, da_json_text(row, "kind"));
  if (func.len > 0) da_buf_addf(&out, " %.*s", DA_FMT(func));
  cli_print_row(da_buf_slice(&out));
  da_buf_free(&out);
}

static void print_all_found(const cli_command *command, const cJSON *rows)
{
  size_t width = 0;
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    size_t own = cli_width(da_json_text(row, "id"));
    if (own > width) width = own < 60 ? own : 60;
  }
  cJSON_ArrayForEach(row, rows)
  {
    if (cli_has(command, CLI_JSON))
      cli_show_json(row);
    else if (da_json_get(row, "cursor") != NULL)
      cli_note(command, "there is more: --cursor '%.*s'", DA_FMT(da_json_text(row, "cursor")));
    else
      print_found(row, width);
  }
}

int cli_promise_search(const cli_command *command)
{
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("promise search"));
  if (command->operand_count > 0) da_json_put_text(json, "prefix", da_slice_of(command->operands[0]));
  if (cli_has(command, CLI_CURSOR)) da_json_put_text(json, "cursor", cli_text(command, CLI_CURSOR));
  if (!add_search_state(command, json) || !add_search_tags(command, json) || !add_search_limit(command, json)) {
    cJSON_Delete(json);
    return CLI_EXIT_USAGE;
  }
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  if (code == CLI_EXIT_OK) print_all_found(command, rows);
  cJSON_Delete(rows);
  return code;
}
