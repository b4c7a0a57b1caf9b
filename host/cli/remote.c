/* remote.c - a Resonate server, asked over HTTP.
 * SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include <stdlib.h>
#include <sys/un.h>
#include <uv.h>

#include "../base/clock.h"
#include "../net/http_client.h"
#include "../net/http_url.h"
#include "text.h"

enum {
  WAIT_MS = 10000,        /* as the published SDK waits */
  ANSWER_MAX = 256 << 20, /* a page of a search: a thousand promises, some of them with large values */
  QUOTE_MAX = 120         /* bytes of a foreign answer that are shown */
};

struct cli_remote {
  const cli_command *command;
  uv_loop_t loop;
  da_http_client *client;
  const char *server;    /* as it was given */
  const char *unix_path; /* NULL: it is a URL */
  da_buf url;            /* what is posted to */
  da_slice token;
  int64_t wait_ms;
  int asked;
  bool closed;
  /* Of the request under way. */
  bool done;
  const char *kind;
  da_buf corr_id;
  cli_answer *answer;
  int code;
};

/* ---- what came instead of an answer -------------------------------------------------------------------- */

static da_slice field_of(const da_http_reply *reply, const char *name)
{
  const da_http_request fields = {.fields = reply->fields, .field_count = reply->field_count};
  const da_slice *value = da_http_field_get(&fields, name);
  return value != NULL ? *value : DA_NONE;
}

/* What kind of thing it was, and, of a short text, its first line. */
static void add_foreign(da_buf *out, const da_http_reply *reply)
{
  da_slice type = field_of(reply, "content-type");
  da_slice body = reply->body;
  da_buf_addf(out, "HTTP %d", reply->status);
  if (type.len > 0 && type.len < QUOTE_MAX) da_buf_addf(out, ", %.*s", DA_FMT(type));
  for (size_t i = 0; i < body.len; i++)
    if (body.ptr[i] == '\n' || body.ptr[i] == '\r') body.len = i;
  if (body.len > QUOTE_MAX) body.len = QUOTE_MAX;
  if (body.len > 0 && body.ptr[0] != '<' && body.ptr[0] != '{') da_buf_addf(out, ": %.*s", DA_FMT(body));
}

static int explain(const cli_remote *r, const da_http_reply *reply, const char *fault)
{
  da_buf what = {0};
  da_slice location = field_of(reply, "location");
  int status = reply->status;
  add_foreign(&what, reply);
  da_slice seen = da_buf_slice(&what);
  if (status == 401 || status == 403 || status == 407)
    cli_fail(CLI_EXIT_FAILED, "%s lets us not in (%.*s); --token JWT, or RESONATE_TOKEN, is shown to it", r->server,
             DA_FMT(seen));
  else if (status >= 300 && status < 400 && location.len > 0)
    cli_fail(CLI_EXIT_FAILED, "%s says that it is elsewhere (HTTP %d): --server %.*s", r->server, status,
             DA_FMT(location));
  else if (status == 413)
    cli_fail(CLI_EXIT_FAILED, "the request is too large for %s (%.*s)", r->server, DA_FMT(seen));
  else if (status == 429 || status >= 500)
    cli_fail(CLI_EXIT_FAILED, "%s, or a proxy in front of it, cannot answer now (%.*s)", r->server, DA_FMT(seen));
  else
    cli_fail(CLI_EXIT_FAILED, "%s is no Resonate server, it answers what is none of the protocol: %s (%.*s)", r->server,
             fault, DA_FMT(seen));
  da_buf_free(&what);
  return CLI_EXIT_FAILED;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static void on_done(void *user, const da_http_reply *reply, const da_err *err)
{
  cli_remote *r = user;
  r->done = true;
  uv_stop(&r->loop);
  if (reply == NULL) {
    r->code =
        cli_fail(CLI_EXIT_FAILED, "no answer from %s: %s (is it up? --server URL names another)", r->server, err->text);
    return;
  }
  da_buf_clear(&r->answer->text);
  da_buf_add_slice(&r->answer->text, reply->body);
  da_err fault = {{0}};
  bool good = cli_answer_read(r->answer, r->kind, da_buf_slice(&r->corr_id), &fault) == DA_OK;
  r->code = good ? CLI_EXIT_OK : explain(r, reply, fault.text);
}

int cli_remote_ask(cli_remote *r, const char *kind, da_slice data, cli_answer *answer)
{
  r->kind = kind;
  r->answer = answer;
  r->done = false;
  da_buf_clear(&r->corr_id);
  da_buf_addf(&r->corr_id, "cli-%lld-%d", (long long)da_clock_now_ms(), ++r->asked);
  da_buf body = {0}, bearer = {0};
  cli_envelope_text(&body, kind, da_buf_slice(&r->corr_id), r->token, data);
  da_buf_addf(&bearer, "Bearer %.*s", DA_FMT(r->token));
  const da_http_field fields[] = {{DA_LIT("content-type"), DA_LIT("application/json")},
                                  {DA_LIT("accept"), DA_LIT("application/json")},
                                  {DA_LIT("user-agent"), DA_LIT("dahost/" DA_VERSION)},
                                  {DA_LIT("authorization"), da_buf_slice(&bearer)}};
  size_t count = sizeof fields / sizeof *fields - (r->token.len > 0 ? 0 : 1);
  da_http_client_send(r->client, "POST", da_buf_slice(&r->url), fields, count, da_buf_slice(&body), on_done, r);
  while (!r->done) (void)uv_run(&r->loop, UV_RUN_DEFAULT);
  da_buf_free(&body);
  da_buf_free(&bearer);
  return r->code;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

/* A path as --listen takes it. */
static bool read_unix_path(cli_remote *r)
{
  const char *path = r->server + strlen("unix:");
  size_t len = strlen(path);
  size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
  if (len == 0 || len > max) {
    cli_fail(CLI_EXIT_USAGE, "--server: the path of a socket has 1 to %zu bytes: unix:/run/dahost.sock", max);
    return false;
  }
  r->unix_path = path;
  da_buf_addf(&r->url, "http://localhost/");
  return true;
}

/* The address without a '/' at its end, and one behind it. */
static bool read_url(cli_remote *r)
{
  if (strncmp(r->server, "unix:", 5) == 0) return read_unix_path(r);
  da_err err = {{0}};
  da_http_url url;
  da_slice given = da_slice_of(r->server);
  if (da_slice_find(given, '/') < 0) {
    cli_fail(CLI_EXIT_USAGE, "--server wants a URL; is http://%s meant?", r->server);
    return false;
  }
  if (da_http_url_read(given, &url, &err) != DA_OK) {
    cli_fail(CLI_EXIT_USAGE, "--server: %s", err.text);
    return false;
  }
  da_http_url_free(&url);
  if (da_slice_find(given, '?') >= 0 || da_slice_find(given, '#') >= 0) {
    cli_fail(CLI_EXIT_USAGE, "--server: a URL without '?' and '#' is wanted, not '%s'", r->server);
    return false;
  }
  while (given.ptr[given.len - 1] == '/') given.len--;
  da_buf_addf(&r->url, "%.*s/", DA_FMT(given));
  return true;
}

/* Nothing in it may begin another line of a request. */
static bool read_token(cli_remote *r)
{
  r->token = cli_text(r->command, CLI_TOKEN);
  for (size_t i = 0; i < r->token.len; i++) {
    if (r->token.ptr[i] > ' ' && r->token.ptr[i] < 0x7f) continue;
    cli_fail(CLI_EXIT_USAGE, "--token holds white space, or what is not ASCII, at its byte %zu; no token does", i + 1);
    return false;
  }
  return true;
}

static bool read_wait(cli_remote *r)
{
  const char *given = r->command->flags[CLI_REQUEST_TIMEOUT];
  r->wait_ms = WAIT_MS;
  if (given == NULL || (cli_duration_read(given, &r->wait_ms) && r->wait_ms > 0)) return true;
  cli_fail(CLI_EXIT_USAGE, "--request-timeout wants a duration (500ms, 30s, 5m), not '%s'", given);
  return false;
}

cli_remote *cli_remote_new(const cli_command *command)
{
  cli_remote *r = da_xcalloc(1, sizeof *r);
  r->command = command;
  r->server = command->flags[CLI_SERVER];
  bool good = read_url(r) && read_token(r) && read_wait(r);
  int code = good ? uv_loop_init(&r->loop) : 0;
  if (code != 0) cli_fail(CLI_EXIT_USAGE, "cannot ask a server: %s", uv_strerror(code));
  if (!good || code != 0) {
    da_buf_free(&r->url);
    free(r);
    return NULL;
  }
  const da_http_client_options options = {.loop = &r->loop,
                                          .connections_max = 1,
                                          .answer_max = ANSWER_MAX,
                                          .connect_ms = r->wait_ms,
                                          .request_ms = r->wait_ms,
                                          .unix_path = r->unix_path};
  r->client = da_http_client_new(&options);
  return r;
}

static void on_closed(void *user)
{
  cli_remote *r = user;
  r->closed = true;
}

void cli_remote_delete(cli_remote *r)
{
  da_http_client_delete(r->client, on_closed, r);
  while (!r->closed) (void)uv_run(&r->loop, UV_RUN_DEFAULT);
  int busy = uv_loop_close(&r->loop);
  DA_ASSERT_OP(busy, ==, 0);
  da_buf_free(&r->url);
  da_buf_free(&r->corr_id);
  free(r);
}
