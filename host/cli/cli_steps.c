/* cli_steps.c - ps --steps: what the step threads are at, what waits for one, what will be tried again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "show.h"
#include "text.h"

static void add_age(da_buf *out, const cJSON *row)
{
  char text[32];
  int64_t now = da_clock_now_ms();
  int64_t retry_at = cli_row_int(row, "retryAt");
  int64_t begun_at = cli_row_int(row, "begunAt");
  if (retry_at == 0 && begun_at == 0) return;
  cli_duration_text(retry_at > 0 ? retry_at - now : now - begun_at, text);
  da_buf_addf(out, "%s%s", retry_at > 0 ? "in " : "", text);
}

static void add_progress(da_buf *out, const cJSON *row)
{
  const cJSON *progress = da_json_get(row, "progress");
  if (progress == NULL) return;
  const cJSON *total = da_json_get(progress, "total");
  da_buf_addf(out, "%.14g", cJSON_GetNumberValue(da_json_get(progress, "done")));
  if (total != NULL) da_buf_addf(out, "/%.14g", cJSON_GetNumberValue(total));
  da_slice note = da_json_text(progress, "note");
  if (note.len > 0) da_buf_addf(out, " %.*s", DA_FMT(note));
}

static void print_line(const cJSON *row, size_t id_width)
{
  da_buf out = {0};
  da_buf_add_slice(&out, da_json_text(row, "id"));
  cli_pad(&out, 0, id_width + 2);
  size_t from = out.len;
  da_buf_add_slice(&out, da_json_text(row, "state"));
  cli_pad(&out, from, 11);
  from = out.len;
  add_age(&out, row);
  cli_pad(&out, from, 14);
  from = out.len;
  da_buf_addf(&out, "%lld", (long long)cli_row_int(row, "attempt"));
  cli_pad(&out, from, 9);
  add_progress(&out, row);
  da_buf_add_slice(&out, da_json_text(row, "note"));
  while (out.len > 0 && out.ptr[out.len - 1] == ' ') out.len--;
  cli_print_row(da_buf_slice(&out));
  da_buf_free(&out);
}

void cli_show_steps(const cli_command *command, const cJSON *rows)
{
  size_t width = 4;
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    size_t own = cli_width(da_json_text(row, "id"));
    if (own > width) width = own < 60 ? own : 60;
  }
  if (cJSON_GetArraySize(rows) == 0) {
    cli_note(command, "no step is under way here");
    return;
  }
  da_buf head = {0};
  da_buf_addf(&head, "%-*s%-11s%-14s%-9s%s", (int)width + 2, "STEP", "STATE", "SINCE", "ATTEMPT", "PROGRESS");
  cli_print(da_buf_slice(&head));
  da_buf_free(&head);
  cJSON_ArrayForEach(row, rows)
  {
    print_line(row, width);
  }
}
