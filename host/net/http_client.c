/* http_client.c - who may ask next: calls, the queues of their origins, names, the one timer.
 *
 * Fair: origins with calls that wait stand in a ring; each gives one call in its turn, and one has at most `origin_max`
 * connections at work. An origin whose last call failed is a suspect and has one, until it answers again: what waits
 * for a dead one takes no place from the living.
 * Time: one timer, set to what is due first; it looks at all connections, of which there are few. An instant that is no
 * longer wanted may let it run for nothing once.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "http_client_parts.h"

enum {
  CONNECTIONS = 32,
  CONNECT_MS = 10000,
  REQUEST_MS = 60000,
  ANSWER_MAX = 32 << 20, /* a value of DA_VALUE_MAX in base64, and its words */
  READ_BYTES = 64 << 10,
  ADDRESSES_MS = 30000 /* a name is asked again after that; nothing tells how long its answer is good */
};

/* ---- the timer ----------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

void da_http_client_arm(da_http_client *client, uint64_t due)
{
  if (client->closing || (client->timer_due != 0 && client->timer_due <= due)) return;
  uint64_t now = uv_now(client->options.loop);
  client->timer_due = due != 0 ? due : 1;
  (void)uv_timer_start(&client->timer, on_timer, due > now ? due - now : 0, 0);
}

static void tell_failed(da_http_client *client)
{
  while (client->failed != NULL) {
    da_http_call *call = client->failed;
    client->failed = call->next;
    if (client->failed == NULL) client->failed_end = &client->failed;
    da_http_client_tell(client, call, NULL, &call->err);
  }
}

/* Telling somebody may end connections, but none of them leaves the list before the loop has turned. */
static void on_timer(uv_timer_t *timer)
{
  da_http_client *client = timer->data;
  uint64_t now = uv_now(client->options.loop);
  client->timer_due = 0;
  tell_failed(client);
  uint64_t first = UINT64_MAX;
  for (da_http_conn *conn = client->conns; conn != NULL && !client->closing; conn = conn->next) {
    if (conn->due <= now) da_http_conn_expire(conn);
    if (conn->due < first) first = conn->due;
  }
  if (first != UINT64_MAX) da_http_client_arm(client, first);
  da_http_client_turn(client);
}

/* ---- calls and their order ----------------------------------------------------------------------------- */

void da_http_client_tell(da_http_client *client, da_http_call *call, const da_http_reply *reply, const da_err *err)
{
  client->telling++;
  call->done(call->user, reply, err);
  client->telling--;
  da_buf_free(&call->bytes);
  free(call);
}

static size_t origin_limit(const da_http_origin *origin)
{
  return origin->suspect ? 1 : origin->client->options.origin_max;
}

static void ring_add(da_http_origin *origin)
{
  da_http_client *client = origin->client;
  if (origin->in_ring || origin->first == NULL || origin->active >= origin_limit(origin)) return;
  origin->in_ring = true;
  origin->ring_next = NULL;
  *(client->ring_last != NULL ? &client->ring_last->ring_next : &client->ring_first) = origin;
  client->ring_last = origin;
}

static da_http_origin *ring_take(da_http_client *client)
{
  da_http_origin *origin = client->ring_first;
  client->ring_first = origin->ring_next;
  if (client->ring_first == NULL) client->ring_last = NULL;
  origin->in_ring = false;
  return origin;
}

/* The connection that rests for the longest gives its place to one that works. */
static void make_place(da_http_client *client)
{
  da_http_conn *oldest = NULL;
  for (da_http_conn *conn = client->conns; conn != NULL; conn = conn->next)
    if (conn->state == DA_HTTP_CONN_IDLE && (oldest == NULL || conn->due < oldest->due)) oldest = conn;
  if (oldest != NULL) da_http_conn_close(oldest);
}

static void begin_call(da_http_origin *origin)
{
  da_http_client *client = origin->client;
  da_http_call *call = origin->first;
  origin->first = call->next;
  if (origin->first == NULL) origin->end = &origin->first;
  origin->active++;
  client->active++;
  if (origin->idle != NULL) {
    da_http_conn_ask(origin->idle, call);
    return;
  }
  if (client->conn_count >= client->options.connections_max) make_place(client);
  da_http_conn_new(origin, call);
}

void da_http_client_turn(da_http_client *client)
{
  if (client->telling > 0) return; /* an answer that is being read lies in a connection */
  while (!client->closing && client->ring_first != NULL && client->active < client->options.connections_max) {
    da_http_origin *origin = ring_take(client);
    if (origin->first == NULL || origin->active >= origin_limit(origin)) continue;
    begin_call(origin);
    ring_add(origin);
  }
}

void da_http_client_released(da_http_client *client, da_http_origin *origin, bool failed)
{
  origin->suspect = failed;
  origin->active--;
  client->active--;
  ring_add(origin);
}

void da_http_client_requeue(da_http_client *client, da_http_origin *origin, da_http_call *call)
{
  call->next = origin->first;
  if (origin->first == NULL) origin->end = &call->next;
  origin->first = call;
  ring_add(origin);
  da_http_client_turn(client);
}

/* ---- origins and their names --------------------------------------------------------------------------- */

struct da_http_lookup {
  uv_getaddrinfo_t request;
  da_http_client *client;
  da_http_origin *origin; /* which is not freed while it has one */
};

static void free_origin(da_http_origin *origin)
{
  da_http_url_free(&origin->url);
  free(origin->key);
  free(origin);
}

void da_http_origin_release(da_http_origin *origin)
{
  if (origin->first != NULL || origin->active > 0 || origin->idle != NULL || origin->lookup != NULL) return;
  for (const da_http_conn *conn = origin->client->conns; conn != NULL; conn = conn->next)
    if (conn->origin == origin) return; /* the last of them does it */
  if (origin->in_ring) return;          /* the next turn takes it out, and it is looked at when the client ends */
  (void)da_table_remove(&origin->client->origins, da_slice_of(origin->key));
  free_origin(origin);
}

static da_http_origin *find_origin(da_http_client *client, da_http_url *url)
{
  da_buf key = {0};
  da_buf_addf(&key, "%s%.*s:%d", url->tls ? "s" : "", DA_FMT(url->host), url->port);
  da_http_origin *origin = da_table_get(&client->origins, da_buf_slice(&key));
  if (origin == NULL) {
    origin = da_xcalloc(1, sizeof *origin);
    origin->client = client;
    origin->key = da_xstrndup(da_buf_slice(&key));
    origin->url = *url;
    *url = (da_http_url){0}; /* it has it now */
    origin->end = &origin->first;
    (void)da_table_put(&client->origins, da_slice_of(origin->key), origin);
  }
  da_buf_free(&key);
  return origin;
}

static void keep_addresses(da_http_origin *origin, const struct addrinfo *list)
{
  origin->address_count = 0;
  origin->addresses_until = uv_now(origin->client->options.loop) + ADDRESSES_MS;
  for (const struct addrinfo *at = list; at != NULL && origin->address_count < DA_HTTP_ADDRESSES_MAX;
       at = at->ai_next) {
    if (at->ai_addrlen > sizeof(struct sockaddr_storage)) continue;
    memcpy(&origin->addresses[origin->address_count++].storage, at->ai_addr, at->ai_addrlen);
  }
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
  da_http_lookup *lookup = request->data;
  da_http_origin *origin = lookup->origin;
  da_http_client *client = lookup->client;
  if (status == 0) keep_addresses(origin, list);
  uv_freeaddrinfo(list);
  free(lookup);
  origin->lookup = NULL;
  client->lookups--;
  for (da_http_conn *conn = client->conns; conn != NULL && !client->closing; conn = conn->next)
    if (conn->origin == origin && conn->state == DA_HTTP_CONN_RESOLVING)
      da_http_conn_resolved(conn, status == 0 ? NULL : uv_strerror(status));
  if (client->closing) {
    da_http_client_gone(client);
    return;
  }
  da_http_origin_release(origin);
  da_http_client_turn(client);
}

bool da_http_origin_is_known(da_http_origin *origin)
{
  if (origin->client->options.unix_path != NULL) {
    origin->address_count = 1; /* which is not looked at */
    return true;
  }
  if (origin->url.literal && origin->address_count == 0) {
    struct sockaddr_storage *at = &origin->addresses[0].storage;
    const char *host = origin->url.host.ptr;
    if (uv_ip4_addr(host, origin->url.port, (struct sockaddr_in *)at) != 0)
      (void)uv_ip6_addr(host, origin->url.port, (struct sockaddr_in6 *)at); /* http_url.c has tried it */
    origin->address_count = 1;
  }
  return origin->url.literal ||
         (origin->address_count > 0 && uv_now(origin->client->options.loop) < origin->addresses_until);
}

void da_http_origin_look_up(da_http_origin *origin)
{
  da_http_client *client = origin->client;
  if (origin->lookup != NULL) return;
  char service[8];
  (void)snprintf(service, sizeof service, "%d", origin->url.port);
  da_http_lookup *lookup = da_xcalloc(1, sizeof *lookup);
  lookup->client = client;
  lookup->origin = origin;
  lookup->request.data = lookup;
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
  origin->lookup = lookup;
  client->lookups++;
  int code =
      uv_getaddrinfo(client->options.loop, &lookup->request, on_looked_up, origin->url.host.ptr, service, &hints);
  DA_ASSERT_OP(code, ==, 0); /* it is only queued here; a host is short and no address family unknown */
}

/* ---- the door ------------------------------------------------------------------------------------------ */

static void fill(da_http_client_options *o)
{
  if (o->connections_max == 0) o->connections_max = CONNECTIONS;
  if (o->origin_max == 0) o->origin_max = o->connections_max;
  if (o->answer_max == 0) o->answer_max = ANSWER_MAX;
  if (o->connect_ms == 0) o->connect_ms = CONNECT_MS;
  if (o->request_ms == 0) o->request_ms = REQUEST_MS;
}

da_http_client *da_http_client_new(const da_http_client_options *options)
{
  da_http_client *client = da_xcalloc(1, sizeof *client);
  client->options = *options;
  fill(&client->options);
  client->failed_end = &client->failed;
  client->read_buffer = da_xmalloc(READ_BYTES);
  client->read_bytes = READ_BYTES;
  (void)uv_timer_init(options->loop, &client->timer);
  client->timer.data = client;
  return client;
}

static void write_request(da_buf *out, const char *method, const da_http_url *url, const da_http_field *fields,
                          size_t field_count, da_slice body)
{
  da_buf_reserve(out, 256 + url->target.len + body.len);
  da_buf_addf(out, "%s %.*s HTTP/1.1\r\nhost: %.*s\r\n", method, DA_FMT(url->target), DA_FMT(url->authority));
  for (size_t i = 0; i < field_count; i++)
    da_buf_addf(out, "%.*s: %.*s\r\n", DA_FMT(fields[i].name), DA_FMT(fields[i].value));
  if (body.len > 0 || strcmp(method, "GET") != 0) da_buf_addf(out, "content-length: %zu\r\n", body.len);
  da_buf_addf(out, "\r\n");
  da_buf_add_slice(out, body);
}

void da_http_client_send(da_http_client *client, const char *method, da_slice url_text, const da_http_field *fields,
                         size_t field_count, da_slice body,
                         void (*done)(void *user, const da_http_reply *reply, const da_err *err), void *user)
{
  da_http_call *call = da_xcalloc(1, sizeof *call);
  da_http_url url;
  call->bodiless = strcmp(method, "HEAD") == 0;
  call->done = done;
  call->user = user;
  da_status status = DA_OK;
  if (client->closing) {
    url = (da_http_url){0};
    status = da_fail(&call->err, DA_ECLOSED, "the client is being closed");
  } else {
    status = da_http_url_read(url_text, &url, &call->err);
  }
  uv_update_time(client->options.loop); /* deadlines count from now */
  if (status != DA_OK) {
    *client->failed_end = call;
    client->failed_end = &call->next;
    da_http_client_arm(client, uv_now(client->options.loop));
    return;
  }
  write_request(&call->bytes, method, &url, fields, field_count, body);
  da_http_origin *origin = find_origin(client, &url);
  da_http_url_free(&url);
  *origin->end = call;
  origin->end = &call->next;
  ring_add(origin);
  da_http_client_turn(client);
}

/* ---- its end ------------------------------------------------------------------------------------------- */

void da_http_client_gone(da_http_client *client)
{
  if (!client->closing || !client->timer_closed || client->conns != NULL || client->lookups > 0) return;
  void *value;
  for (size_t i = 0; da_table_next(&client->origins, &i, &value);) free_origin(value);
  da_table_free(&client->origins);
  da_tls_delete(client->tls);
  free(client->read_buffer);
  void (*closed)(void *user) = client->closed;
  void *user = client->closed_user;
  free(client);
  if (closed != NULL) closed(user);
}

static void on_timer_closed(uv_handle_t *handle)
{
  da_http_client *client = handle->data;
  client->timer_closed = true;
  da_http_client_gone(client);
}

void da_http_client_delete(da_http_client *client, void (*closed)(void *user), void *user)
{
  static const da_err ended = {"the client was closed"};
  client->closing = true;
  client->closed = closed;
  client->closed_user = user;
  for (da_http_conn *conn = client->conns; conn != NULL; conn = conn->next) da_http_conn_fail(conn, &ended);
  void *value;
  for (size_t i = 0; da_table_next(&client->origins, &i, &value);) {
    da_http_origin *origin = value;
    while (origin->first != NULL) {
      da_http_call *call = origin->first;
      origin->first = call->next;
      da_http_client_tell(client, call, NULL, &ended);
    }
    origin->end = &origin->first;
    if (origin->lookup != NULL) (void)uv_cancel((uv_req_t *)&origin->lookup->request);
  }
  tell_failed(client);
  uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}
