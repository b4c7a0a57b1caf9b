/* cli_show.c - ps, get, and how a record looks to a person.
 * SPDX-License-Identifier: Apache-2.0 */
#include "show.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "cut.h"
#include "event.h"
#include "reach.h"
#include "text.h"
#include "value.h"

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* Members whose names begin with '$' become the JSON they hold. */
static cJSON *unpacked(const cJSON *row)
{
  cJSON *out = da_json_object();
  const cJSON *item;
  cJSON_ArrayForEach(item, row)
  {
    if (item->string[0] == '$')
      da_json_put_raw(out, item->string + 1, da_slice_of(cJSON_GetStringValue(item)));
    else
      da_json_put(out, item->string, cJSON_Duplicate(item, true));
  }
  return out;
}

void cli_show_json(const cJSON *row)
{
  cJSON *whole = unpacked(row);
  da_buf out = {0};
  da_json_print(whole, &out);
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
  cJSON_Delete(whole);
}

int64_t cli_row_int(const cJSON *row, const char *name)
{
  int64_t value = 0;
  (void)da_json_int(row, name, &value);
  return value;
}

da_slice cli_state_words(da_slice state)
{
  return da_slice_eq(state, DA_LIT("timedout")) ? DA_LIT("timed out") : state;
}

static void add_time(da_buf *out, const char *name, int64_t at_ms)
{
  char text[40];
  if (at_ms <= 0) return;
  cli_time_text(at_ms, text);
  da_buf_addf(out, "\n%-9s %s", name, text);
}

static void add_text(da_buf *out, const char *name, da_slice text)
{
  if (text.len > 0) da_buf_addf(out, "\n%-9s %.*s", name, DA_FMT(text));
}

/* How long it has lasted, or lasted. */
void cli_lifetime(const cJSON *row, char out[32])
{
  int64_t end = cli_row_int(row, "settledAt");
  if (end == 0) end = da_clock_now_ms();
  cli_duration_text(end - cli_row_int(row, "createdAt"), out);
}

static bool is_failed(const cJSON *row)
{
  da_slice state = da_json_text(row, "promise");
  return !da_slice_eq(state, DA_LIT("pending")) && !da_slice_eq(state, DA_LIT("resolved"));
}

void cli_add_awaits(da_buf *out, const cJSON *row, const char *before)
{
  const cJSON *awaits = da_json_get(row, "awaits");
  const cJSON *item;
  const char *comma = before;
  cJSON_ArrayForEach(item, awaits)
  {
    da_buf_addf(out, "%s%s", comma, cJSON_GetStringValue(item));
    comma = ", ";
  }
  const char *group = cJSON_GetStringValue(da_json_get(row, "group"));
  if (group != NULL) da_buf_addf(out, "%sgroup %s", comma, group);
}

/* A published value for people: a string without its quotes, the rest as JSON. */
static void add_shown(da_buf *out, const cJSON *value)
{
  const char *text = cJSON_GetStringValue(value);
  if (text != NULL)
    da_buf_addf(out, "%s", text);
  else
    da_json_print(value, out);
}

/* Each on a line of its own. */
static void add_published(da_buf *out, const cJSON *row)
{
  cJSON *all = da_json_parse(da_json_text(row, "$published"), NULL);
  const cJSON *item;
  cJSON_ArrayForEach(item, all)
  {
    da_buf_addf(out, "\n%-9s %s = ", item == all->child ? "published" : "", item->string);
    add_shown(out, item);
  }
  cJSON_Delete(all);
}

/* Each on a line of its own, without those of the runtime. */
static void add_tags(da_buf *out, const cJSON *row)
{
  const cJSON *tag;
  const char *before = "tags";
  cJSON_ArrayForEach(tag, da_json_get(row, "tags"))
  {
    if (cli_is_reserved_tag(da_slice_of(tag->string))) continue;
    da_buf_addf(out, "\n%-9s %s = ", before, tag->string);
    add_shown(out, tag);
    before = "";
  }
}

enum { SHORT_COLUMNS = 60 }; /* of what stands at the end of a line */

/* All on one line, as far as there is room. */
void cli_add_published_short(da_buf *out, const cJSON *row, const char *before)
{
  cJSON *all = da_json_parse(da_json_text(row, "$published"), NULL);
  da_buf text = {0};
  const cJSON *item;
  cJSON_ArrayForEach(item, all)
  {
    da_buf_addf(&text, "%s%s=", text.len > 0 ? " " : "", item->string);
    add_shown(&text, item);
  }
  if (text.len > 0) da_buf_addf(out, "%s", before);
  cli_fit(out, da_buf_slice(&text), SHORT_COLUMNS);
  da_buf_free(&text);
  cJSON_Delete(all);
}

/* What a step under way says of itself, or has to say of its last attempt. */
void cli_add_step_state(da_buf *out, const cJSON *row, const char *before)
{
  char wait[32];
  int64_t attempt = cli_row_int(row, "attempt");
  int64_t retry_at = cli_row_int(row, "retryAt");
  da_slice progress = da_json_text(row, "progress");
  if (progress.len > 0) da_buf_addf(out, "%s%.*s", before, DA_FMT(progress));
  if (progress.len > 0 || attempt == 0) return;
  da_buf_addf(out, "%sattempt %d failed", before, (int)attempt);
  cli_duration_text(retry_at - da_clock_now_ms(), wait);
  if (retry_at > 0) da_buf_addf(out, ", again in %s", wait);
  da_buf_addf(out, ": %.*s", DA_FMT(da_json_text(row, "note")));
}

/* The steps an execution has under way. */
static void add_steps(da_buf *out, const cJSON *row, const char *before)
{
  const cJSON *step;
  char age[32];
  cJSON_ArrayForEach(step, da_json_get(row, "steps"))
  {
    cli_lifetime(step, age);
    da_slice id = cli_short_id(da_json_text(step, "id"), da_json_text(row, "id"));
    da_buf_addf(out, "%s%.*s %s", before, DA_FMT(id), age);
    cli_add_step_state(out, step, "  ");
    before = *before == '\n' ? "\n          " : ", ";
  }
}

static void add_value(da_buf *out, const cJSON *row)
{
  da_slice value = da_json_text(row, "$value");
  if (value.len == 0) return;
  if (!is_failed(row)) {
    add_text(out, "value", value);
    return;
  }
  da_buf text = {0};
  da_buf code = {0};
  cli_value_error_text(value, &text, &code);
  add_text(out, "error", da_buf_slice(&text));
  da_buf_free(&text);
  da_buf_free(&code);
}

/* A workflow has its deadline in a tag, and some time behind it to undo what it did. */
static void add_deadline(da_buf *out, const cJSON *row)
{
  int64_t end = cli_row_int(row, "timeoutAt");
  const char *own = cJSON_GetStringValue(da_json_get(da_json_get(row, "tags"), "dahost:deadline"));
  int64_t at = own != NULL ? strtoll(own, NULL, 10) : end;
  add_time(out, "deadline", at);
  if (at != end) add_time(out, "cut off", end);
}

void cli_show_record(const cJSON *row)
{
  da_buf out = {0};
  char age[32];
  cli_lifetime(row, age);
  da_slice state = da_json_text(row, "state");
  da_slice promise = da_json_text(row, "promise");
  da_buf_addf(&out, "%.*s", DA_FMT(da_json_text(row, "id")));
  da_buf_addf(&out, "\n%-9s %.*s", "kind", DA_FMT(da_json_text(row, "kind")));
  add_text(&out, "function", da_json_text(row, "function"));
  da_buf_addf(&out, "\n%-9s %.*s", "state", DA_FMT(cli_state_words(state)));
  if (!da_slice_eq(state, promise) && !da_slice_eq(promise, DA_LIT("pending")))
    da_buf_addf(&out, ", %.*s", DA_FMT(cli_state_words(promise)));
  da_buf_addf(&out, ", %s", age);
  add_text(&out, "detached", da_json_text(row, "detachedFrom"));
  if (cJSON_GetArraySize(da_json_get(row, "awaits")) > 0 || da_json_get(row, "group") != NULL) {
    da_buf_addf(&out, "\n%-9s ", "awaits");
    cli_add_awaits(&out, row, "");
  }
  int64_t generation = cli_row_int(row, "generation");
  if (generation > 0) da_buf_addf(&out, "\n%-9s %d times", "begun", (int)generation);
  add_steps(&out, row, "\nsteps     ");
  cli_add_step_state(&out, row, "\nprogress  ");
  add_text(&out, "parked", da_json_text(da_json_get(row, "parked"), "text"));
  add_text(&out, "args", da_json_text(row, "$args"));
  add_text(&out, "param", da_json_text(row, "$param"));
  add_value(&out, row);
  add_published(&out, row);
  add_tags(&out, row);
  add_time(&out, "created", cli_row_int(row, "createdAt"));
  add_time(&out, "settled", cli_row_int(row, "settledAt"));
  add_deadline(&out, row);
  da_slice file = da_json_text(row, "file");
  if (file.len > 0) da_buf_addf(&out, "\n%-9s %.*s:%d", "called at", DA_FMT(file), (int)cli_row_int(row, "line"));
  cli_print_text(da_buf_slice(&out));
  da_buf_free(&out);
}

/* ---- asking -------------------------------------------------------------------------------------------- */

int cli_ask_rows(const cli_command *command, cJSON *given, bool create, cJSON **rows)
{
  cli_client client = {.rows = da_json_array()};
  cli_ask ask = {.command = command, .json = given, .create = create};
  int code = cli_reach(&ask, &client);
  cJSON_Delete(given);
  *rows = client.rows;
  return code;
}

bool cli_add_limit(const cli_command *command, cJSON *json)
{
  if (!cli_has(command, CLI_LIMIT)) return true;
  size_t limit;
  if (!cli_size_read(command->flags[CLI_LIMIT], &limit) || limit < 1 || limit > (size_t)1 << 40) {
    cli_fail(CLI_EXIT_USAGE, "--limit wants a number of rows, not '%s'", command->flags[CLI_LIMIT]);
    return false;
  }
  da_json_put_int(json, "limit", (int64_t)limit);
  return true;
}

/* Takes the row that says there are more out of the rows. */
bool cli_take_more(cJSON *rows)
{
  int last = cJSON_GetArraySize(rows) - 1;
  if (last < 0 || !da_json_flag(cJSON_GetArrayItem(rows, last), "more")) return false;
  cJSON_DeleteItemFromArray(rows, last);
  return true;
}

void cli_print_rows(const cJSON *rows)
{
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    cli_show_json(row);
  }
}

/* ---- ps ------------------------------------------------------------------------------------------------ */

int cli_by_creation(const void *a, const void *b)
{
  int64_t x = cli_row_int(*(const cJSON *const *)a, "createdAt");
  int64_t y = cli_row_int(*(const cJSON *const *)b, "createdAt");
  if (x != y) return x < y ? -1 : 1;
  return da_slice_cmp(da_json_text(*(const cJSON *const *)a, "id"), da_json_text(*(const cJSON *const *)b, "id"));
}

const cJSON **cli_sorted_rows(const cJSON *rows, size_t *count, int (*order)(const void *a, const void *b))
{
  *count = (size_t)cJSON_GetArraySize(rows);
  const cJSON **list = da_xcalloc(*count + 1, sizeof *list);
  size_t i = 0;
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    list[i++] = row;
  }
  if (*count > 0) qsort(list, *count, sizeof *list, order);
  return list;
}

static void print_ps_line(const cJSON *row, size_t id_width, size_t func_width)
{
  da_buf out = {0};
  char age[32];
  cli_lifetime(row, age);
  da_buf_add_slice(&out, da_json_text(row, "id"));
  cli_pad(&out, 0, id_width + 2);
  size_t from = out.len;
  da_buf_add_slice(&out, da_json_text(row, "function"));
  cli_pad(&out, from, func_width + 2);
  from = out.len;
  da_slice state = da_json_text(row, "state");
  if (da_slice_eq(state, DA_LIT("completed"))) state = cli_state_words(da_json_text(row, "promise"));
  da_buf_add_slice(&out, state);
  cli_pad(&out, from, 11);
  from = out.len;
  da_buf_addf(&out, "%s", age);
  cli_pad(&out, from, 14);
  cli_add_awaits(&out, row, "\xe2\x86\x92 ");
  da_buf_add_slice(&out, da_json_text(da_json_get(row, "parked"), "text"));
  da_buf_add_slice(&out, da_json_text(row, "damaged"));
  from = out.len;
  da_buf steps = {0};
  add_steps(&steps, row, "");
  cli_fit(&out, da_buf_slice(&steps), SHORT_COLUMNS);
  da_buf_free(&steps);
  cli_add_published_short(&out, row, out.len > from || cJSON_GetArraySize(da_json_get(row, "awaits")) > 0 ? "  " : "");
  while (out.len > 0 && out.ptr[out.len - 1] == ' ') out.len--;
  cli_print_row(da_buf_slice(&out));
  da_buf_free(&out);
}

static size_t widest(const cJSON *rows, const char *name, size_t least)
{
  size_t width = least;
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    size_t own = cli_width(da_json_text(row, name));
    if (own > width) width = own;
  }
  return width < 60 ? width : 60;
}

static void print_ps(const cli_command *command, const cJSON *rows)
{
  size_t count;
  size_t id_width = widest(rows, "id", 2);
  size_t func_width = widest(rows, "function", 8);
  const cJSON **list = cli_sorted_rows(rows, &count, cli_by_creation);
  if (count > 0) {
    da_buf head = {0};
    da_buf_addf(&head, "%-*s%-*s%-11s%-14s%s", (int)id_width + 2, "ID", (int)func_width + 2, "FUNCTION", "STATE", "AGE",
                "WAITS FOR");
    cli_print(da_buf_slice(&head));
    da_buf_free(&head);
  } else {
    cli_note(command, "no such execution here");
  }
  for (size_t i = 0; i < count; i++) print_ps_line(list[i], id_width, func_width);
  free(list);
}

static bool good_state(da_slice state)
{
  static const char *const known[] = {"running", "suspended", "completed", "parked", "all"};
  cli_nearest nearest = {.wanted = state};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (da_slice_eq(state, da_slice_of(known[i]))) return true;
    cli_nearest_offer(&nearest, da_slice_of(known[i]));
  }
  cli_fail(CLI_EXIT_USAGE, "no state '%.*s'%s%.*s%s; there are running, suspended, completed, parked, all",
           DA_FMT(state), nearest.best.len > 0 ? " (did you mean '" : "", DA_FMT(nearest.best),
           nearest.best.len > 0 ? "'?)" : "");
  return false;
}

/* The row that names groups, or NULL; the caller's. */
static cJSON *take_unserved(cJSON *rows)
{
  int last = cJSON_GetArraySize(rows) - 1;
  bool there = last >= 0 && da_json_get(cJSON_GetArrayItem(rows, last), "unserved") != NULL;
  return there ? cJSON_DetachItemFromArray(rows, last) : NULL;
}

void cli_say_unserved(const cli_command *command, const cJSON *row)
{
  const cJSON *item;
  cJSON_ArrayForEach(item, da_json_get(row, "unserved"))
  {
    const char *name = cJSON_GetStringValue(item);
    cli_note(command, "executions wait for group '%s', which no process serves here (dahost serve %s=FILE)", name,
             name);
  }
}

static bool has_damaged(const cJSON *rows)
{
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    if (da_json_get(row, "damaged") != NULL) return true;
  }
  return false;
}

int cli_ps(const cli_command *command)
{
  if (cli_has(command, CLI_CUT)) return cli_cut(command);
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("ps"));
  da_slice state = cli_has(command, CLI_PARKED) ? DA_LIT("parked") : cli_text(command, CLI_STATE);
  if ((state.len > 0 && !good_state(state)) || !cli_add_limit(command, json)) {
    cJSON_Delete(json);
    return CLI_EXIT_USAGE;
  }
  if (state.len > 0) da_json_put_text(json, "state", state);
  if (cli_has(command, CLI_WHERE)) da_json_put_text(json, "where", cli_text(command, CLI_WHERE));
  if (cli_has(command, CLI_STEPS)) da_json_put_flag(json, "steps", true);
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  if (code == CLI_EXIT_OK || cJSON_GetArraySize(rows) > 0) { /* some of it may have been left out */
    cJSON *unserved = take_unserved(rows);
    bool more = cli_take_more(rows);
    if (cli_has(command, CLI_JSON))
      cli_print_rows(rows);
    else if (cli_has(command, CLI_STEPS))
      cli_show_steps(command, rows);
    else
      print_ps(command, rows);
    cli_say_unserved(command, unserved);
    cJSON_Delete(unserved);
    if (more) cli_note(command, "there may be more: --limit N");
    if (has_damaged(rows)) code = CLI_EXIT_FAILED;
  }
  cJSON_Delete(rows);
  return code;
}

/* ---- get ----------------------------------------------------------------------------------------------- */

int cli_get(const cli_command *command)
{
  if (cli_has(command, CLI_HISTORY)) return cli_show_history(command);
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("get"));
  da_json_put_text(json, "id", da_slice_of(command->operands[0]));
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  if (code == CLI_EXIT_OK) cli_show_row(command, cJSON_GetArrayItem(rows, 0));
  cJSON_Delete(rows);
  return code;
}

void cli_show_row(const cli_command *command, const cJSON *row)
{
  if (cli_has(command, CLI_JSON))
    cli_show_json(row);
  else
    cli_show_record(row);
}
