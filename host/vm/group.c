/* group.c - groups of functions: which bundles serve one, what a call by name runs from, and waiting for code.
 *
 * A call of the own group is pinned to the caller's bundle. A call that names a group, and what other processes ask for
 * by name, is pinned to the newest bundle that defines the function: when it is made, if this worker has the group,
 * else when it is taken up. A group this worker has not: its tasks stay pending, for whoever has it. A group it has,
 * but not the function: the task is held for DA_CODE_WAIT_MS, then it ends as `unknown_function`; parameters that are
 * no call end it as `invalid_call`, where workers of other processes may read them only after the same wait. Threads:
 * the loop thread, but for write_pin().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/json.h"
#include "../base/json_read.h"
#include "../base/limits.h"
#include "far.h"
#include "fault.h"

const da_slice da_default_target = {"poll://any@default", 18};

/* A bundle in a group, newest first. */
typedef struct serving {
  da_served *served;
  bool replaced; /* a newer one of the same script is there */
  struct serving *older;
} serving;

struct da_group {
  da_slice address; /* of the options */
  serving *newest;
};

/* ---- groups and their bundles -------------------------------------------------------------------------- */

void da_groups_create(da_worker *worker)
{
  worker->groups = da_xcalloc(worker->options.target_count, sizeof *worker->groups);
  for (size_t i = 0; i < worker->options.target_count; i++) worker->groups[i].address = worker->options.targets[i];
}

void da_groups_destroy(da_worker *worker)
{
  for (size_t i = 0; i < worker->options.target_count; i++)
    for (serving *s = worker->groups[i].newest, *older; s != NULL; s = older) {
      older = s->older;
      free(s);
    }
  free(worker->groups);
}

static bool is_of(da_slice address, da_slice group)
{
  return da_slice_starts(address, group) && (address.len == group.len || address.ptr[group.len] == '/');
}

da_group *da_worker_group(const da_worker *worker, da_slice address)
{
  for (size_t i = 0; i < worker->options.target_count; i++)
    if (is_of(address, worker->groups[i].address)) return &worker->groups[i];
  return NULL;
}

bool da_worker_has_target(const da_worker *worker, da_slice address)
{
  return da_worker_group(worker, address) != NULL;
}

da_slice da_group_name(da_slice address)
{
  ptrdiff_t at = da_slice_find(address, '@');
  da_slice name = at < 0 ? address : da_slice_make(address.ptr + at + 1, address.len - (size_t)at - 1);
  ptrdiff_t end = da_slice_find(name, '/');
  return end < 0 ? name : da_slice_make(name.ptr, (size_t)end);
}

static da_slice script_of(const da_bundle *bundle)
{
  return bundle->modules[0].file;
}

static bool same_script(const da_bundle *a, const da_bundle *b)
{
  if (!da_slice_eq(script_of(a), script_of(b))) return false;
  return a->directory == NULL || b->directory == NULL || strcmp(a->directory, b->directory) == 0;
}

static void look_for_code(da_worker *worker);

void da_group_add(da_worker *worker, size_t group, da_served *served)
{
  serving **at = &worker->groups[group].newest;
  serving *own = NULL;
  while (*at != NULL) {
    serving *s = *at;
    if (s->served == served) {
      own = s;
      *at = s->older;
      continue;
    }
    if (same_script(s->served->bundle, served->bundle)) s->replaced = true;
    at = &s->older;
  }
  if (own == NULL) own = da_xcalloc(1, sizeof *own);
  *own = (serving){.served = served, .older = worker->groups[group].newest};
  worker->groups[group].newest = own;
  look_for_code(worker);
}

da_bundle *da_group_bundle(const da_group *group, size_t at)
{
  for (const serving *s = group->newest; s != NULL; s = s->older)
    if (!s->replaced && at-- == 0) return s->served->bundle;
  return NULL;
}

/* *version 0: the highest. */
static const da_function *find_function(const da_served *served, da_slice name, bool workflow, int64_t version)
{
  const da_function *found = NULL;
  for (size_t i = 0; i < served->function_count; i++) { /* by name, then by version */
    const da_function *f = &served->functions[i];
    if (f->workflow == workflow && (version == 0 || f->version == version) && da_slice_eq(f->name, name)) found = f;
  }
  return found;
}

da_served *da_group_find(const da_group *group, da_slice func, int64_t *version, const da_bundle *caller)
{
  for (int own = caller != NULL ? 1 : 0; own >= 0; own--) {
    for (serving *s = group->newest; s != NULL; s = s->older) {
      if (s->replaced || (own && !same_script(s->served->bundle, caller))) continue;
      const da_function *found = find_function(s->served, func, true, *version);
      if (found == NULL) continue;
      *version = found->version;
      return s->served;
    }
  }
  return NULL;
}

da_bundle *da_group_step_bundle(const da_execution *execution, da_slice func, int64_t version)
{
  const da_group *group = da_worker_group(execution->worker, execution->target);
  for (const serving *s = group != NULL ? group->newest : NULL; s != NULL; s = s->older)
    if (same_script(s->served->bundle, execution->bundle) && find_function(s->served, func, false, version) != NULL)
      return s->served->bundle;
  return execution->bundle;
}

/* ---- what an execution is called with ------------------------------------------------------------------ */

/* The number at the end of what da_call_param() wrote. False: somebody else wrote it. */
static bool last_version(da_slice param, int64_t *version)
{
  static const da_slice member = {"\"version\":", 10};
  int64_t unit = 1;
  size_t i = param.len > 0 ? param.len - 1 : 0;
  for (*version = 0; i > 0 && unit < 1000000000 && param.ptr[i - 1] >= '0' && param.ptr[i - 1] <= '9'; unit *= 10)
    *version += unit * (param.ptr[--i] - '0');
  return i >= member.len && da_slice_eq(da_slice_make(param.ptr + i - member.len, member.len), member);
}

/* What the parameters of a call hold, as this process and the protocol's clients write them:
 * {"func": name, "args": [...], "version": number, "retry": {...}}, the last two optional. How often a failed function
 * is repeated is for its own code to say, so `retry` is only looked at. Returns NULL, or why they are no call. */
static const char *read_call(da_slice param, da_arena *arena, da_slice *func, int64_t *version)
{
  *func = DA_NONE;
  *version = 0;
  if (param.len == 0) return "there are none";
  if (da_json_check(param, NULL) != DA_OK) return "they are not JSON";
  da_json_item call = da_json_item_of(param);
  if (call.kind != DA_JSON_OBJECT) return "they are no object";
  const char *fault = NULL;
  bool args = false;
  da_slice name;
  da_json_item item;
  for (da_json_walk walk = da_json_walk_of(call); da_json_walk_next(&walk, arena, &name, &item);) {
    if (da_slice_eq(name, DA_LIT("func")) && item.kind == DA_JSON_STRING)
      *func = da_json_item_string(item, arena);
    else if (da_slice_eq(name, DA_LIT("args")))
      args = item.kind == DA_JSON_ARRAY;
    else if (da_slice_eq(name, DA_LIT("version")) && (!da_json_item_int(item, version) || *version < 0))
      fault = "`version` is no whole number from 0 on";
    else if (da_slice_eq(name, DA_LIT("retry")) && item.kind != DA_JSON_OBJECT)
      fault = "`retry` is no object";
  }
  if (func->len == 0) return "`func` is not the name of a function";
  return args ? fault : "`args` is no array";
}

int64_t da_group_version(const da_execution *execution)
{
  da_slice func;
  int64_t version = 0;
  if (last_version(execution->args, &version)) return version;
  da_arena arena = {0};
  (void)read_call(execution->args, &arena, &func, &version);
  da_arena_free(&arena);
  return version < 0 ? 0 : version;
}

da_slice da_group_function(da_execution *execution)
{
  da_slice func;
  int64_t version;
  (void)read_call(execution->args, &execution->arena, &func, &version);
  return func;
}

bool da_group_read_call(const da_promise *promise, da_arena *arena, da_slice *func, int64_t *version)
{
  const char *fault = read_call(da_call_json(arena, &promise->param), arena, func, version);
  if (promise->call.func.len > 0) *func = promise->call.func;
  return fault == NULL;
}

/* ---- waiting for code ---------------------------------------------------------------------------------- */

void da_group_lose(da_execution *execution)
{
  if (execution->code_timer == NULL) return;
  da_timer_stop(execution->code_timer);
  execution->code_timer = NULL;
  da_execution **at = &execution->worker->codeless;
  while (*at != execution) at = &(*at)->next_codeless;
  *at = execution->next_codeless;
}

static void pinned(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_op_delete(op);
  da_execution_ready(context.execution);
  da_execution_unref(context.execution);
}

typedef struct pin {
  da_slice id;
  da_digest bundle;
} pin;

static da_status write_pin(da_store *store, da_op *op, da_err *err)
{
  const pin *p = op->call_argument;
  da_view *view = da_store_view(store);
  da_promise promise;
  int found = view->ops->promise(view, p->id, &op->arena, &promise);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  if (found == 0 || promise.state != DA_PENDING) return DA_OK; /* it is told in its turn */
  promise.call.has_bundle = true;
  promise.call.bundle = p->bundle;
  da_write write = {.table = DA_TABLE_PROMISE, .row.promise = &promise};
  return da_store_write(store, &write, err);
}

/* Before any of it runs: a replay takes the same code. */
static void pin_to(da_execution *execution, const da_served *served)
{
  execution->bundle = da_bundle_ref(served->bundle);
  if (execution->far != NULL) { /* its records will say so */
    da_execution_ready(execution);
    return;
  }
  da_op *op = da_op_new();
  pin *p = da_arena_alloc(&op->arena, sizeof *p);
  *p = (pin){da_arena_dup(&op->arena, execution->id), served->bundle->hash};
  op->call = write_pin;
  op->call_argument = p;
  da_execution_submit(execution, op, NULL, pinned);
}

static da_served *find_code(const da_execution *execution)
{
  const da_group *group = da_worker_group(execution->worker, execution->target);
  int64_t version = execution->func_version;
  return group != NULL ? da_group_find(group, execution->func, &version, NULL) : NULL;
}

/* A function that is asked for, and where. */
typedef struct wanted {
  const da_group *group; /* NULL: this worker has none of that name */
  da_slice target, func;
  int64_t version;
} wanted;

static wanted wanted_by(const da_execution *execution)
{
  return (wanted){da_worker_group(execution->worker, execution->target), execution->target, execution->func,
                  execution->func_version};
}

/* The versions of the function that the group has: "1, 2", or nothing. */
static void list_versions(const wanted *w, da_buf *out)
{
  for (const serving *s = w->group != NULL ? w->group->newest : NULL; s != NULL; s = s->older)
    for (size_t i = 0; i < s->served->function_count && !s->replaced; i++) {
      const da_function *f = &s->served->functions[i];
      if (f->workflow && da_slice_eq(f->name, w->func))
        da_buf_addf(out, "%s%lld", out->len > 0 ? ", " : "", (long long)f->version);
    }
}

/* What the group has instead: ", but a, b, c". */
static void list_workflows(const wanted *w, da_buf *out)
{
  enum { LISTED = 20 };
  int listed = 0;
  for (const serving *s = w->group != NULL ? w->group->newest : NULL; s != NULL; s = s->older)
    for (size_t i = 0; i < s->served->function_count && !s->replaced && listed < LISTED; i++)
      if (s->served->functions[i].workflow)
        da_buf_addf(out, "%s%.*s", listed++ == 0 ? ", but " : ", ", DA_FMT(s->served->functions[i].name));
}

static void describe_lack(const wanted *w, da_buf *out)
{
  da_buf versions = {0};
  list_versions(w, &versions);
  da_slice group = da_group_name(w->target);
  if (versions.len > 0) {
    da_buf_addf(out, "workflow '%.*s' has no version %lld in group '%.*s'; it has %.*s", DA_FMT(w->func),
                (long long)w->version, DA_FMT(group), DA_FMT(da_buf_slice(&versions)));
  } else {
    da_buf_addf(out, "no file that serves group '%.*s' defines a workflow '%.*s'", DA_FMT(group), DA_FMT(w->func));
    list_workflows(w, out);
  }
  da_buf_free(&versions);
}

static void reject(da_execution *execution, const char *code, da_buf *words)
{
  da_buf json = {0};
  da_fault_json(&json, code, da_buf_slice(words));
  da_execution_end_at_once(execution, DA_REJECTED, da_buf_slice(&json));
  da_buf_free(&json);
  da_buf_free(words);
}

static void describe_no_call(const da_execution *execution, const char *fault, da_buf *out)
{
  da_buf_addf(out, "the parameters of '%.*s' are no call: %s; they are to be {\"func\": NAME, \"args\": [...]}",
              DA_FMT(execution->id), fault);
}

static const char *fault_of_call(const da_execution *execution)
{
  da_arena arena = {0};
  da_slice func;
  int64_t version;
  const char *fault = read_call(execution->args, &arena, &func, &version);
  da_arena_free(&arena);
  return fault;
}

/* Gives the code of the fault. */
static const char *describe_wait(const da_execution *execution, da_buf *out)
{
  const char *fault = fault_of_call(execution);
  if (fault != NULL) {
    describe_no_call(execution, fault, out);
    return "invalid_call";
  }
  wanted lack = wanted_by(execution);
  describe_lack(&lack, out);
  return "unknown_function";
}

static void give_up(void *arg)
{
  da_execution *execution = arg;
  da_buf words = {0};
  da_group_lose(execution);
  const char *code = describe_wait(execution, &words);
  reject(execution, code, &words);
}

static void tell(da_worker *worker, da_slice id, da_slice key, const da_buf *words)
{
  if (worker->options.event == NULL) return;
  da_event event = {.kind = DA_EVENT_UNSERVED, .execution = id, .func = key, .text = da_buf_slice(words)};
  worker->options.event(worker->options.user, &event);
}

static void wait_for_code(da_execution *execution)
{
  da_worker *worker = execution->worker;
  da_buf words = {0};
  execution->next_codeless = worker->codeless;
  worker->codeless = execution;
  execution->code_timer = da_timer_start(worker->sched, da_clock_now_ms() + DA_CODE_WAIT_MS, give_up, execution);
  (void)describe_wait(execution, &words);
  da_buf_addf(&words, " (it is waited for %d s, then the call is rejected)", DA_CODE_WAIT_MS / 1000);
  tell(worker, execution->id, execution->func.len > 0 ? execution->func : execution->id, &words);
  da_buf_free(&words);
}

/* On a server elsewhere there may be a worker that has it, now or later. */
static void leave_codeless(da_execution *execution)
{
  da_buf words = {0};
  (void)describe_wait(execution, &words);
  da_buf_addf(&words, " (the task is left for a worker that does)");
  tell(execution->worker, execution->id, execution->func.len > 0 ? execution->func : execution->id, &words);
  da_buf_free(&words);
  da_far_leave(execution);
}

void da_group_find_code(da_execution *execution)
{
  da_slice func;
  da_buf words = {0};
  const char *fault = read_call(execution->args, &execution->arena, &func, &execution->func_version);
  if (execution->far != NULL && (fault != NULL || find_code(execution) == NULL)) {
    leave_codeless(execution);
    return;
  }
  if (fault != NULL && !execution->worker->options.shared) {
    describe_no_call(execution, fault, &words);
    reject(execution, "invalid_call", &words);
    return;
  }
  /* What this process cannot read may be for workers with a codec of their own, which may be on their way back. */
  const da_served *served = fault == NULL ? find_code(execution) : NULL;
  if (served != NULL)
    pin_to(execution, served);
  else if (!da_abroad_give_back(execution))
    wait_for_code(execution);
}

/* A bundle came: whom does it help? */
static void look_for_code(da_worker *worker)
{
  for (da_execution *execution = worker->codeless, *next; execution != NULL; execution = next) {
    next = execution->next_codeless;
    const da_served *served = fault_of_call(execution) == NULL ? find_code(execution) : NULL;
    if (served == NULL) continue;
    da_group_lose(execution);
    pin_to(execution, served);
  }
  da_abroad_reconsider(worker);
}

void da_group_tell_abroad(da_worker *worker, da_slice id, da_slice address, da_slice func, int64_t version)
{
  da_buf words = {0};
  wanted lack = {da_worker_group(worker, address), address, func, version};
  describe_lack(&lack, &words);
  da_buf_addf(&words, "; it waits for a worker that does");
  tell(worker, id, func, &words);
  da_buf_free(&words);
}

void da_group_tell_unserved(da_worker *worker, da_slice id, da_slice address)
{
  da_buf words = {0};
  da_slice name = da_group_name(address);
  da_buf_addf(&words, "it waits for group '%.*s', which this process does not serve (dahost serve %.*s=FILE)",
              DA_FMT(name), DA_FMT(name));
  tell(worker, id, name, &words);
  da_buf_free(&words);
}
