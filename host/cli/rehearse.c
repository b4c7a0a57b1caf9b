/* rehearse.c - migrate --dry-run, and replays of histories: how do executions take to other code?
 *
 * The records are read beside whoever holds the store and copied into a store in memory; there the unfinished
 * executions run over them with the new code, in a worker that carries out nothing new. So nothing can be changed.
 * What is told of each: the recorded calls it meets again, the new ones it would make, and whether it would be parked,
 * would end, or go on. A history (history.h) takes the place of the store for a replay; there the executions that have
 * ended run as well, and what they do is compared with what they did.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "rehearse.h"

#include <stdarg.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "event.h"
#include "history.h"
#include "reach.h"
#include "scratch.h"
#include "service.h"
#include "text.h"
#include "value.h"

enum { LISTED = 40 }; /* recorded calls named in the view for people */

typedef struct rehearsal {
  da_bundle *bundle;
  da_slice id;
  da_digest from; /* the code it is pinned to */
  bool whole;     /* of a history: those that have ended too */
  da_arena arena;
  const da_promise **records; /* of the execution and below */
  size_t count, cap;
  cJSON *rows;    /* one per unfinished execution */
  da_table by_id; /* id -> its row */
  cJSON *foreign; /* ids that were called, lie elsewhere in the store, and are not in the copy yet */
  da_table asked; /* those looked for in the store by now */
  size_t under_way;
  cli_scratch copy;
  int code;
} rehearsal;

/* ---- reading ------------------------------------------------------------------------------------------- */

static bool is_unfinished(const da_promise *promise)
{
  return promise->state == DA_PENDING && promise->call.has_bundle && promise->timeout_at > da_clock_now_ms();
}

static bool keep(void *user, const da_promise *promise)
{
  rehearsal *r = user;
  if (r->count == r->cap) {
    r->cap = r->cap > 0 ? r->cap * 2 : 64;
    r->records = da_xrealloc(r->records, r->cap * sizeof *r->records);
  }
  da_promise *copy = da_arena_alloc(&r->arena, sizeof *copy);
  *copy = *promise;
  copy->armed = false; /* time stands still in the copy */
  r->records[r->count++] = copy;
  return true;
}

static int refuse_missing(da_store *store, const char *place, da_slice id)
{
  da_arena arena = {0};
  da_slice best = DA_NONE;
  da_err err = {{0}};
  if (cli_nearest_id(store, CLI_EXECUTION, id, &arena, &best, &err) != DA_OK) best = DA_NONE;
  int code = best.len > 0 ? cli_fail(CLI_EXIT_REJECTED, "no execution '%.*s' in %s; did you mean '%.*s'?", DA_FMT(id),
                                     place, DA_FMT(best))
                          : cli_fail(CLI_EXIT_REJECTED, "no execution '%.*s' in %s", DA_FMT(id), place);
  da_arena_free(&arena);
  return code;
}

/* In an open transaction. */
static int read_records(rehearsal *r, da_store *store, const char *place, da_slice id)
{
  da_err err = {{0}};
  da_promise promise;
  da_view *view = da_store_view(store);
  int found = view->ops->promise(view, id, &r->arena, &promise);
  if (found < 0) return cli_fail(CLI_EXIT_FAILED, "%s: %s", place, da_store_fault_words(store));
  if (found == 0 || !promise.call.has_bundle) return refuse_missing(store, place, id);
  if (!is_unfinished(&promise))
    return cli_fail(CLI_EXIT_REJECTED, "'%.*s' has ended; nothing of it will run again", DA_FMT(id));
  r->from = promise.call.bundle;
  if (da_store_scan_ids(store, id, DA_NONE, &r->arena, keep, r, &err) == DA_OK) return CLI_EXIT_OK;
  return cli_fail(CLI_EXIT_FAILED, "%s: %s", place, err.text);
}

/* A promise of another lineage is copied when it turns out to be called. */
static int read_foreign(rehearsal *r, da_store *store, const char *place, da_slice unused)
{
  (void)unused;
  da_view *view = da_store_view(store);
  const cJSON *item;
  cJSON_ArrayForEach(item, r->foreign)
  {
    da_promise promise;
    da_slice *id = da_arena_alloc(&r->arena, sizeof *id);
    *id = da_arena_dup(&r->arena, da_slice_of(cJSON_GetStringValue(item)));
    (void)da_table_put(&r->asked, *id, id);
    int found = view->ops->promise(view, *id, &r->arena, &promise);
    if (found < 0) return cli_fail(CLI_EXIT_FAILED, "%s: %s", place, da_store_fault_words(store));
    if (found > 0) (void)keep(r, &promise);
  }
  return CLI_EXIT_OK;
}

typedef int reader(rehearsal *r, da_store *store, const char *place, da_slice id);

static int read_store(rehearsal *r, const char *place, reader *read, da_slice id)
{
  da_store *store = NULL;
  da_err err = {{0}};
  da_store_options options = {.read_only = true};
  da_status status = da_store_open(place, &options, &store, &err);
  if (status == DA_ENOTFOUND)
    return cli_fail(CLI_EXIT_USAGE, "there is no store at %s (--data DIR names another)", place);
  if (status == DA_OK) status = da_store_begin(store, &err);
  int code = status == DA_OK ? read(r, store, place, id) : cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  if (status == DA_OK) da_store_abort(store);
  da_store_close(store);
  return code;
}

/* ---- the copy ------------------------------------------------------------------------------------------ */

static da_status fill_copy(rehearsal *r, da_err *err)
{
  da_status status = DA_OK;
  for (size_t i = 0; status == DA_OK && i < r->count; i++) {
    da_promise moved = *r->records[i];
    if (r->whole ? moved.call.has_bundle : is_unfinished(&moved)) moved.call.bundle = r->bundle->hash;
    status = cli_scratch_fill(&r->copy, &moved, err);
  }
  return status;
}

static void hear(void *user, const da_event *event);

static void close_copy(rehearsal *r)
{
  cli_scratch_close(&r->copy);
  da_table_free(&r->by_id);
  cJSON_Delete(r->rows);
  cJSON_Delete(r->foreign);
  r->by_id = (da_table){0};
  r->rows = r->foreign = NULL;
}

static void close_all(rehearsal *r)
{
  close_copy(r);
  da_table_free(&r->asked);
  free(r->records);
  da_arena_free(&r->arena);
}

/* ---- what it tells ------------------------------------------------------------------------------------- */

static cJSON *call_row(const da_event *event)
{
  cJSON *call = da_json_object();
  da_json_put_text(call, "id", event->child);
  da_json_put_text(call, "kind", da_slice_of(da_call_kind_name(event->call)));
  if (event->func.len > 0) da_json_put_text(call, "function", event->func);
  if (event->kind == DA_EVENT_REPLAYED) da_json_put_text(call, "state", da_slice_of(cli_state_name(event->state)));
  return call;
}

/* Without the advice to continue it: it is not parked yet. */
static da_slice without_advice(da_slice text)
{
  static const char advice[] = ". Mend the ";
  const char *at = memmem(text.ptr, text.len, advice, sizeof advice - 1);
  return at != NULL ? da_slice_make(text.ptr, (size_t)(at - text.ptr)) : text;
}

static void end_one(rehearsal *r, cJSON *row, const char *outcome, int code)
{
  da_json_put_text(row, "outcome", da_slice_of(outcome));
  if (code > r->code) r->code = code; /* parked, then rejected */
  if (--r->under_way == 0) da_sched_stop(r->copy.sched);
}

static void note_foreign(rehearsal *r, const da_event *event)
{
  if (da_id_below(event->child, event->execution) || da_table_get(&r->asked, event->child) != NULL) return;
  da_json_add(r->foreign, da_json_string(event->child));
}

/* One side of a divergence: where the code makes the call, and what it is. */
static void put_side(cJSON *row, const char *name, const da_call *call)
{
  if (call == NULL) return;
  cJSON *side = da_json_object();
  da_json_put_text(side, "file", call->file);
  da_json_put_int(side, "line", call->line);
  da_json_put_text(side, "kind", da_slice_of(da_call_kind_name(call->kind)));
  da_json_put_text(side, "function", call->func);
  da_json_put(row, name, side);
}

static void hear(void *user, const da_event *event)
{
  rehearsal *r = user;
  cJSON *row = da_table_get(&r->by_id, event->execution);
  if (row == NULL) return;
  switch (event->kind) {
  case DA_EVENT_REPLAYED:
    da_json_add(cJSON_GetObjectItemCaseSensitive(row, "replayed"), call_row(event));
    break;
  case DA_EVENT_CALLED:
    note_foreign(r, event);
    da_json_add(cJSON_GetObjectItemCaseSensitive(row, "calls"), call_row(event));
    break;
  case DA_EVENT_PARKED:
    da_json_put_text(row, "text", without_advice(event->text));
    put_side(row, "recorded", event->recorded);
    put_side(row, "wanted", event->wanted);
    end_one(r, row, "parked", CLI_EXIT_PARKED);
    break;
  case DA_EVENT_COMPLETED:
    if (event->text.len > 0) da_json_put_text(row, "$value", event->text);
    if (event->child.len > 0) da_json_put_text(row, "$rest", event->child);
    end_one(r, row, cli_state_name(event->state), event->state == DA_RESOLVED ? CLI_EXIT_OK : CLI_EXIT_REJECTED);
    break;
  case DA_EVENT_AGAIN:
    da_json_put_int(row, "generation", (int64_t)event->count);
    end_one(r, row, "begins again", CLI_EXIT_OK);
    break;
  case DA_EVENT_SUSPENDED:
    if (event->child.len > 0) da_json_put_text(row, "awaits", event->child);
    if (event->text.len > 0) da_json_put_text(row, "missed", event->text);
    end_one(r, row, cJSON_GetArraySize(da_json_get(row, "calls")) > 0 ? "goes on" : "waits",
            event->text.len > 0 ? CLI_EXIT_PARKED : CLI_EXIT_OK);
    break;
  case DA_EVENT_STARTED:
  case DA_EVENT_RESTARTED:
  case DA_EVENT_RESUMED:
  case DA_EVENT_ATTEMPT:
  case DA_EVENT_PROGRESS:
  case DA_EVENT_SETTLED:
  case DA_EVENT_UNSERVED:
  case DA_EVENT_OUTPUT:
    break;
  }
}

/* ---- showing it ---------------------------------------------------------------------------------------- */

static void add_calls(da_buf *out, const cJSON *row, const char *name, const char *title, bool states)
{
  const cJSON *calls = da_json_get(row, name);
  da_slice id = da_json_text(row, "id");
  int count = cJSON_GetArraySize(calls);
  if (count > 0 || states) da_buf_addf(out, "\n  %s: %d", title, count);
  int i = 0;
  const cJSON *call;
  cJSON_ArrayForEach(call, calls)
  {
    if (i++ == LISTED) break;
    da_buf_addf(out, "\n    %.*s  %.*s", DA_FMT(cli_short_id(da_json_text(call, "id"), id)),
                DA_FMT(da_json_text(call, "kind")));
    if (states) da_buf_addf(out, "  %.*s", DA_FMT(da_json_text(call, "state")));
  }
  if (count > LISTED) da_buf_addf(out, "\n    (%d more; --json lists all)", count - LISTED);
}

static void add_side(da_buf *out, const cJSON *row, const char *name, const char *title)
{
  const cJSON *side = da_json_get(row, name);
  int64_t line = 0;
  if (side == NULL || !da_json_int(side, "line", &line)) return;
  da_buf_addf(out, "\n  %s %.*s:%d  %.*s %.*s", title, DA_FMT(da_json_text(side, "file")), (int)line,
              DA_FMT(da_json_text(side, "kind")), DA_FMT(da_json_text(side, "function")));
}

static void add_outcome(da_buf *out, const cJSON *row)
{
  da_slice outcome = da_json_text(row, "outcome");
  da_slice awaits = da_json_text(row, "awaits");
  da_slice missed = da_json_text(row, "missed");
  da_slice value = da_json_text(row, "$value");
  if (da_slice_eq(outcome, DA_LIT("parked"))) {
    da_buf_addf(out, "would be parked: %.*s", DA_FMT(da_json_text(row, "text")));
    add_side(out, row, "recorded", "recorded at");
    add_side(out, row, "wanted", "new code at");
  } else if (da_slice_eq(outcome, DA_LIT("goes on"))) {
    da_buf_addf(out, "would go on");
  } else if (da_slice_eq(outcome, DA_LIT("begins again"))) {
    da_buf_addf(out, "would begin again");
  } else if (da_slice_eq(outcome, DA_LIT("waits"))) {
    da_buf_addf(out, "would wait");
  } else {
    da_buf_addf(out, "would end %.*s", DA_FMT(outcome));
    if (da_slice_eq(outcome, DA_LIT("resolved"))) {
      da_buf_addf(out, ": %.*s", DA_FMT(value.len > 0 ? value : DA_LIT("null")));
    } else {
      da_buf code = {0};
      da_buf_addf(out, ": ");
      cli_value_error_text(value, out, &code);
      da_buf_free(&code);
    }
  }
  if (awaits.len > 0) da_buf_addf(out, ", waiting for %.*s", DA_FMT(awaits));
  if (missed.len > 0)
    da_buf_addf(out, "; recorded '%.*s' was not asked for again: it would be parked when it ends", DA_FMT(missed));
}

static void show(const cli_command *command, const rehearsal *r)
{
  const cJSON *row;
  cJSON_ArrayForEach(row, r->rows)
  {
    if (cli_has(command, CLI_JSON)) {
      cli_show_json(row);
      continue;
    }
    da_buf out = {0};
    da_buf_addf(&out, "%.*s  %.*s  ", DA_FMT(da_json_text(row, "id")), DA_FMT(da_json_text(row, "function")));
    add_outcome(&out, row);
    add_calls(&out, row, "replayed", "recorded calls it would meet again", true);
    add_calls(&out, row, "calls", "new calls it would make", false);
    cli_print_text(da_buf_slice(&out));
    da_buf_free(&out);
  }
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static cJSON *new_row(rehearsal *r, const da_promise *promise)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "id", promise->id);
  da_json_put_text(row, "function", promise->call.func);
  da_json_put(row, "replayed", da_json_array());
  da_json_put(row, "calls", da_json_array());
  da_json_add(r->rows, row);
  (void)da_table_put(&r->by_id, promise->id, row);
  return row;
}

static bool to_run(const rehearsal *r, const da_promise *promise)
{
  if (r->whole) return promise->call.has_bundle;
  return is_unfinished(promise) && (da_slice_eq(promise->id, r->id) || da_id_below(promise->id, r->id));
}

/* What cannot be told by running it: is every function still there? */
static da_status prepare(rehearsal *r, da_err *err)
{
  for (size_t i = 0; i < r->count; i++) {
    const da_promise *promise = r->records[i];
    if (!to_run(r, promise)) continue;
    cli_moves moves = cli_moves_to(r->copy.worker, r->bundle, &promise->call, r->whole ? NULL : &r->from);
    if (moves == CLI_KEEPS_CODE) continue;
    if (moves == CLI_LEFT_BEHIND)
      return da_fail(err, DA_ENOTFOUND, "%.*s defines no workflow '%.*s', which '%.*s' runs",
                     DA_FMT(r->bundle->modules[0].file), DA_FMT(promise->call.func), DA_FMT(promise->id));
    (void)new_row(r, promise);
    r->under_way++;
  }
  return DA_OK;
}

/* One run of all. */
static da_status run(rehearsal *r, da_err *err)
{
  r->rows = da_json_array();
  r->foreign = da_json_array();
  r->code = CLI_EXIT_OK;
  da_status status = fill_copy(r, err);
  if (status == DA_OK) status = cli_scratch_open(&r->copy, hear, r, err);
  if (status == DA_OK) status = da_worker_serve(r->copy.worker, r->bundle, err);
  if (status == DA_OK) status = prepare(r, err);
  if (status != DA_OK) return status;
  const cJSON *row;
  cJSON_ArrayForEach(row, r->rows)
  {
    da_worker_rehearse(r->copy.worker, da_json_text(row, "id"));
  }
  da_sched_run(r->copy.sched);
  return DA_OK;
}

static int run_or_fail(rehearsal *r)
{
  da_err err = {{0}};
  da_status status = run(r, &err);
  if (status == DA_OK) return CLI_EXIT_OK;
  return cli_fail(status == DA_ELUA || status == DA_ENOTFOUND ? CLI_EXIT_USAGE : CLI_EXIT_FAILED, "%s", err.text);
}

int cli_rehearse(const cli_command *command, const char *id, da_bundle *bundle, cli_tell tell, bool *ran)
{
  rehearsal r = {.bundle = bundle, .id = da_slice_of(id)};
  char *place = cli_store_place(command);
  int code = read_store(&r, place, read_records, r.id);
  if (code == CLI_EXIT_OK && da_digest_eq(&r.from, &bundle->hash))
    cli_note(command, "%s runs this very code already", id);
  size_t count = 0;
  while (code == CLI_EXIT_OK && r.count > count) { /* again, as long as there is more to be copied */
    close_copy(&r);
    count = r.count;
    code = run_or_fail(&r);
    if (code == CLI_EXIT_OK) code = read_store(&r, place, read_foreign, DA_NONE);
  }
  *ran = code == CLI_EXIT_OK;
  if (*ran) {
    code = r.code;
    if (tell == CLI_TELL || code == CLI_EXIT_PARKED) show(command, &r);
  }
  close_all(&r);
  free(place);
  return code;
}

/* ---- replaying a history ------------------------------------------------------------------------------- */

/* The message of an error without the place it begins with, which moves as the code is edited. */
static da_slice message_of(const cJSON *error)
{
  da_slice text = da_json_text(error, "message");
  size_t i = 0;
  while (i < text.len && text.ptr[i] != ':' && text.ptr[i] != ' ') i++;
  size_t digits = i + 1;
  while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') digits++;
  if (i == text.len || digits == i + 1 || digits + 2 > text.len || text.ptr[digits] != ':') return text;
  return da_slice_make(text.ptr + digits + 2, text.len - digits - 2);
}

static bool same_error(da_slice a, da_slice b)
{
  cJSON *x = da_json_parse(a, NULL);
  cJSON *y = da_json_parse(b, NULL);
  bool same =
      da_slice_eq(da_json_text(x, "name"), da_json_text(y, "name")) && da_slice_eq(message_of(x), message_of(y));
  cJSON_Delete(x);
  cJSON_Delete(y);
  return same;
}

static void differ(cJSON *row, const char *format, ...) DA_PRINTF(2, 3);
static void differ(cJSON *row, const char *format, ...)
{
  da_buf words = {0};
  va_list args;
  va_start(args, format);
  da_buf_addv(&words, format, args);
  va_end(args);
  da_json_put_text(row, "difference", da_buf_slice(&words));
  da_buf_free(&words);
}

static const cJSON *new_call(const cJSON *row, da_slice id)
{
  const cJSON *call;
  cJSON_ArrayForEach(call, da_json_get(row, "calls"))
  {
    if (da_id_below(da_json_text(call, "id"), id)) return call;
  }
  return NULL;
}

static void compare_ends(cJSON *row, const da_promise *was)
{
  da_slice outcome = da_json_text(row, "outcome");
  da_slice value = da_json_text(row, "$value");
  da_slice state = da_slice_of(cli_state_name(was->state));
  const da_slice *rest = da_map_get(was->value.headers, DA_LIT("da-rest"));
  const cJSON *call = new_call(row, was->id);
  if (call != NULL) {
    differ(row, "'%.*s' ended %.*s; this code makes a call that it did not make: %.*s '%.*s' as '%.*s'",
           DA_FMT(was->id), DA_FMT(state), DA_FMT(da_json_text(call, "kind")), DA_FMT(da_json_text(call, "function")),
           DA_FMT(da_json_text(call, "id")));
  } else if (!da_slice_eq(outcome, state)) {
    differ(row, "'%.*s' ended %.*s; with this code it %s %.*s", DA_FMT(was->id), DA_FMT(state),
           da_json_get(row, "awaits") != NULL ? "waits for" : "ends",
           DA_FMT(da_json_get(row, "awaits") != NULL ? da_json_text(row, "awaits") : outcome));
  } else if (was->state == DA_RESOLVED ? !da_slice_eq(value, was->value.data) ||
                                             !da_slice_eq(da_json_text(row, "$rest"), rest != NULL ? *rest : DA_NONE)
                                       : !same_error(value, was->value.data)) {
    differ(row, "'%.*s' ended with %.*s; with this code it ends with %.*s", DA_FMT(was->id), DA_FMT(was->value.data),
           DA_FMT(value));
  }
}

/* Of an execution that was cut off or had not ended, what lies behind its last record says nothing. */
static void compare(cJSON *row, const da_promise *was)
{
  da_slice missed = da_json_text(row, "missed");
  if (da_slice_eq(da_json_text(row, "outcome"), DA_LIT("parked")))
    differ(row, "%.*s", DA_FMT(da_json_text(row, "text")));
  else if (missed.len > 0)
    differ(row, "'%.*s' recorded '%.*s'; this code does not come to that call", DA_FMT(was->id), DA_FMT(missed));
  else if (was->state == DA_RESOLVED || was->state == DA_REJECTED)
    compare_ends(row, was);
}

da_status cli_replay_history(da_slice text, da_bundle *bundle, cJSON **rows, da_err *err)
{
  rehearsal r = {.bundle = bundle, .whole = true};
  cli_history history;
  *rows = NULL;
  da_status status = cli_history_read(text, &r.arena, &history, err);
  r.id = history.id;
  for (size_t i = 0; status == DA_OK && i < history.count; i++) (void)keep(&r, &history.records[i]);
  if (status == DA_OK) status = run(&r, err);
  if (status == DA_OK) {
    for (size_t i = 0; i < history.count; i++) {
      cJSON *row = da_table_get(&r.by_id, history.records[i].id);
      if (row != NULL) compare(row, &history.records[i]);
    }
    *rows = r.rows;
    r.rows = NULL;
  }
  close_all(&r);
  return status;
}
