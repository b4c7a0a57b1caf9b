/* cli_tree.c - tree: who called whom by indentation, who waits for whom by an arrow.
 *
 * What is awaited in another lineage is drawn below the one that waits, behind an arrow.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/table.h"
#include "event.h"
#include "show.h"
#include "text.h"

/* Calls of one execution in the order they were made; what has no ordinal (made from outside, under way) behind them.
 */
static int by_call(const void *a, const void *b)
{
  int64_t x = cli_row_int(*(const cJSON *const *)a, "ordinal");
  int64_t y = cli_row_int(*(const cJSON *const *)b, "ordinal");
  if (x == 0) x = INT64_MAX;
  if (y == 0) y = INT64_MAX;
  if (x != y) return x < y ? -1 : 1;
  return cli_by_creation(a, b);
}

typedef struct branch {
  const cJSON *row;
  struct branch *first, *last, *next, *parent;
} branch;

/* The nearest row whose id this one extends. */
static branch *parent_of(const da_table *table, da_slice id)
{
  for (size_t len = id.len; len-- > 0;) {
    if (id.ptr[len] != '.' && id.ptr[len] != ':') continue;
    branch *found = da_table_get(table, da_slice_make(id.ptr, len));
    if (found != NULL) return found;
  }
  return NULL;
}

/* A timer that runs. */
static void add_until(da_buf *out, const cJSON *row)
{
  char text[40];
  bool sleeps = da_slice_eq(da_json_text(row, "kind"), DA_LIT("sleep"));
  if (!sleeps || !da_slice_eq(da_json_text(row, "state"), DA_LIT("pending"))) return;
  cli_time_text(cli_row_int(row, "timeoutAt"), text);
  da_buf_addf(out, "  until %s", text);
}

static void add_last(da_buf *out, const cJSON *row)
{
  add_until(out, row);
  int64_t generation = cli_row_int(row, "generation");
  if (generation > 0) da_buf_addf(out, "  generation %d", (int)generation);
  cli_add_awaits(out, row, "  \xe2\x86\x92 ");
  cli_add_published_short(out, row, "  ");
  da_slice parked = da_json_text(da_json_get(row, "parked"), "text");
  if (parked.len == 0) parked = da_json_text(row, "damaged");
  if (parked.len > 0) da_buf_addf(out, "  %.*s", DA_FMT(parked));
  cli_add_step_state(out, row, "  ");
}

/* "recv cart-7/orders": of what waits in a queue, its whole name. */
static void add_queue(da_buf *out, const cJSON *row)
{
  static const da_call_kind kinds[] = {DA_CALL_RECV, DA_CALL_ACQUIRE, DA_CALL_TAKE, DA_CALL_SEND};
  da_slice kind = da_json_text(row, "kind");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (da_slice_eq(kind, da_slice_of(da_call_kind_name(kinds[i]))))
      da_buf_addf(out, "  %.*s %.*s", DA_FMT(kind), DA_FMT(da_json_text(row, "function")));
}

static void print_branch(const branch *b, size_t depth)
{
  da_buf out = {0};
  char age[32];
  da_slice id = da_json_text(b->row, "id");
  da_slice state = da_json_text(b->row, "state");
  for (size_t i = 0; i < depth; i++) da_buf_addf(&out, "  ");
  bool elsewhere = da_json_get(b->row, "under") != NULL;
  if (elsewhere) da_buf_addf(&out, "\xe2\x86\x92 ");
  da_buf_add_slice(&out, depth > 0 && !elsewhere ? cli_short_id(id, da_json_text(b->parent->row, "id")) : id);
  da_slice func = depth == 0 || elsewhere ? da_json_text(b->row, "function") : DA_NONE;
  if (func.len > 0) da_buf_addf(&out, "  %.*s", DA_FMT(func));
  add_queue(&out, b->row);
  da_buf_addf(&out, "  %.*s", DA_FMT(cli_state_words(state)));
  if (da_slice_eq(state, DA_LIT("completed")))
    da_buf_addf(&out, " (%.*s)", DA_FMT(cli_state_words(da_json_text(b->row, "promise"))));
  cli_lifetime(b->row, age);
  da_buf_addf(&out, " %s", age);
  if (da_json_get(b->row, "detachedFrom") != NULL) da_buf_addf(&out, "  detached");
  add_last(&out, b->row);
  cli_print_row(da_buf_slice(&out));
  da_buf_free(&out);
}

static bool is_mark(const cJSON *row)
{
  return da_slice_eq(da_json_text(row, "kind"), DA_LIT("mark"));
}

void cli_show_tree(const cJSON *rows)
{
  size_t count;
  const cJSON **list = cli_sorted_rows(rows, &count, by_call);
  branch *branches = da_xcalloc(count + 1, sizeof *branches);
  da_table table = {0};
  branch top = {0};
  for (size_t i = 0; i < count; i++) {
    branches[i].row = list[i];
    if (is_mark(list[i]) || da_json_get(list[i], "under") != NULL)
      continue; /* what lies below the mark of a generation is shown below its execution */
    (void)da_table_put(&table, da_json_text(list[i], "id"), &branches[i]);
  }
  for (size_t i = 0; i < count; i++) {
    branch *b = &branches[i];
    if (is_mark(b->row)) continue;
    da_slice under = da_json_text(b->row, "under");
    b->parent = under.len > 0 ? da_table_get(&table, under) : parent_of(&table, da_json_text(b->row, "id"));
    da_slice caller = da_json_text(b->row, "detachedFrom");
    if (b->parent == NULL) b->parent = da_table_get(&table, caller);
    if (b->parent == NULL) b->parent = parent_of(&table, caller);
    branch *parent = b->parent != NULL ? b->parent : &top;
    *(parent->last != NULL ? &parent->last->next : &parent->first) = b;
    parent->last = b;
  }
  size_t depth = 0;
  for (branch *b = top.first; b != NULL;) {
    print_branch(b, depth);
    if (b->first != NULL) {
      b = b->first;
      depth++;
      continue;
    }
    for (; b != NULL && b->next == NULL; b = b->parent, depth--) continue;
    if (b != NULL) b = b->next;
  }
  da_table_free(&table);
  free(branches);
  free(list);
}

int cli_tree(const cli_command *command)
{
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("tree"));
  da_json_put_text(json, "id", da_slice_of(command->operands[0]));
  if (!cli_add_limit(command, json)) {
    cJSON_Delete(json);
    return CLI_EXIT_USAGE;
  }
  cJSON *rows;
  int code = cli_ask_rows(command, json, false, &rows);
  if (code == CLI_EXIT_OK) {
    bool more = cli_take_more(rows);
    if (cli_has(command, CLI_JSON))
      cli_print_rows(rows);
    else
      cli_show_tree(rows);
    if (more) cli_note(command, "there may be more: --limit N");
  }
  cJSON_Delete(rows);
  return code;
}
