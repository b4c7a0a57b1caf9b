/* cli_schedule.c - the schedule verbs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "../base/calendar.h"
#include "../base/clock.h"
#include "../base/cron.h"
#include "../base/zone_file.h"
#include "cli.h"
#include "reach.h"
#include "show.h"
#include "text.h"
#include "value.h"

enum { NEXT_DEFAULT = 10, NEXT_MAX = 100000 };

static cJSON *request(const cli_command *command, const char *verb)
{
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", da_slice_of(verb));
  if (command->operand_count > 0) da_json_put_text(json, "id", da_slice_of(command->operands[0]));
  return json;
}

static int64_t int_of(const cJSON *row, const char *name)
{
  int64_t value = 0;
  (void)da_json_int(row, name, &value);
  return value;
}

static bool read_limit(const cli_command *command, size_t most, size_t *limit)
{
  if (!cli_has(command, CLI_LIMIT)) return true;
  if (cli_size_read(command->flags[CLI_LIMIT], limit) && *limit >= 1 && *limit <= most) return true;
  cli_fail(CLI_EXIT_USAGE, "--limit wants a number from 1 to %zu, not '%s'", most, command->flags[CLI_LIMIT]);
  return false;
}

/* ---- how one looks ------------------------------------------------------------------------------------- */

static void add_line(da_buf *out, const char *name, da_slice text)
{
  if (text.len > 0) da_buf_addf(out, "\n%-9s %.*s", name, DA_FMT(text));
}

static void add_instant(da_buf *out, const char *name, int64_t at_ms)
{
  char text[40];
  if (at_ms == 0) return;
  cli_time_text(at_ms, text);
  da_buf_addf(out, "\n%-9s %s", name, text);
}

static void show(const cli_command *command, const cJSON *row)
{
  if (cli_has(command, CLI_JSON)) {
    cli_show_json(row);
    return;
  }
  da_buf out = {0};
  da_buf_add_slice(&out, da_json_text(row, "id"));
  add_line(&out, "cron", da_json_text(row, "cron"));
  add_line(&out, "weekdays", da_json_text(row, "weekdays"));
  add_line(&out, "tz", da_json_text(row, "tz"));
  add_line(&out, "catch up", da_json_text(row, "catchUp"));
  add_line(&out, "function", da_json_text(row, "function"));
  add_line(&out, "args", da_json_text(row, "$args"));
  add_line(&out, "param", da_json_text(row, "$param"));
  add_line(&out, "makes", da_json_text(row, "promiseId"));
  add_instant(&out, "created", int_of(row, "createdAt"));
  add_instant(&out, "last run", int_of(row, "lastRunAt"));
  add_instant(&out, "next run", int_of(row, "nextRunAt"));
  cli_print_text(da_buf_slice(&out));
  da_buf_free(&out);
}

/* ---- create -------------------------------------------------------------------------------------------- */

static bool read_args(const cli_command *command, da_buf *out)
{
  da_err err;
  da_status status;
  if (cli_has(command, CLI_ARGS) && command->operand_count > 3) {
    cli_fail(CLI_EXIT_USAGE, "give arguments as words or as --args, not both");
    return false;
  }
  if (cli_has(command, CLI_ARGS))
    status = cli_value_canonical(cli_text(command, CLI_ARGS), true, out, &err);
  else
    status = cli_value_args(command->operands + 3, command->operand_count - 3, cli_has(command, CLI_STR), out, &err);
  if (status != DA_OK)
    cli_fail(CLI_EXIT_USAGE, "%s%s", cli_has(command, CLI_ARGS) ? "--args wants a JSON array: " : "", err.text);
  return status == DA_OK;
}

int cli_schedule_create(const cli_command *command)
{
  da_slice catch_up = cli_text(command, CLI_CATCH_UP);
  bool known = catch_up.len == 0 || da_slice_eq(catch_up, DA_LIT("all")) || da_slice_eq(catch_up, DA_LIT("last")) ||
               da_slice_eq(catch_up, DA_LIT("none"));
  if (!known) return cli_fail(CLI_EXIT_USAGE, "--catch-up is all, last or none, not '%.*s'", DA_FMT(catch_up));
  static const char *const operands[] = {"ID", "CRON", "F"};
  for (size_t i = 1; i < 3; i++)
    if (command->operands[i][0] == '\0')
      return cli_fail(CLI_EXIT_USAGE, "%s is empty; usage: dahost schedule create ID CRON F [ARG...]", operands[i]);
  da_buf args = {0};
  if (!read_args(command, &args)) {
    da_buf_free(&args);
    return CLI_EXIT_USAGE;
  }
  cJSON *json = request(command, "schedule create");
  da_json_put_text(json, "cron", da_slice_of(command->operands[1]));
  da_json_put_text(json, "function", da_slice_of(command->operands[2]));
  da_json_put_text(json, "$args", da_buf_slice(&args));
  da_buf_free(&args);
  if (cli_has(command, CLI_TZ)) da_json_put_text(json, "tz", cli_text(command, CLI_TZ));
  if (catch_up.len > 0) da_json_put_text(json, "catchUp", catch_up);
  cJSON *rows;
  int code = cli_ask_rows(command, json, true, &rows);
  const cJSON *row = cJSON_GetArrayItem(rows, 0);
  if (code == CLI_EXIT_OK && row != NULL) {
    show(command, row);
    if (!da_json_flag(row, "created"))
      cli_note(command, "%s was there already; nothing changed (dahost schedule delete %s makes room for another)",
               command->operands[0], command->operands[0]);
    if (!da_json_flag(row, "fires")) cli_note(command, "it fires while dahost serve is up");
  }
  cJSON_Delete(rows);
  return code;
}

/* ---- get, delete --------------------------------------------------------------------------------------- */

static int ask_one(const cli_command *command, const char *verb, const char *done)
{
  cJSON *rows;
  int code = cli_ask_rows(command, request(command, verb), false, &rows);
  const cJSON *row = cJSON_GetArrayItem(rows, 0);
  if (code == CLI_EXIT_OK && row != NULL) {
    show(command, row);
    if (done != NULL) cli_note(command, "%s %s", command->operands[0], done);
  }
  cJSON_Delete(rows);
  return code;
}

int cli_schedule_get(const cli_command *command)
{
  return ask_one(command, "schedule get", NULL);
}

int cli_schedule_delete(const cli_command *command)
{
  return ask_one(command, "schedule delete", "was deleted; what it started goes on");
}

/* ---- search -------------------------------------------------------------------------------------------- */

static size_t widest(const cJSON *rows, const char *name, size_t width)
{
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    size_t own = cli_width(da_json_text(row, name));
    if (own > width) width = own;
  }
  return width < 40 ? width : 40;
}

static void add_column(da_buf *out, da_slice text, size_t width)
{
  size_t from = out->len;
  da_buf_add_slice(out, text);
  cli_pad(out, from, width + 2);
}

static void add_time_column(da_buf *out, int64_t at_ms, const char *none, size_t width)
{
  char text[40];
  if (at_ms != 0) cli_time_text(at_ms, text);
  add_column(out, da_slice_of(at_ms != 0 ? text : none), width);
}

static void print_table(const cJSON *rows)
{
  enum { TIME_WIDTH = 25 };
  size_t id = widest(rows, "id", 2), cron = widest(rows, "cron", 4), tz = widest(rows, "tz", 4);
  size_t func = widest(rows, "function", 8);
  da_buf out = {0};
  da_buf_addf(&out, "%-*s%-*s%-*s%-*s%-*s%s", (int)id + 2, "ID", (int)cron + 2, "CRON", (int)tz + 2, "ZONE",
              (int)func + 2, "FUNCTION", TIME_WIDTH + 2, "NEXT", "LAST");
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    cli_print_row(da_buf_slice(&out));
    da_buf_clear(&out);
    da_slice zone = da_json_text(row, "tz");
    add_column(&out, da_json_text(row, "id"), id);
    add_column(&out, da_json_text(row, "cron"), cron);
    add_column(&out, zone.len > 0 ? zone : DA_LIT("UTC"), tz);
    add_column(&out, da_json_text(row, "function"), func);
    add_time_column(&out, int_of(row, "nextRunAt"), "never", TIME_WIDTH);
    add_time_column(&out, int_of(row, "lastRunAt"), "not yet", 0);
    while (out.len > 0 && out.ptr[out.len - 1] == ' ') out.len--;
  }
  cli_print_row(da_buf_slice(&out));
  da_buf_free(&out);
}

int cli_schedule_search(const cli_command *command)
{
  size_t limit = 1000;
  if (!read_limit(command, (size_t)1 << 30, &limit)) return CLI_EXIT_USAGE;
  cJSON *json = request(command, "schedule search");
  da_json_put_int(json, "limit", (int64_t)limit);
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  if (code == CLI_EXIT_OK) {
    int last = cJSON_GetArraySize(rows) - 1;
    bool more = last >= 0 && da_json_flag(cJSON_GetArrayItem(rows, last), "more");
    if (more) cJSON_DeleteItemFromArray(rows, last);
    const cJSON *row;
    if (cli_has(command, CLI_JSON)) {
      cJSON_ArrayForEach(row, rows)
      {
        cli_show_json(row);
      }
    } else if (cJSON_GetArraySize(rows) > 0) {
      print_table(rows);
    } else {
      cli_note(command, "no schedule here");
    }
    if (more) cli_note(command, "there are more: --limit N");
  }
  cJSON_Delete(rows);
  return code;
}

/* ---- next ---------------------------------------------------------------------------------------------- */

/* As the zone's clock shows it: "2026-11-27 06:30:00+01:00 Fri". */
static void local_text(int64_t at_ms, const da_zone *zone, char out[48])
{
  static const char days[] = "SunMonTueWedThuFriSat";
  int64_t at = da_floor_div(at_ms, 1000);
  int64_t offset = da_zone_span_at(zone, at).offset;
  int64_t day = da_floor_div(at + offset, 86400);
  int second = (int)(at + offset - day * 86400), minutes = (int)(offset < 0 ? -offset : offset) / 60;
  da_date date = da_date_of(day);
  (void)snprintf(out, 48, "%04d-%02d-%02d %02d:%02d:%02d%c%02d:%02d %.3s", (int)date.year, date.month, date.day,
                 second / 3600, second / 60 % 60, second % 60, offset < 0 ? '-' : '+', minutes / 60, minutes % 60,
                 days + (ptrdiff_t)3 * da_weekday(day));
}

static void print_instant(const cli_command *command, int64_t at_ms, const da_zone *zone)
{
  char text[48];
  local_text(at_ms, zone, text);
  if (!cli_has(command, CLI_JSON)) {
    cli_print(da_slice_of(text));
    return;
  }
  cJSON *row = da_json_object();
  da_json_put_int(row, "at", at_ms);
  da_json_put_text(row, "local", da_slice_of(text));
  cli_show_json(row);
  cJSON_Delete(row);
}

int cli_schedule_next(const cli_command *command)
{
  da_err err;
  da_cron cron;
  da_zone zone = {0};
  da_buf bytes = {0};
  size_t limit = NEXT_DEFAULT;
  if (!read_limit(command, NEXT_MAX, &limit)) return CLI_EXIT_USAGE;
  if (da_cron_parse(da_slice_of(command->operands[0]), DA_CRON_UNIX, &cron, &err) != DA_OK)
    return cli_fail(CLI_EXIT_USAGE, "cron expression '%s', %s", command->operands[0], err.text);
  da_status status = cli_has(command, CLI_TZ) ? da_zone_load(cli_text(command, CLI_TZ), &bytes, &err) : DA_OK;
  if (status == DA_OK) status = da_zone_read(da_buf_slice(&bytes), &zone, &err);
  int code = CLI_EXIT_OK;
  int64_t at = da_clock_now_ms();
  if (status != DA_OK) {
    code = cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  } else if (da_cron_next(&cron, &zone, at) == DA_TIME_MAX) {
    code = cli_fail(CLI_EXIT_REJECTED, "'%s' never comes: no month has such a day", command->operands[0]);
  }
  for (size_t i = 0; code == CLI_EXIT_OK && i < limit; i++) {
    at = da_cron_next(&cron, &zone, at);
    if (at == DA_TIME_MAX) break;
    print_instant(command, at, &zone);
  }
  da_buf_free(&bytes);
  return code;
}
