/* reach.c - the asking side of every verb that touches the store.
 * SPDX-License-Identifier: Apache-2.0 */
#include "reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/text.h"
#include "../sched/control.h"
#include "../sched/kill.h"
#include "config.h"
#include "event.h"
#include "plugins.h"
#include "text.h"

enum { RETRY_MS = 20, SILENT_MS = 10000, SAY_MS = 1000 };

char *cli_store_place(const cli_command *command)
{
  const char *path = cli_has(command, CLI_DATA) ? command->flags[CLI_DATA] : ".dahost";
  char *whole = realpath(path, NULL);
  if (whole != NULL) return whole;
  char here[4096];
  da_buf place = {0};
  if (path[0] != '/' && getcwd(here, sizeof here) != NULL) da_buf_addf(&place, "%s/", here);
  if (strncmp(path, "./", 2) == 0) path += 2;
  da_buf_add(&place, path, strlen(path) + 1);
  return place.ptr;
}

/* ---- one try ------------------------------------------------------------------------------------------- */

typedef struct attempt {
  const cli_ask *ask;
  cli_client *client;
  const char *place;
  const cli_host_options *sizes;
  cli_host *host;  /* when it is answered here */
  cli_model model; /* when it is answered elsewhere */
  int64_t holder;  /* the process that answers; 0: unknown */
  bool heard;      /* it did answer */
  int code;
} attempt;

static void hear_row(attempt *a, const cJSON *row)
{
  da_slice words = da_json_text(row, "error");
  if (words.len > 0) {
    int64_t code = CLI_EXIT_FAILED;
    (void)da_json_int(row, "code", &code);
    if (a->client->refused != NULL) a->client->refused(a->client->user);
    a->code = cli_fail((int)code, "%.*s", DA_FMT(words));
  } else if (a->client->row != NULL) {
    a->client->row(a->client->user, row);
  } else {
    da_json_add(a->client->rows, cJSON_Duplicate(row, true));
  }
}

/* ---- answered here ------------------------------------------------------------------------------------- */

static void here_row(void *user, const cJSON *row)
{
  hear_row(user, row);
}

static void here_event(void *user, const da_event *event)
{
  attempt *a = user;
  if (a->client->event != NULL) a->client->event(a->client->user, event, &cli_host_service(a->host)->model);
}

static void here_end(void *user)
{
  attempt *a = user;
  cli_host_leave(a->host);
}

static void here_ready(void *user)
{
  attempt *a = user;
  cli_sink sink = {.row = here_row, .event = here_event, .end = here_end, .user = a};
  (void)cli_service_ask(cli_host_service(a->host), cJSON_Duplicate(a->ask->json, true), a->ask->bundle, &sink);
}

int cli_read_sizes(const cli_command *command, cli_host_options *options)
{
  options->warm_bytes = (size_t)cli_config_number(command, CLI_WARM);
  options->images = cli_config_on(command, CLI_IMAGES);
  options->image_after = (uint64_t)cli_config_number(command, CLI_IMAGE_AFTER);
  options->image_every = (uint64_t)cli_config_number(command, CLI_IMAGE_EVERY);
  options->step_threads = (int)cli_config_number(command, CLI_STEP_THREADS);
  options->span_limit_ms = cli_config_number(command, CLI_SPAN_LIMIT);
  options->deaths_max = (int)cli_config_number(command, CLI_DEATHS);
  return cli_plugins_load(command);
}

static int answer_here(attempt *a, da_store *store)
{
  cli_host_options options = {.store = store,
                              .place = a->place,
                              .worker = a->ask->worker,
                              .drive = a->ask->drive,
                              .step_threads = a->sizes->step_threads,
                              .warm_bytes = a->sizes->warm_bytes,
                              .images = a->sizes->images,
                              .image_after = a->sizes->image_after,
                              .image_every = a->sizes->image_every,
                              .span_limit_ms = a->sizes->span_limit_ms,
                              .deaths_max = a->sizes->deaths_max};
  da_err err = {{0}};
  if (cli_host_open(&options, &a->host, &err) != DA_OK) return cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  if (a->client->here != NULL) a->client->here(a->client->user, a->host);
  cli_host_run(a->host, here_ready, a);
  if (a->client->here != NULL) a->client->here(a->client->user, NULL);
  cli_host_close(a->host);
  return a->code;
}

/* ---- answered elsewhere -------------------------------------------------------------------------------- */

static bool hear_line(void *user, da_slice line)
{
  attempt *a = user;
  if (line.len == 0) {
    if (!a->heard)
      cli_note(a->ask->command, "waiting for process %lld, which holds the store and has not answered yet",
               (long long)a->holder);
    return true;
  }
  if (!a->heard && a->client->elsewhere != NULL) a->client->elsewhere(a->client->user, a->holder);
  a->heard = true;
  cJSON *row = da_json_parse(line, NULL);
  da_event event;
  if (row == NULL) return true; /* of a version that says more than this one knows */
  if (da_json_get(row, "event") != NULL) {
    if (cli_event_from_json(row, &event)) {
      (void)cli_model_tell(&a->model, &event);
      if (a->client->event != NULL) a->client->event(a->client->user, &event, &a->model);
    }
  } else if (da_json_flag(row, "tick")) {
    if (a->client->tick != NULL) a->client->tick(a->client->user);
  } else {
    hear_row(a, row);
  }
  cJSON_Delete(row);
  return true;
}

static da_status ask_elsewhere(attempt *a, da_err *err)
{
  cJSON *json = cJSON_Duplicate(a->ask->json, true);
  const da_bundle *bundle = a->ask->bundle;
  if (bundle != NULL) {
    da_buf text = {0};
    da_text_base64(&text, bundle->bytes);
    da_json_put_text(json, "bundle", da_buf_slice(&text));
    da_buf_free(&text);
    if (bundle->directory != NULL) {
      char *directory = realpath(bundle->directory, NULL);
      if (directory != NULL) da_json_put_text(json, "directory", da_slice_of(directory));
      free(directory);
    }
  }
  if (a->client->tick != NULL) da_json_put_flag(json, "tick", true);
  da_buf line = {0};
  da_json_print(json, &line);
  cJSON_Delete(json);
  da_status status = da_control_call(a->place, da_buf_slice(&line), hear_line, a, err);
  da_buf_free(&line);
  if (a->client->here != NULL) a->client->here(a->client->user, NULL);
  cli_model_free(&a->model);
  return status;
}

/* ---- both ---------------------------------------------------------------------------------------------- */

static void pause_ms(int ms)
{
  struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  (void)nanosleep(&t, NULL);
}

static int cannot_open(da_status status, const da_err *err)
{
  if (status == DA_ENOTFOUND)
    return cli_fail(CLI_EXIT_USAGE, "%s (dahost run makes one; --data DIR names another)", err->text);
  return cli_fail(CLI_EXIT_FAILED, "%s", err->text);
}

/* What came before the holder went away is asked for again. */
static void forget_rows(attempt *a)
{
  a->code = CLI_EXIT_OK;
  if (a->client->rows == NULL) return;
  cJSON_Delete(a->client->rows);
  a->client->rows = da_json_array();
}

/* One try at a store that another process holds. True: done. The holder may be starting up (no socket yet), or be a
 * tool that is gone in a moment. */
static bool try_elsewhere(attempt *a, const da_err *held, int *waited)
{
  da_err err = {{0}};
  a->holder = da_store_holder(a->place);
  da_status status = ask_elsewhere(a, &err);
  if (status == DA_OK || a->code != CLI_EXIT_OK) return true;
  if (status != DA_ENOTFOUND && status != DA_ECLOSED) {
    a->code = cli_fail(CLI_EXIT_FAILED, "%s", err.text);
    return true;
  }
  if (status == DA_ECLOSED && a->ask->once) {
    a->code = cli_fail(CLI_EXIT_FAILED, "the process that held the store is gone; what was asked may have been done");
    return true;
  }
  if (status == DA_ECLOSED) {
    *waited = 0;
    if (a->holder != 0)
      cli_note(a->ask->command, "process %lld, which held the store, is gone; going on", (long long)a->holder);
    else
      cli_note(a->ask->command, "the process that held the store is gone; going on");
    a->heard = false;
  }
  if (*waited >= SILENT_MS) {
    a->code = cli_fail(CLI_EXIT_FAILED, "%s, and that process does not answer", held->text);
    return true;
  }
  if (*waited == SAY_MS) cli_note(a->ask->command, "waiting: %s", held->text);
  forget_rows(a);
  pause_ms(RETRY_MS);
  *waited += RETRY_MS;
  return false;
}

int cli_reach(const cli_ask *ask, cli_client *client)
{
  const char *fault = da_kill_setup();
  cli_host_options sizes = {0};
  if (fault != NULL) return cli_fail(CLI_EXIT_USAGE, "%s", fault);
  int refused = cli_read_sizes(ask->command, &sizes);
  if (refused != 0) return refused;
  char *place = cli_store_place(ask->command);
  attempt a = {.ask = ask, .client = client, .place = place, .sizes = &sizes};
  da_store_options options = {.create = ask->create};
  int waited = 0;
  for (bool done = false; !done;) {
    da_err err = {{0}};
    da_store *store = NULL;
    da_status status = da_store_open(place, &options, &store, &err);
    if (status == DA_EBUSY) {
      done = try_elsewhere(&a, &err, &waited);
    } else {
      a.code = status == DA_OK ? answer_here(&a, store) : cannot_open(status, &err);
      done = true;
    }
  }
  free(place);
  return a.code;
}
