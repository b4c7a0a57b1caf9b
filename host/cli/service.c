/* service.c - requests: which handler, how they end, who hears events.
 * SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

typedef struct handler {
  const char *verb;
  void (*serve)(cli_request *r);
  bool worker; /* wants one */
} handler;

static const handler handlers[] = {
    {"ps", cli_serve_ps, false},
    {"unserved", cli_serve_unserved, false},
    {"tree", cli_serve_tree, false},
    {"get", cli_serve_get, false},
    {"promise create", cli_serve_promise_create, false},
    {"promise settle", cli_serve_promise_settle, false},
    {"send", cli_serve_send, false},
    {"queue", cli_serve_queue, false},
    {"schedule create", cli_serve_schedule_create, false},
    {"schedule get", cli_serve_schedule_get, false},
    {"schedule delete", cli_serve_schedule_delete, false},
    {"schedule search", cli_serve_schedule_search, false},
    {"cancel", cli_serve_cancel, false},
    {"continue", cli_serve_continue, false},
    {"migrate", cli_serve_migrate, true},
    {"bulk", cli_serve_bulk, false},
    {"promise search", cli_serve_promise_search, false},
    {"run", cli_serve_run, true},
    {"resume", cli_serve_resume, true},
    {"request", cli_serve_request, false},
};

/* ---- life ---------------------------------------------------------------------------------------------- */

void cli_service_create(cli_service *service, da_sched *sched, da_worker *worker, const char *place)
{
  cli_row_worker(worker);
  *service = (cli_service){.sched = sched, .worker = worker, .place = da_xstrndup(da_slice_of(place))};
}

static void drop(cli_request *r)
{
  cli_service *service = r->service;
  *(r->prev != NULL ? &r->prev->next : &service->requests) = r->next;
  if (r->next != NULL) r->next->prev = r->prev;
  cJSON_Delete(r->json);
  if (r->bundle != NULL) da_bundle_unref(r->bundle);
  da_arena_free(&r->arena);
  free(r);
}

void cli_service_destroy(cli_service *service)
{
  cli_run_destroy(service);
  while (service->requests != NULL) drop(service->requests);
  cli_model_free(&service->model);
  free(service->place);
}

cli_request *cli_service_ask(cli_service *service, cJSON *json, da_bundle *bundle, const cli_sink *sink)
{
  cli_request *r = da_xcalloc(1, sizeof *r);
  r->service = service;
  r->sink = *sink;
  r->json = json;
  r->bundle = bundle != NULL ? da_bundle_ref(bundle) : NULL;
  r->next = service->requests;
  if (r->next != NULL) r->next->prev = r;
  service->requests = r;
  da_slice verb = da_json_text(json, "verb");
  for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
    if (!da_slice_eq(verb, da_slice_of(handlers[i].verb))) continue;
    if (handlers[i].worker && service->worker == NULL)
      cli_refuse(r, CLI_EXIT_FAILED, "the process that holds the store runs no scripts");
    else
      handlers[i].serve(r);
    return r;
  }
  cli_refuse(r, CLI_EXIT_USAGE, "the process that holds the store knows no verb '%.*s'; is it another version?",
             DA_FMT(verb));
  return r;
}

bool cli_request_follows(const cli_request *r)
{
  return r->on_gone != NULL && !da_json_flag(r->json, "start");
}

void cli_service_gone(cli_request *r)
{
  r->gone = true;
  if (r->on_gone != NULL) r->on_gone(r);
}

void cli_service_event(void *user, const da_event *event)
{
  cli_service *service = user;
  if (service->watch != NULL) service->watch(service->watch_user, event);
  /* The model of who serves holds what is followed; the rest may be a million sleepers. */
  if (!service->serves || cli_run_follows(service, event->execution)) (void)cli_model_tell(&service->model, event);
  cli_run_event(service, event);
}

/* ---- for handlers -------------------------------------------------------------------------------------- */

void cli_answer_row(cli_request *r, cJSON *given)
{
  if (!r->gone) r->sink.row(r->sink.user, given);
  cJSON_Delete(given);
}

void cli_request_end(cli_request *r)
{
  cli_sink sink = r->sink;
  bool gone = r->gone;
  drop(r);
  if (!gone) sink.end(sink.user);
}

void cli_refuse(cli_request *r, int code, const char *format, ...)
{
  char words[2048];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(words, sizeof words, format, args);
  va_end(args);
  cJSON *row = da_json_object();
  da_json_put_text(row, "error", da_slice_of(words));
  da_json_put_int(row, "code", code);
  cli_answer_row(r, row);
  cli_request_end(r);
}

da_op *cli_request_op(cli_request *r, void (*done)(da_op *op))
{
  da_op *op = da_op_new();
  op->user = r;
  op->done = done;
  return op;
}

da_op *cli_request_call(cli_request *r, da_status (*call)(da_store *store, da_op *op, da_err *err),
                        const void *argument, size_t size, void (*done)(da_op *op))
{
  da_op *op = cli_request_op(r, done);
  op->call = call;
  op->call_argument = da_arena_zalloc(&op->arena, size);
  memcpy(op->call_argument, argument, size);
  return op;
}

bool cli_op_failed(da_op *op)
{
  if (op->status == DA_OK) return false;
  cli_request *r = op->user;
  const char *words = op->err.text[0] != '\0' ? op->err.text : da_status_text(op->status);
  const char *place = r->service->place;
  if (strncmp(words, place, strlen(place)) == 0) /* the store's own words name it */
    cli_refuse(r, CLI_EXIT_FAILED, "%s", words);
  else
    cli_refuse(r, CLI_EXIT_FAILED, "%s: %s", place, words);
  da_op_delete(op);
  return true;
}
