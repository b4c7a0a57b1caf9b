/* http_client_probe.c - the HTTP client as a program, for spec/net/http_client_spec.lua.
 *
 *     http_client_probe [OPTION=N]... [serial] CALL...        CALL: METHOD URL [body=TEXT]
 *
 * Options are those of da_http_client_options by name, and `times`: each call is made so often. serial: a call begins
 * when the one before it has ended, else all at once. delete=N: the client is deleted after N answers.
 * Prints a line for each end, in that order: "<number of the call> <status> <body>" or "<number> error <words>", and
 * "closed" when no handle is left. It ends when the loop has nothing to do any more.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "../../host/net/http_client.h"

enum { CALLS_MAX = 4096 };

typedef struct one {
  const char *method;
  const char *url;
  const char *body;
} one;

static uv_loop_t loop;
static da_http_client *client;
static one calls[CALLS_MAX];
static size_t call_count, begun, ended, delete_after = SIZE_MAX;
static bool serial, deleted, sending;

static void send_next(void);

static void on_closed(void *user)
{
  (void)user;
  puts("closed");
}

static void on_done(void *user, const da_http_reply *reply, const da_err *err)
{
  const one *call = user;
  if (sending) puts("done() was called from inside da_http_client_send()");
  if (reply != NULL)
    printf("%d %d %.*s\n", (int)(call - calls) + 1, reply->status, DA_FMT(reply->body));
  else
    printf("%d error %s\n", (int)(call - calls) + 1, err->text);
  (void)fflush(stdout);
  ended++;
  if (deleted) return;
  if (ended == call_count || ended == delete_after) {
    deleted = true;
    da_http_client_delete(client, on_closed, NULL);
  } else if (serial) {
    send_next();
  }
}

static void send_next(void)
{
  one *call = &calls[begun++];
  const da_http_field field = {DA_LIT("content-type"), DA_LIT("text/plain")};
  sending = true;
  da_http_client_send(client, call->method, da_slice_of(call->url), &field, 1, da_slice_of(call->body), on_done, call);
  sending = false;
}

static bool read_option(const char *word, da_http_client_options *options, size_t *times)
{
  const char *equals = strchr(word, '=');
  if (strcmp(word, "serial") == 0) return serial = true;
  if (equals == NULL) return false;
  da_slice name = da_slice_make(word, (size_t)(equals - word));
  long long value = strtoll(equals + 1, NULL, 10);
  if (da_slice_eq(name, DA_LIT("connections_max"))) options->connections_max = (size_t)value;
  if (da_slice_eq(name, DA_LIT("origin_max"))) options->origin_max = (size_t)value;
  if (da_slice_eq(name, DA_LIT("answer_max"))) options->answer_max = (size_t)value;
  if (da_slice_eq(name, DA_LIT("connect_ms"))) options->connect_ms = value;
  if (da_slice_eq(name, DA_LIT("request_ms"))) options->request_ms = value;
  if (da_slice_eq(name, DA_LIT("delete"))) delete_after = (size_t)value;
  if (da_slice_eq(name, DA_LIT("times"))) *times = (size_t)value;
  return true;
}

int main(int argc, char **argv)
{
  da_http_client_options options = {.loop = &loop};
  size_t times = 1;
  int at = 1;
  while (at < argc && read_option(argv[at], &options, &times)) at++;
  while (at + 1 < argc) {
    one call = {.method = argv[at], .url = argv[at + 1]};
    at += 2;
    if (at < argc && strncmp(argv[at], "body=", 5) == 0) call.body = argv[at++] + 5;
    for (size_t i = 0; i < times && call_count < CALLS_MAX; i++) calls[call_count++] = call;
  }
  if (call_count == 0 || uv_loop_init(&loop) != 0) return 2;
  client = da_http_client_new(&options);
  send_next();
  while (!serial && begun < call_count) send_next();
  (void)uv_run(&loop, UV_RUN_DEFAULT);
  return uv_loop_close(&loop) == 0 ? 0 : 1;
}
