/* cut.c - ps --cut: what was not undone of executions that were cut.
 *
 * An execution that was settled from outside, or by the end of its grace, undid nothing any more. Nothing was written
 * about its sagas, and nothing has to be: it is run over its records (vm/rehearse.c) as they were when it was cut, in a
 * store in memory, to the point from which on there are none; there its library tells what is registered. One that
 * ended by itself comes to its end in the same way and has nothing to tell. Only code that mentions sagas is looked at.
 * The store is read beside whoever holds it, one execution at a time, and never written.
 * Threads: the main one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cut.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "reach.h"
#include "scratch.h"
#include "show.h"
#include "text.h"

enum {
  LOOKED_AT_MAX = 5000, /* executions run over their records; those that timed out or were cancelled come first */
  ROUNDS_MAX = 8,       /* of fetching promises of other lineages that turn out to be asked for */
};

typedef struct candidate {
  da_slice id;
  da_digest bundle;
  bool likely; /* it ended as what is cut ends */
} candidate;

typedef struct cut {
  const cli_command *command;
  char *place;
  da_store *source;
  da_arena arena;
  candidate *list;
  size_t count, cap;
  da_table bundles; /* hash -> known_bundle */
  size_t limit, told, looked_at;
  /* of the execution at hand */
  da_arena own;
  const da_promise *whole; /* its promise, as it is */
  da_promise **records;
  size_t record_count, record_cap;
  da_table asked; /* ids of other lineages */
  da_slice *foreign;
  size_t foreign_count, foreign_cap;
  cli_scratch copy;
  da_slice undos; /* JSON */
  bool unclear;
} cut;

typedef struct known_bundle {
  da_digest hash;
  da_bundle *bundle; /* NULL: of no concern */
} known_bundle;

/* ---- who might have been cut --------------------------------------------------------------------------- */

static bool is_over(const da_promise *promise)
{
  return promise->state != DA_PENDING || promise->timeout_at <= da_clock_now_ms();
}

static bool note_candidate(void *user, const da_promise *promise)
{
  cut *c = user;
  if (!promise->call.has_bundle || !is_over(promise)) return true;
  if (promise->call.kind != DA_CALL_ROOT && promise->call.kind != DA_CALL_WORKFLOW) return true;
  if (c->count == c->cap) {
    c->cap = c->cap > 0 ? c->cap * 2 : 64;
    c->list = da_xrealloc(c->list, c->cap * sizeof *c->list);
  }
  c->list[c->count++] = (candidate){.id = da_arena_dup(&c->arena, promise->id),
                                    .bundle = promise->call.bundle,
                                    .likely = promise->state != DA_RESOLVED && promise->state != DA_REJECTED};
  return true;
}

static da_status read_candidates(cut *c, da_err *err)
{
  da_arena arena = {0};
  da_status status = da_store_scan_ids(c->source, DA_NONE, DA_NONE, &arena, note_candidate, c, err);
  da_arena_free(&arena);
  return status;
}

/* The code it ran, if that has to do with sagas. In an open transaction. */
static da_status read_bundle(cut *c, const da_digest *hash, da_bundle **out, da_err *err)
{
  da_slice key = da_slice_make((const char *)hash->bytes, sizeof hash->bytes);
  known_bundle *known = da_table_get(&c->bundles, key);
  if (known == NULL) {
    da_arena arena = {0};
    da_slice bytes = DA_NONE;
    known = da_arena_zalloc(&c->arena, sizeof *known);
    known->hash = *hash;
    int found = da_store_bundle_get(c->source, hash, &arena, &bytes);
    da_status status = found < 0 ? (da_status)found : DA_OK;
    if (found > 0 && memmem(bytes.ptr, bytes.len, "saga", 4) != NULL)
      status = da_bundle_decode(bytes, &known->bundle, err);
    da_arena_free(&arena);
    if (status != DA_OK) return status;
    (void)da_table_put(&c->bundles, da_slice_make((const char *)known->hash.bytes, sizeof known->hash.bytes), known);
  }
  *out = known->bundle;
  return DA_OK;
}

/* ---- its records, as they were ------------------------------------------------------------------------- */

/* Was the record settled when the execution was cut? What was settled later it never saw. */
static bool keep_record(void *user, const da_promise *promise)
{
  cut *c = user;
  if (c->record_count == c->record_cap) {
    c->record_cap = c->record_cap > 0 ? c->record_cap * 2 : 64;
    c->records = da_xrealloc(c->records, c->record_cap * sizeof(da_promise *));
  }
  da_promise *copy = da_arena_alloc(&c->own, sizeof *copy);
  *copy = *promise;
  copy->armed = false; /* time stands still in the copy */
  bool itself = da_slice_eq(promise->id, c->whole->id);
  bool later = c->whole->state != DA_PENDING && promise->settle_seq > c->whole->settle_seq;
  if (itself || (promise->state != DA_PENDING && later)) {
    copy->state = DA_PENDING;
    copy->value = (da_value){.has_data = false};
    copy->settled_at = 0;
    copy->settle_seq = 0;
  }
  c->records[c->record_count++] = copy;
  return true;
}

static da_status read_records(cut *c, da_slice id, da_err *err)
{
  da_view *view = da_store_view(c->source);
  da_promise *own = da_arena_alloc(&c->own, sizeof *own);
  int found = view->ops->promise(view, id, &c->own, own);
  if (found <= 0) return found < 0 ? da_fail(err, (da_status)found, "%s", da_store_fault_words(c->source)) : DA_OK;
  c->whole = own;
  (void)keep_record(c, own);
  return da_store_scan_execution(c->source, id, &c->own, keep_record, c, err);
}

static da_status read_foreign(cut *c, size_t from, da_err *err)
{
  da_view *view = da_store_view(c->source);
  for (size_t i = from; i < c->foreign_count; i++) {
    da_promise promise;
    int found = view->ops->promise(view, c->foreign[i], &c->own, &promise);
    if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(c->source));
    if (found > 0) (void)keep_record(c, &promise);
  }
  return DA_OK;
}

/* ---- running over them --------------------------------------------------------------------------------- */

static void note_foreign(cut *c, const da_event *event)
{
  if (da_id_below(event->child, c->whole->id) || da_table_get(&c->asked, event->child) != NULL) return;
  if (c->foreign_count == c->foreign_cap) {
    c->foreign_cap = c->foreign_cap > 0 ? c->foreign_cap * 2 : 8;
    c->foreign = da_xrealloc(c->foreign, c->foreign_cap * sizeof *c->foreign);
  }
  da_slice id = da_arena_dup(&c->own, event->child);
  c->foreign[c->foreign_count++] = id;
  (void)da_table_put(&c->asked, id, c);
}

static void hear(void *user, const da_event *event)
{
  cut *c = user;
  if (!da_slice_eq(event->execution, c->whole->id)) return;
  if (event->kind == DA_EVENT_CALLED) note_foreign(c, event);
  if (event->kind == DA_EVENT_SUSPENDED || event->kind == DA_EVENT_PARKED)
    c->undos = da_arena_dup(&c->own, event->undos);
  if (event->kind == DA_EVENT_PARKED && event->undos.len == 0) c->unclear = true;
  if (event->kind == DA_EVENT_SUSPENDED || event->kind == DA_EVENT_PARKED || event->kind == DA_EVENT_COMPLETED)
    da_sched_stop(c->copy.sched);
}

static da_status run_over(cut *c, da_bundle *bundle, da_err *err)
{
  da_status status = DA_OK;
  c->undos = DA_NONE;
  for (size_t i = 0; status == DA_OK && i < c->record_count; i++)
    status = cli_scratch_fill(&c->copy, c->records[i], err);
  if (status == DA_OK) status = cli_scratch_open(&c->copy, hear, c, err);
  if (status == DA_OK) status = da_worker_serve(c->copy.worker, bundle, err);
  if (status == DA_OK) {
    da_worker_rehearse(c->copy.worker, c->whole->id);
    da_sched_run(c->copy.sched);
  }
  cli_scratch_close(&c->copy);
  return status;
}

/* ---- telling ------------------------------------------------------------------------------------------- */

static void print_undo(const cJSON *undo)
{
  da_buf line = {0};
  da_buf args = {0};
  da_json_print(da_json_get(undo, "args"), &args);
  da_slice inner = args.len > 2 && args.ptr[0] == '[' ? da_slice_make(args.ptr + 1, args.len - 2) : DA_NONE;
  da_buf_addf(&line, "  %.*s(%.*s)  %.*s", DA_FMT(da_json_text(undo, "function")), DA_FMT(inner),
              DA_FMT(da_json_text(undo, "at")));
  cli_print_text(da_buf_slice(&line));
  da_buf_free(&line);
  da_buf_free(&args);
}

static void tell(cut *c)
{
  const da_promise *whole = c->whole;
  bool swept = whole->state != DA_PENDING;
  const char *state = swept && whole->state != DA_TIMEDOUT ? whole->state == DA_CANCELED   ? "canceled"
                                                             : whole->state == DA_RESOLVED ? "resolved"
                                                                                           : "rejected"
                                                           : "timedout";
  int64_t at = swept ? whole->settled_at : whole->timeout_at;
  c->told++;
  if (cli_has(c->command, CLI_JSON)) {
    cJSON *row = da_json_object();
    da_json_put_text(row, "id", whole->id);
    da_json_put_text(row, "function", whole->call.func);
    da_json_put_text(row, "promise", da_slice_of(state));
    da_json_put_int(row, "settledAt", at);
    da_json_put_text(row, "$undos", c->undos);
    cli_show_json(row);
    cJSON_Delete(row);
    return;
  }
  char ago[32];
  cli_duration_text(da_clock_now_ms() - at, ago);
  da_buf head = {0};
  da_buf_addf(&head, "%.*s  %.*s  %s %s ago, not undone:", DA_FMT(whole->id), DA_FMT(whole->call.func),
              strcmp(state, "timedout") == 0 ? "timed out" : state, ago);
  cli_print_text(da_buf_slice(&head));
  da_buf_free(&head);
  cJSON *undos = da_json_parse(c->undos, NULL);
  const cJSON *undo;
  cJSON_ArrayForEach(undo, undos)
  {
    print_undo(undo);
  }
  cJSON_Delete(undos);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static void forget(cut *c)
{
  da_table_free(&c->asked);
  c->asked = (da_table){0};
  c->record_count = c->foreign_count = 0;
  c->whole = NULL;
  c->unclear = false;
  da_arena_free(&c->own);
  c->own = (da_arena){0};
}

/* One candidate: *bundle NULL if it is of no concern. */
static da_status read_one(cut *c, const candidate *one, da_bundle **bundle, da_err *err)
{
  da_status status = da_store_begin(c->source, err);
  if (status != DA_OK) return status;
  status = read_bundle(c, &one->bundle, bundle, err);
  if (status == DA_OK && *bundle != NULL) status = read_records(c, one->id, err);
  da_store_abort(c->source);
  return status;
}

static da_status read_more(cut *c, size_t from, da_err *err)
{
  da_status status = da_store_begin(c->source, err);
  if (status != DA_OK) return status;
  status = read_foreign(c, from, err);
  da_store_abort(c->source);
  return status;
}

static da_status look_at(cut *c, const candidate *one, da_err *err)
{
  da_bundle *bundle = NULL;
  da_status status = read_one(c, one, &bundle, err);
  bool concerns = status == DA_OK && bundle != NULL && c->record_count > 1; /* it called something */
  if (concerns) c->looked_at++;
  for (size_t known = 0, round = 0; concerns && status == DA_OK && round < ROUNDS_MAX; round++) {
    status = run_over(c, bundle, err);
    if (c->foreign_count == known) break;
    if (status == DA_OK) status = read_more(c, known, err);
    known = c->foreign_count;
  }
  if (status == DA_OK && concerns && c->unclear)
    cli_note(c->command, "%.*s: its code cannot be run over its records to the end of them", DA_FMT(one->id));
  if (status == DA_OK && concerns && c->undos.len > 2) tell(c);
  forget(c);
  return status;
}

static da_status look_at_all(cut *c, da_err *err)
{
  da_status status = da_store_begin(c->source, err);
  if (status != DA_OK) return status;
  status = read_candidates(c, err);
  da_store_abort(c->source);
  for (int likely = 1; likely >= 0; likely--)
    for (size_t i = 0; status == DA_OK && i < c->count && c->told < c->limit && c->looked_at < LOOKED_AT_MAX; i++)
      if (c->list[i].likely == (likely != 0)) status = look_at(c, &c->list[i], err);
  return status;
}

static void close_all(cut *c)
{
  void *value;
  for (size_t i = 0; da_table_next(&c->bundles, &i, &value);) da_bundle_unref(((known_bundle *)value)->bundle);
  da_table_free(&c->bundles);
  da_store_close(c->source);
  free(c->list);
  free(c->records);
  free(c->foreign);
  da_arena_free(&c->arena);
  free(c->place);
}

int cli_cut(const cli_command *command)
{
  cut c = {.command = command, .limit = 1000};
  if (cli_has(command, CLI_STATE) || cli_has(command, CLI_PARKED) || cli_has(command, CLI_STEPS) ||
      cli_has(command, CLI_WHERE))
    return cli_fail(CLI_EXIT_USAGE, "--cut stands without --state, --parked, --steps and --where");
  if (cli_has(command, CLI_LIMIT) && (!cli_size_read(command->flags[CLI_LIMIT], &c.limit) || c.limit < 1))
    return cli_fail(CLI_EXIT_USAGE, "--limit wants a number of rows, not '%s'", command->flags[CLI_LIMIT]);
  c.place = cli_store_place(command);
  da_err err = {{0}};
  da_store_options options = {.read_only = true};
  da_status status = da_store_open(c.place, &options, &c.source, &err);
  if (status == DA_ENOTFOUND)
    (void)da_fail(&err, status, "there is no store at %s (--data DIR names another)", c.place);
  if (status == DA_OK) status = look_at_all(&c, &err);
  if (status == DA_OK && c.told == 0) cli_note(command, "nothing was cut that had calls to undo");
  if (status == DA_OK && (c.told == c.limit || c.looked_at == LOOKED_AT_MAX))
    cli_note(command, "there may be more: --limit N");
  int code = status == DA_OK          ? CLI_EXIT_OK
             : status == DA_ENOTFOUND ? cli_fail(CLI_EXIT_USAGE, "%s", err.text)
                                      : cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  close_all(&c);
  return code;
}
