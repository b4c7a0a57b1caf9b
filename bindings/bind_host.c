/* bind_host.c - a host within another program: store, sched, worker, put together behind dahost.h.
 *
 * What host/cli/host.c is to the program `dahost`, without its control socket and its views. It is the one file of the
 * room that opens a store.
 * Threads: the one that opened the host.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "bind.h"
#include "bind_native.h"

#include "../host/base/clock.h"
#include "../host/base/id.h"
#include "../host/base/json.h"
#include "../host/base/limits.h"
#include "../host/base/log.h"
#include "../host/base/signals.h"
#include "../host/store/store.h"

typedef struct following following;

struct dahost {
  da_store *store;
  da_sched *sched;
  da_worker *worker;
  bind_natives *natives;
  da_bundle **bundles;
  size_t bundle_count;
  void (*output)(void *user, const char *id, const char *line);
  void *user;
  following *followings; /* that nobody was told of yet */
  char pid[32];
  char error[512];
  da_buf result;
};

struct following {
  dahost *host;
  char *id;
  void (*fn)(void *user, const char *id, dahost_state state, const char *json);
  void *user;
  following *prev, *next;
};

const char *dahost_error(const dahost *host)
{
  return host->error;
}

static bool fail(dahost *host, const char *format, ...) DA_PRINTF(2, 3);
static bool fail(dahost *host, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  (void)vsnprintf(host->error, sizeof host->error, format, args);
  va_end(args);
  return false;
}

/* ---- opening and closing --------------------------------------------------------------------------------- */

static void hear(void *user, const da_event *event)
{
  dahost *host = user;
  if (event->kind == DA_EVENT_PARKED)
    da_log(DA_LOG_ERROR, "execution.parked", "id=%.*s text=\"%.*s\"", DA_FMT(event->execution), DA_FMT(event->text));
  if (event->kind != DA_EVENT_OUTPUT) return;
  if (host->output == NULL) {
    (void)fprintf(stderr, "%.*s\n", DA_FMT(event->text));
    return;
  }
  char *id = da_xstrndup(event->execution), *line = da_xstrndup(event->text);
  host->output(host->user, id, line);
  free(id);
  free(line);
}

static da_status open_natives(dahost *host, const dahost_options *options, da_err *err)
{
  host->natives = bind_natives_new();
  da_status status = DA_OK;
  for (const dahost_library_info *const *each = options->libraries; each != NULL && *each != NULL && status == DA_OK;
       each++)
    status = bind_natives_add(host->natives, *each, err);
  return status;
}

static da_status open_store(dahost *host, const dahost_options *options, da_err *err)
{
  const da_store_options how = {.create = true};
  if (options->directory != NULL) return da_store_open(options->directory, &how, &host->store, err);
  host->store = da_store_open_memory();
  return DA_OK;
}

static da_status open_worker(dahost *host, const dahost_options *options, da_err *err)
{
  uint8_t secret[16], image_key[DA_STORE_IMAGE_KEY];
  da_store_secret(host->store, secret);
  bool images = da_worker_can_image() && da_store_image_key(host->store, image_key);
  bind_setup();
  size_t warm = options->warm_bytes == 0 ? SIZE_MAX : options->warm_bytes < 0 ? 0 : (size_t)options->warm_bytes;
  const da_worker_options worker = {.sched = host->sched,
                                    .hooks = {.open_isolate = bind_open_isolate,
                                              .open_step = bind_open_step,
                                              .native = bind_natives_find,
                                              .natives = host->natives},
                                    .targets = &da_default_target,
                                    .target_count = 1,
                                    .pid = host->pid,
                                    .secret = secret,
                                    .step_threads = options->step_threads,
                                    .warm_bytes = warm,
                                    .image_key = images ? image_key : NULL,
                                    .image_after = DA_IMAGE_AFTER,
                                    .image_every = DA_IMAGE_EVERY,
                                    .after_death = da_store_after_death(host->store),
                                    .event = hear,
                                    .user = host};
  da_status status = da_worker_new(&worker, &host->worker, err);
  if (status != DA_OK) return status;
  da_sched_events events = da_worker_events(host->worker);
  da_sched_set_events(host->sched, &events);
  da_worker_drive(host->worker, true);
  return DA_OK;
}

static void recovered(void *user)
{
  dahost *host = user;
  da_store_death_known(host->store);
}

static da_status open_all(dahost *host, const dahost_options *options, da_err *err)
{
  da_status status = open_natives(host, options, err);
  if (status == DA_OK) status = open_store(host, options, err);
  if (status != DA_OK) return status;
  da_id_local_pid(host->pid);
  const da_sched_options sched = {.store = host->store,
                                  .profile = da_profile_default,
                                  .local_targets = &da_default_target,
                                  .local_target_count = 1,
                                  .fires = true,
                                  .loop = options->loop,
                                  .pid = host->pid};
  status = da_sched_new(&sched, &host->sched, err);
  if (status == DA_OK) status = open_worker(host, options, err);
  if (status != DA_OK) return status;
  da_sched_recover(host->sched, recovered, host);
  da_sched_begin(host->sched);
  return DA_OK;
}

dahost *dahost_open(const dahost_options *options, char *why, size_t why_size)
{
  /* A program of before has a shorter struct, whose last field was `user`. */
  const size_t first = offsetof(dahost_options, user) + sizeof options->user;
  da_err err = {{0}};
  dahost_options own = {0};
  if (options->size < first) {
    (void)snprintf(why, why_size, "dahost_options.size must be sizeof(dahost_options)");
    return NULL;
  }
  memcpy(&own, options, options->size < sizeof own ? options->size : sizeof own);
  options = &own;
  da_signals_leave();
  dahost *host = da_xcalloc(1, sizeof *host);
  host->output = options->output;
  host->user = options->user;
  if (open_all(host, options, &err) == DA_OK) return host;
  (void)snprintf(why, why_size, "%s", err.text);
  dahost_close(host);
  return NULL;
}

static void end_following(following *f)
{
  *(f->prev != NULL ? &f->prev->next : &f->host->followings) = f->next;
  if (f->next != NULL) f->next->prev = f->prev;
  free(f->id);
  free(f);
}

void dahost_close(dahost *host)
{
  if (host == NULL) return;
  if (host->worker != NULL) {
    da_store_ended(host->store);
    da_worker_delete(host->worker);
  }
  if (host->sched != NULL) da_sched_delete(host->sched);
  if (host->store != NULL) da_store_close(host->store);
  while (host->followings != NULL) end_following(host->followings);
  for (size_t i = 0; i < host->bundle_count; i++) da_bundle_unref(host->bundles[i]);
  free(host->bundles);
  bind_natives_delete(host->natives);
  da_buf_free(&host->result);
  free(host);
}

/* ---- the loop -------------------------------------------------------------------------------------------- */

void dahost_turn(dahost *host, bool wait)
{
  da_sched_turn(host->sched, wait);
}

int dahost_fd(const dahost *host)
{
  return uv_backend_fd(da_sched_loop(host->sched));
}

int dahost_timeout(const dahost *host)
{
  uv_loop_t *loop = da_sched_loop(host->sched);
  uv_update_time(loop);
  return uv_backend_timeout(loop);
}

/* ---- scripts and executions ------------------------------------------------------------------------------ */

bool dahost_load(dahost *host, const char *path)
{
  da_err err = {{0}};
  da_bundle *bundle = NULL;
  if (da_bundle_read(path, &bundle, &err) != DA_OK) return fail(host, "%s", err.text);
  if (da_worker_serve(host->worker, bundle, &err) != DA_OK) {
    da_bundle_unref(bundle);
    return fail(host, "%s", err.text);
  }
  host->bundles = da_xrealloc(host->bundles, (host->bundle_count + 1) * sizeof(da_bundle *));
  host->bundles[host->bundle_count++] = bundle;
  return true;
}

/* The newest of the script that was loaded last. */
static const da_function *find_workflow(const dahost *host, da_slice name, const da_bundle **bundle)
{
  const da_function *found = NULL;
  for (size_t i = host->bundle_count; i-- > 0 && found == NULL;) {
    size_t count;
    const da_function *all = da_worker_functions(host->worker, host->bundles[i], &count);
    for (size_t k = 0; k < count; k++)
      if (all[k].workflow && da_slice_eq(all[k].name, name)) found = &all[k]; /* sorted by version */
    *bundle = host->bundles[i];
  }
  return found;
}

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  const char *id = user;
  (void)created;
  if (promise == NULL) da_log(DA_LOG_ERROR, "start.failed", "id=%s status=%d text=\"%s\"", id, (int)status, err->text);
  free(user);
}

static bool check_id(dahost *host, const char *id)
{
  const char *fault = da_id_fault(da_slice_of(id));
  return fault == NULL || fail(host, "'%s' cannot be an id: %s", id, fault);
}

static bool check_json(dahost *host, const char *what, const char *json, bool array)
{
  size_t at = strspn(json, " \t\r\n");
  if (da_json_check(da_slice_of(json), NULL) != DA_OK) return fail(host, "%s: this is no JSON: %.100s", what, json);
  return !array || json[at] == '[' || fail(host, "%s: arguments are a JSON array, got %.100s", what, json);
}

bool dahost_start(dahost *host, const char *id, const char *function, const char *args)
{
  const da_bundle *bundle = NULL;
  const da_function *found = find_workflow(host, da_slice_of(function), &bundle);
  if (found == NULL) return fail(host, "no script that is loaded defines the workflow '%s'", function);
  if (!check_id(host, id) || !check_json(host, "dahost_start", args, true)) return false;
  if (da_id_rest(da_slice_of(id)).len > 0)
    return fail(host, "'%s': the id of an execution holds no '%c'", id, da_id_root_end());
  da_worker_start(host->worker, da_slice_of(id), found->name, found->version, da_slice_of(args), bundle, started,
                  da_xstrndup(da_slice_of(id)));
  return true;
}

void dahost_cancel(dahost *host, const char *id, const char *why)
{
  da_worker_cancel(host->sched, da_slice_of(id), da_slice_of(why), NULL, NULL);
}

bool dahost_settle(dahost *host, const char *id, bool resolved, const char *json)
{
  if (!check_id(host, id) || !check_json(host, "dahost_settle", json, false)) return false;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  request->id = da_arena_dup(&op->arena, da_slice_of(id));
  request->state = resolved ? DA_RESOLVED : DA_REJECTED;
  request->value =
      (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, da_slice_of(json))};
  da_sched_submit(host->sched, op, false);
  return true;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static dahost_state state_of(const da_promise *promise)
{
  if (promise == NULL) return DAHOST_UNKNOWN;
  switch (promise->state) {
  case DA_PENDING:
    return DAHOST_PENDING;
  case DA_RESOLVED:
    return DAHOST_RESOLVED;
  case DA_REJECTED:
    return DAHOST_REJECTED;
  case DA_CANCELED:
    return DAHOST_CANCELED;
  default:
    return DAHOST_TIMEDOUT;
  }
}

static void tell_settled(void *user, const da_promise *promise)
{
  following *f = user;
  char *json = da_xstrndup(promise != NULL ? promise->value.data : DA_NONE);
  f->fn(f->user, f->id, state_of(promise), json);
  free(json);
  end_following(f);
}

static following *follow(dahost *host, const char *id, void (*fn)(void *, const char *, dahost_state, const char *),
                         void *user)
{
  following *f = da_xcalloc(1, sizeof *f);
  *f = (following){.host = host, .id = da_xstrndup(da_slice_of(id)), .fn = fn, .user = user, .next = host->followings};
  if (f->next != NULL) f->next->prev = f;
  host->followings = f;
  da_worker_follow(host->worker, da_slice_of(f->id), tell_settled, f);
  return f;
}

void dahost_on_settled(dahost *host, const char *id,
                       void (*fn)(void *user, const char *id, dahost_state state, const char *json), void *user)
{
  (void)follow(host, id, fn, user);
}

typedef struct waiting {
  dahost *host;
  da_timer *timer;
  bool settled, over;
  dahost_state state;
} waiting;

static void wait_settled(void *user, const char *id, dahost_state state, const char *json)
{
  waiting *w = user;
  (void)id;
  w->settled = true;
  w->state = state;
  da_buf_add(&w->host->result, json, strlen(json) + 1);
}

static void wait_over(void *user)
{
  waiting *w = user;
  w->timer = NULL;
  w->over = true;
}

dahost_state dahost_wait(dahost *host, const char *id, int timeout_ms)
{
  waiting w = {.host = host};
  da_buf_clear(&host->result);
  if (!check_id(host, id)) return DAHOST_UNKNOWN;
  following *f = follow(host, id, wait_settled, &w);
  if (timeout_ms >= 0) w.timer = da_timer_start(host->sched, da_clock_now_ms() + timeout_ms, wait_over, &w);
  while (!w.settled && !w.over) da_sched_turn(host->sched, true);
  if (w.timer != NULL) da_timer_stop(w.timer);
  if (!w.settled && da_worker_unfollow(host->worker, da_slice_of(f->id), f)) {
    end_following(f);
    return DAHOST_PENDING;
  }
  while (!w.settled) da_sched_turn(host->sched, true); /* it is on its way */
  if (w.state == DAHOST_UNKNOWN) (void)fail(host, "there is no promise '%s'", id);
  return w.state;
}

const char *dahost_result(const dahost *host)
{
  return host->result.len > 0 ? host->result.ptr : "";
}

/* ---- the log --------------------------------------------------------------------------------------------- */

static struct {
  void (*fn)(void *user, dahost_log_level level, const char *line);
  void *user;
} log_sink;

static void sink(void *user, da_log_level level, da_slice line)
{
  (void)user;
  char *text = da_xstrndup(line);
  log_sink.fn(log_sink.user, (dahost_log_level)level, text);
  free(text);
}

void dahost_log(dahost_log_level level, void (*fn)(void *user, dahost_log_level level, const char *line), void *user)
{
  log_sink.fn = fn;
  log_sink.user = user;
  da_log_set_level((da_log_level)level);
  da_log_set_sink(fn != NULL ? sink : NULL, NULL);
}
