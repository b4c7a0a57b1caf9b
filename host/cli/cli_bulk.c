/* cli_bulk.c - --where: one verb for many executions, a line for each and a count.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "event.h"
#include "reach.h"
#include "rehearse.h"
#include "show.h"
#include "where.h"

typedef struct bulk {
  const cli_command *command;
  const char *done; /* "was asked to end" */
  bool dry;
  size_t count;
  size_t refused;
  bool left; /* somebody has to drive what was done */
  int code;
  cJSON *ids; /* of a rehearsal, else NULL */
} bulk;

static void note_code(bulk *b, int64_t code)
{
  if (code > b->code) b->code = (int)code;
}

static void print_line(const bulk *b, const cJSON *row)
{
  da_buf out = {0};
  da_slice refused = da_json_text(row, "refused");
  da_buf_addf(&out, "%.*s  ", DA_FMT(da_json_text(row, "id")));
  if (refused.len > 0)
    da_buf_addf(&out, "refused: %.*s", DA_FMT(refused));
  else if (da_json_flag(row, "before"))
    da_buf_addf(&out, "had ended before: %.*s", DA_FMT(da_json_text(row, "promise")));
  else if (b->dry)
    da_buf_addf(&out, "%.*s  %.*s", DA_FMT(da_json_text(row, "function")), DA_FMT(da_json_text(row, "state")));
  else
    da_buf_addf(&out, "%s", b->done);
  cli_print_row(da_buf_slice(&out));
  da_buf_free(&out);
}

static void hear_row(void *user, const cJSON *row)
{
  bulk *b = user;
  int64_t code = CLI_EXIT_OK;
  if (b->ids != NULL) {
    da_json_add(b->ids, da_json_string(da_json_text(row, "id")));
    return;
  }
  b->count++;
  (void)da_json_int(row, "exit", &code);
  if (da_json_flag(row, "before")) code = CLI_EXIT_REJECTED;
  if (code != CLI_EXIT_OK) b->refused++;
  note_code(b, code);
  if (!b->dry && code == CLI_EXIT_OK && da_json_get(row, "driven") != NULL && !da_json_flag(row, "driven"))
    b->left = true;
  if (cli_has(b->command, CLI_JSON))
    cli_show_json(row);
  else
    print_line(b, row);
}

static void say_count(const bulk *b)
{
  const char *plural = b->count == 1 ? "" : "s";
  if (b->dry)
    cli_note(b->command, "%zu execution%s; nothing was changed", b->count, plural);
  else if (b->refused > 0)
    cli_note(b->command, "%zu execution%s, of which %zu refused", b->count, plural, b->refused);
  else
    cli_note(b->command, "%zu execution%s", b->count, plural);
  if (b->left) cli_note(b->command, "nobody drives some of them now: dahost resume --all");
}

static int check(const cli_command *command)
{
  da_arena arena = {0};
  cli_where *where;
  da_err err = {{0}};
  int code = CLI_EXIT_OK;
  if (cli_where_read(cli_text(command, CLI_WHERE), &arena, &where, &err) != DA_OK)
    code = cli_fail(CLI_EXIT_USAGE, "--where: %s", err.text);
  else if (cli_where_finished(where))
    code = cli_fail(CLI_EXIT_USAGE, "--where: what has ended cannot be changed; leave its state out");
  da_arena_free(&arena);
  return code;
}

/* each: NULL: nothing, the executions are only named. bundle, skip: may be NULL; each and skip are given. */
static int ask(bulk *b, cJSON *each, da_bundle *bundle, cJSON *skip, const char *more)
{
  cJSON *json = da_json_object();
  da_buf where = {0};
  da_buf_addf(&where, "%s%s", b->command->flags[CLI_WHERE], more);
  da_json_put_text(json, "verb", DA_LIT("bulk"));
  da_json_put_text(json, "where", da_buf_slice(&where));
  da_json_put_int(json, "limit", (int64_t)1 << 40);
  if (each != NULL) da_json_put(json, "each", each);
  if (skip != NULL) da_json_put(json, "skip", skip);
  if (b->dry) da_json_put_flag(json, "dry", true);
  cli_client client = {.row = hear_row, .user = b};
  cli_ask request = {.command = b->command, .json = json, .bundle = bundle, .worker = bundle != NULL};
  int code = cli_reach(&request, &client);
  note_code(b, code);
  cJSON_Delete(json);
  da_buf_free(&where);
  return code;
}

int cli_bulk(const cli_command *command, cJSON *each, const char *done)
{
  bulk b = {.command = command, .done = done, .dry = cli_has(command, CLI_DRY_RUN)};
  bool continues = da_slice_eq(da_json_text(each, "verb"), DA_LIT("continue"));
  int code = check(command);
  if (code != CLI_EXIT_OK) {
    cJSON_Delete(each);
    return code;
  }
  if (ask(&b, each, NULL, NULL, continues ? ", state=parked" : "") == CLI_EXIT_OK) say_count(&b);
  return b.code;
}

/* ---- migrate ------------------------------------------------------------------------------------------- */

/* Each is rehearsed first, as it would be alone. What the new code would park, or what cannot be rehearsed, is told and
 * left out. */
static void rehearse(bulk *b, const cJSON *ids, da_bundle *bundle, cJSON *skip)
{
  const cJSON *id;
  cli_tell tell = b->dry ? CLI_TELL : CLI_TELL_PARKED;
  cJSON_ArrayForEach(id, ids)
  {
    bool ran = false;
    int code = cli_rehearse(b->command, cJSON_GetStringValue(id), bundle, tell, &ran);
    if (b->dry) {
      note_code(b, code);
      b->count++;
    } else if (!ran || code == CLI_EXIT_PARKED) {
      cJSON *row = da_json_object();
      da_json_put_text(row, "id", da_slice_of(cJSON_GetStringValue(id)));
      da_json_put_int(row, "exit", code);
      da_json_put_text(row, "refused",
                       ran ? DA_LIT("the new code would park it; --force migrates it all the same")
                           : DA_LIT("it could not be tried"));
      hear_row(b, row);
      cJSON_Delete(row);
      da_json_add(skip, cJSON_Duplicate(id, true));
    }
  }
}

int cli_bulk_migrate(const cli_command *command, da_bundle *bundle)
{
  bulk names = {.command = command, .dry = true};
  bulk b = {.command = command, .done = "runs the new code from now on", .dry = cli_has(command, CLI_DRY_RUN)};
  int code = check(command);
  if (code != CLI_EXIT_OK) return code;
  names.ids = da_json_array();
  cJSON *skip = da_json_array();
  code = ask(&names, NULL, NULL, NULL, "");
  if (code == CLI_EXIT_OK && (b.dry || !cli_has(command, CLI_FORCE))) rehearse(&b, names.ids, bundle, skip);
  if (code == CLI_EXIT_OK && !b.dry && cJSON_GetArraySize(names.ids) > cJSON_GetArraySize(skip)) {
    cJSON *each = da_json_object();
    da_json_put_text(each, "verb", DA_LIT("migrate"));
    code = ask(&b, each, bundle, skip, "");
    skip = NULL;
  }
  if (code == CLI_EXIT_OK) say_count(&b);
  note_code(&b, code);
  cJSON_Delete(names.ids);
  cJSON_Delete(skip);
  return b.code;
}
