/* serve_net.c - the network side of `serve`: what the flags say of it, what is told of it, its metrics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "serve_net.h"

#include <stdlib.h>

#include "../base/log.h"
#include "../net/metrics.h"
#include "config.h"
#include "systemd.h"

enum { SOCKETS_MAX = 16 };

typedef struct counts {
  uint64_t started;
  uint64_t restarted, restored;
  uint64_t parked;
  uint64_t completed;
  uint64_t attempts;
} counts;

struct cli_net {
  const cli_command *command;
  da_server *server;
  da_worker *worker;
  da_auth_options auth;
  int sockets[SOCKETS_MAX];
  da_server_options options;
  counts counts;
  void (*stopped)(void *user);
  void *user;
};

bool cli_net_listens(const cli_net *net)
{
  return net->options.adopted_count > 0 || (net->options.listen != NULL && net->options.listen[0] != NULL);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

/* What was said comes before the sockets that a service manager opened, these before what is built in. */
static int read_listeners(cli_net *net)
{
  static const char *none[] = {NULL};
  const cli_command *command = net->command;
  da_server_options *o = &net->options;
  o->adopted = net->sockets;
  o->adopted_count = cli_systemd_sockets(net->sockets, SOCKETS_MAX);
  o->listen = cli_config_list(command, CLI_LISTEN);
  if (!cli_config_given(command, CLI_LISTEN) && o->adopted_count > 0) o->listen = none;
  for (const char *const *at = o->listen; *at != NULL; at++) {
    if (strcmp(*at, "none") != 0) continue;
    if (o->listen[1] != NULL)
      return cli_fail(CLI_EXIT_USAGE, "--listen none, and another address: %s", o->listen[at == o->listen ? 1 : 0]);
    o->listen = none;
    break;
  }
  return 0;
}

static int read_tls(cli_net *net)
{
  da_server_options *o = &net->options;
  o->tls_certificate = cli_config_text(net->command, CLI_TLS_CERT);
  o->tls_key = cli_config_text(net->command, CLI_TLS_KEY);
  if ((o->tls_certificate == NULL) == (o->tls_key == NULL)) return 0;
  return cli_fail(CLI_EXIT_USAGE, "--tls-cert and --tls-key go together: --%s is missing",
                  o->tls_key == NULL ? "tls-key" : "tls-cert");
}

static int read_auth(cli_net *net)
{
  const cli_command *command = net->command;
  net->auth = (da_auth_options){.public_key = cli_config_text(command, CLI_AUTH_PUBLICKEY),
                                .secret_file = cli_config_text(command, CLI_AUTH_SECRET_FILE),
                                .issuer = cli_config_text(command, CLI_AUTH_ISS),
                                .audience = cli_config_text(command, CLI_AUTH_AUD)};
  if (net->auth.public_key != NULL || net->auth.secret_file != NULL) {
    net->options.auth = &net->auth;
  } else if (net->auth.issuer != NULL || net->auth.audience != NULL) {
    return cli_fail(CLI_EXIT_USAGE,
                    "--%s means nothing without a key: --auth-publickey FILE or --auth-secret-file FILE",
                    net->auth.issuer != NULL ? "auth-iss" : "auth-aud");
  }
  return 0;
}

static int read_transports(const cli_command *command, da_server_options *o)
{
  bool bearer = strcmp(cli_config_text(command, CLI_PUSH_AUTH), "bearer") == 0;
  o->poll_connections_max = (size_t)cli_config_number(command, CLI_POLL_CONNECTIONS);
  o->poll_buffer_max = (size_t)cli_config_number(command, CLI_POLL_BUFFER);
  o->poll_keepalive_ms = cli_config_number(command, CLI_POLL_KEEPALIVE);
  o->push = cli_config_on(command, CLI_PUSH);
  o->push_concurrency = (size_t)cli_config_number(command, CLI_PUSH_CONCURRENCY);
  o->push_connect_ms = cli_config_number(command, CLI_PUSH_CONNECT_TIMEOUT);
  o->push_request_ms = cli_config_number(command, CLI_PUSH_REQUEST_TIMEOUT);
  o->push_bearer_header = cli_config_text(command, CLI_PUSH_HEADER);
  if (!bearer) return 0;
  o->push_bearer = cli_config_text(command, CLI_PUSH_TOKEN);
  if (o->push_bearer != NULL) return 0;
  return cli_fail(CLI_EXIT_USAGE, "--push-auth bearer wants a token: DAHOST_PUSH_TOKEN, or "
                                  "transports.http_push.auth.token in the file");
}

int cli_net_new(const cli_command *command, cli_net **out)
{
  static cli_net whole; /* a process serves once, and as long as it lives */
  cli_net *net = &whole;
  da_server_options *o = &net->options;
  *out = net;
  net->command = command;
  if (strcmp(cli_config_text(command, CLI_LOG_FORMAT), "json") == 0) da_log_set_format(DA_LOG_JSON);
  int code = read_listeners(net);
  if (code == 0) code = read_tls(net);
  if (code == 0) code = read_auth(net);
  if (code == 0) code = read_transports(command, o);
  if (code != 0) return code;
  o->url = cli_config_text(command, CLI_URL);
  o->cors = cli_config_list(command, CLI_CORS);
  o->debug = cli_config_on(command, CLI_DEBUG);
  o->body_max = (size_t)cli_config_number(command, CLI_BODY_LIMIT);
  o->connections_max = (size_t)cli_config_number(command, CLI_MAX_CONNECTIONS);
  o->shutdown_ms = cli_config_number(command, CLI_SHUTDOWN_TIMEOUT);
  o->access_log = cli_config_on(command, CLI_ACCESS_LOG);
  o->metrics_listen = cli_config_text(command, CLI_METRICS);
  return 0;
}

/* ---- metrics ------------------------------------------------------------------------------------------- */

void cli_net_count(cli_net *net, const da_event *event)
{
  counts *c = &net->counts;
  c->started += event->kind == DA_EVENT_STARTED;
  c->restarted += event->kind == DA_EVENT_RESTARTED && !event->image;
  c->restored += event->kind == DA_EVENT_RESTARTED && event->image;
  c->parked += event->kind == DA_EVENT_PARKED;
  c->completed += event->kind == DA_EVENT_COMPLETED;
  c->attempts += event->kind == DA_EVENT_ATTEMPT;
}

static void write_metrics(void *user, da_buf *text)
{
  const cli_net *net = user;
  const counts *c = &net->counts;
  if (net->worker == NULL) return;
  da_worker_stats stats = da_worker_get_stats(net->worker);
  da_metrics_counter(text, "dahost_executions_started_total", "Executions that began here.", c->started);
  da_metrics_counter(text, "dahost_executions_restarted_total", "Executions recovered by replay.", c->restarted);
  da_metrics_counter(text, "dahost_executions_restored_total", "Executions recovered from an image.", c->restored);
  da_metrics_counter(text, "dahost_images_refused_total", "Images in the store that were of no use.",
                     stats.images_refused);
  da_metrics_counter(text, "dahost_images_written_total", "Images of suspended executions.", stats.images);
  da_metrics_counter(text, "dahost_images_bytes_total", "Bytes of those images.", stats.image_bytes);
  da_metrics_counter(text, "dahost_executions_parked_total", "Executions that parked.", c->parked);
  da_metrics_counter(text, "dahost_executions_completed_total", "Executions that ended.", c->completed);
  da_metrics_counter(text, "dahost_step_retries_total", "Attempts of steps that failed and are repeated.", c->attempts);
  da_metrics_gauge(text, "dahost_executions", "Executions in memory.", stats.executions);
  da_metrics_gauge(text, "dahost_executions_running", "Executions whose code runs or could run now.", stats.running);
  da_metrics_gauge(text, "dahost_executions_warm_bytes", "Memory of suspended executions.", stats.warm_bytes);
  da_metrics_gauge(text, "dahost_step_threads_busy", "Step threads that run a step.",
                   (uint64_t)stats.step_threads_busy);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

int cli_net_open(cli_net *net, da_sched *sched, da_worker *worker)
{
  da_err err = {{0}};
  net->worker = worker;
  net->options.sched = sched;
  net->options.more_metrics = write_metrics;
  net->options.user = net;
  if (da_server_new(&net->options, &net->server, &err) == DA_OK) return 0;
  const char *metrics = net->options.metrics_listen;
  if (metrics != NULL && strstr(err.text, metrics) != NULL)
    return cli_fail(CLI_EXIT_FAILED, "%s; --metrics ADDR names another place (127.0.0.1:0: any free port)", err.text);
  return cli_fail(CLI_EXIT_FAILED,
                  "%s; --listen ADDR names another place (127.0.0.1:0: any free port; none: no server)", err.text);
}

/* Can it be reached from this machine alone? */
static bool is_near(da_slice address)
{
  static const da_slice near[] = {{"127.", 4}, {"[::1]:", 6}, {"unix:", 5}};
  for (size_t i = 0; i < sizeof near / sizeof *near; i++)
    if (da_slice_starts(address, near[i])) return true;
  return false;
}

static void say_exposed(const cli_net *net, da_slice address)
{
  const da_server_options *o = &net->options;
  if (o->auth == NULL)
    (void)cli_fail(0,
                   "warning: whoever reaches %.*s may read and change all there is: no token is asked for "
                   "(--auth-publickey FILE mends it)",
                   DA_FMT(address));
  if (o->tls_certificate == NULL)
    (void)cli_fail(0, "warning: what is sent to %.*s can be read on its way (--tls-cert FILE --tls-key FILE mend it)",
                   DA_FMT(address));
  if (o->debug) (void)cli_fail(0, "warning: whoever reaches %.*s may delete everything (--debug)", DA_FMT(address));
}

/* Signatures that nobody checks are no note that --quiet may hide. */
static void say_auth(const cli_net *net)
{
  da_buf words = {0};
  const char *key = net->auth.public_key;
  da_server_describe_auth(net->server, &words);
  if (key != NULL && strcmp(key, "none") == 0)
    (void)cli_fail(0, "warning: %.*s", DA_FMT(words));
  else if (words.len > 0)
    cli_note(net->command, "demanding %.*s", DA_FMT(words));
  da_buf_free(&words);
}

void cli_net_say(const cli_net *net)
{
  size_t count;
  da_buf words = {0};
  const da_slice *addresses = da_server_addresses(net->server, &count);
  const char *scheme = net->options.tls_certificate != NULL ? "https" : "http";
  for (size_t i = 0; i < count; i++) {
    bool unix_socket = da_slice_starts(addresses[i], DA_LIT("unix:"));
    da_buf_addf(&words, "%s%s%s%.*s", i > 0 ? ", " : "", unix_socket ? "" : scheme, unix_socket ? "" : "://",
                DA_FMT(addresses[i]));
  }
  da_slice metrics = da_server_metrics_address(net->server);
  if (metrics.len > 0) da_buf_addf(&words, "%shttp://%.*s/metrics", words.len > 0 ? ", " : "", DA_FMT(metrics));
  if (words.len > 0) cli_note(net->command, "listening on %.*s", DA_FMT(words));
  if (net->options.url != NULL) cli_note(net->command, "workers are told %s", net->options.url);
  say_auth(net);
  for (size_t i = 0; i < count; i++)
    if (!is_near(addresses[i])) say_exposed(net, addresses[i]);
  da_buf_free(&words);
}

bool cli_net_reload(cli_net *net)
{
  da_err err = {{0}};
  if (net->server == NULL) return false;
  if (net->options.auth != NULL) {
    if (da_server_reload_auth(net->server, &err) == DA_OK)
      cli_note(net->command, "the key of tokens was loaded again");
    else
      (void)cli_fail(0, "the key of tokens stays as it was: %s", err.text);
  }
  if (net->options.tls_certificate != NULL) {
    if (da_server_reload_tls(net->server, &err) == DA_OK)
      cli_note(net->command, "the certificate and its key were loaded again");
    else
      (void)cli_fail(0, "the certificate and its key stay as they were: %s", err.text);
  }
  return net->options.auth != NULL || net->options.tls_certificate != NULL;
}

int64_t cli_net_stop_ms(const cli_net *net)
{
  return net->server != NULL ? net->options.shutdown_ms : 0;
}

static void on_stopped(void *user)
{
  cli_net *net = user;
  da_server_delete(net->server);
  net->server = NULL;
  net->stopped(net->user);
}

void cli_net_stop(cli_net *net, void (*stopped)(void *user), void *user)
{
  if (net->server == NULL) {
    stopped(user);
    return;
  }
  net->stopped = stopped;
  net->user = user;
  da_server_stop(net->server, on_stopped, net);
}
