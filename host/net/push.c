/* push.c - one POST per message, and a pause for addresses that fail.
 *
 * A *host* is what stands before the path of an address. It counts what is under way there, so that one that answers
 * slowly holds a part of the places and no more. A *pause* belongs to a whole address: two services of one host fail
 * each by themselves. It lives from a failure until a round of offers brought no other.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "push.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/table.h"
#include "envelope.h"
#include "http_client.h"

enum {
  CONCURRENCY = 256,
  CONNECT_MS = 10000,
  REQUEST_MS = 180000,
  ANSWER_MAX = 64 << 10, /* what is said beside the status is not looked at */
  HOST_SHARE = 4,        /* a host has at most this part of the connections */
  PAUSES_MAX = 10000,    /* addresses are other people's: beyond that one is not offered anew by itself */
  FIRST_PAUSE_MS = 1000
};

typedef struct host {
  size_t under_way;
  bool short_;  /* something was refused for want of a place */
  da_slice key; /* "http://example.org:8080"; its bytes lie behind the struct, as those of a pause */
} host;

typedef struct pause {
  da_push *push;
  da_timer *timer;
  int64_t ms;
  bool down;  /* nothing is sent there until the timer fires */
  bool fails; /* since the last offer */
  da_slice address;
} pause;

struct da_push {
  da_push_options options;
  da_http_client *client;
  da_table hosts;
  da_table pauses;
  size_t under_way;
  bool short_; /* as of a host: of all */
  bool closing;
  da_buf line;
  da_buf bearer;
  da_push_stats stats;
  void (*closed)(void *user);
  void *closed_user;
};

/* ---- hosts --------------------------------------------------------------------------------------------- */

static da_slice host_part(da_slice address)
{
  size_t at = (size_t)da_slice_find(address, ':') + 3;
  while (at < address.len && address.ptr[at] != '/' && address.ptr[at] != '?' && address.ptr[at] != '#') at++;
  return da_slice_make(address.ptr, at);
}

static host *host_of(da_push *push, da_slice address)
{
  da_slice key = host_part(address);
  host *h = da_table_get(&push->hosts, key);
  if (h != NULL) return h;
  h = da_xcalloc(1, sizeof *h + key.len);
  memcpy(h + 1, key.ptr, key.len);
  h->key = da_slice_make((const char *)(h + 1), key.len);
  (void)da_table_put(&push->hosts, h->key, h);
  return h;
}

static void leave_host(da_push *push, host *h)
{
  size_t room = push->options.concurrency / HOST_SHARE;
  push->under_way--;
  h->under_way--;
  if (h->short_ && h->under_way <= room) {
    h->short_ = false;
    da_sched_offer(push->options.sched, h->key);
  }
  if (push->short_ && push->under_way <= push->options.concurrency) {
    push->short_ = false;
    da_sched_offer(push->options.sched, DA_LIT("http"));
  }
  if (h->under_way > 0) return;
  (void)da_table_remove(&push->hosts, h->key);
  free(h);
}

/* ---- pauses -------------------------------------------------------------------------------------------- */

static void end_pause(pause *p)
{
  da_timer_stop(p->timer);
  (void)da_table_remove(&p->push->pauses, p->address);
  free(p);
}

static void on_pause_over(void *arg)
{
  pause *p = arg;
  p->timer = NULL;
  if (!p->fails) {
    end_pause(p);
    return;
  }
  p->fails = p->down = false;
  p->timer = da_timer_start(p->push->options.sched, da_clock_now_ms() + p->ms + REQUEST_MS / 10, on_pause_over, p);
  da_sched_offer(p->push->options.sched, p->address);
}

static void begin_pause(da_push *push, da_slice address, bool down)
{
  pause *p = da_table_get(&push->pauses, address);
  if (p == NULL) {
    if (push->pauses.count >= PAUSES_MAX) return;
    p = da_xcalloc(1, sizeof *p + address.len);
    memcpy(p + 1, address.ptr, address.len);
    p->push = push;
    p->address = da_slice_make((const char *)(p + 1), address.len);
    (void)da_table_put(&push->pauses, p->address, p);
  }
  p->down = p->down || down;
  if (p->fails) return; /* its timer runs */
  p->fails = true;
  p->ms = p->ms == 0 ? FIRST_PAUSE_MS : p->ms * 2 < DA_PUSH_PAUSE_MS ? p->ms * 2 : DA_PUSH_PAUSE_MS;
  da_timer_stop(p->timer);
  p->timer = da_timer_start(push->options.sched, da_clock_now_ms() + p->ms, on_pause_over, p);
}

/* ---- one message --------------------------------------------------------------------------------------- */

typedef struct post {
  da_push *push;
  da_delivery *delivery;
  host *host;
  da_slice address; /* these two lie behind the struct */
  da_slice id;
} post;

static post *new_post(da_push *push, da_delivery *delivery, const da_message *message)
{
  post *p = da_xmalloc(sizeof *p + message->address.len + message->id.len);
  char *bytes = (char *)(p + 1);
  memcpy(bytes, message->address.ptr, message->address.len);
  memcpy(bytes + message->address.len, message->id.ptr, message->id.len);
  *p = (post){.push = push,
              .delivery = delivery,
              .host = host_of(push, message->address),
              .address = da_slice_make(bytes, message->address.len),
              .id = da_slice_make(bytes + message->address.len, message->id.len)};
  return p;
}

static da_verdict judge(const da_http_reply *reply)
{
  if (reply == NULL) return DA_LATER;
  if (reply->status >= 200 && reply->status < 300) return DA_TAKEN;
  bool busy = reply->status >= 500 || reply->status == 408 || reply->status == 425 || reply->status == 429;
  return busy ? DA_LATER : DA_NEVER;
}

static void log_failure(const post *p, const da_http_reply *reply, const da_err *err, da_verdict verdict)
{
  char status[32] = "";
  if (reply != NULL) (void)snprintf(status, sizeof status, "it answered %d", reply->status);
  da_log(DA_LOG_WARN, "push.failed", "id=%.*s address=%.*s why=\"%s\" kept=%d", DA_FMT(p->id), DA_FMT(p->address),
         reply != NULL ? status : err->text, verdict == DA_LATER);
}

static void on_done(void *user, const da_http_reply *reply, const da_err *err)
{
  post *p = user;
  da_push *push = p->push;
  da_verdict verdict = judge(reply);
  if (verdict == DA_TAKEN)
    push->stats.delivered++;
  else
    push->stats.failed++;
  if (verdict != DA_TAKEN && !push->closing) log_failure(p, reply, err, verdict);
  if (verdict == DA_LATER && !push->closing) begin_pause(push, p->address, reply == NULL);
  da_delivery_end(p->delivery, verdict);
  if (!push->closing) leave_host(push, p->host);
  free(p);
}

static void send(da_push *push, post *p)
{
  da_http_field fields[2] = {{DA_LIT("content-type"), DA_LIT("application/json")}};
  size_t count = 1;
  if (push->options.bearer != NULL) {
    const char *name = push->options.bearer_header;
    fields[count++] =
        (da_http_field){name != NULL ? da_slice_of(name) : DA_LIT("authorization"), da_buf_slice(&push->bearer)};
  }
  da_http_client_send(push->client, "POST", p->address, fields, count, da_buf_slice(&push->line), on_done, p);
}

static bool accepts(void *user, da_slice address)
{
  (void)user;
  return (address.len >= 7 && strncasecmp(address.ptr, "http://", 7) == 0) ||
         (address.len >= 8 && strncasecmp(address.ptr, "https://", 8) == 0);
}

static bool busy(void *user)
{
  da_push *push = user;
  if (push->under_way < 2 * push->options.concurrency) return false;
  push->short_ = true;
  return true;
}

static da_verdict deliver(void *user, da_delivery *delivery, const da_message *message, const da_promise *promise)
{
  da_push *push = user;
  const pause *paused = da_table_get(&push->pauses, message->address);
  if (push->closing || (paused != NULL && paused->down)) return DA_LATER;
  post *p = new_post(push, delivery, message);
  if (p->host->under_way >= 2 * (push->options.concurrency / HOST_SHARE)) {
    p->host->short_ = true;
    free(p);
    return DA_LATER;
  }
  p->host->under_way++;
  push->under_way++;
  da_buf_clear(&push->line);
  da_envelope_write_message(&push->line, message, promise, push->options.server_url);
  send(push, p);
  return DA_UNDER_WAY;
}

/* ---- the doors ----------------------------------------------------------------------------------------- */

da_transport da_push_transport(da_push *push)
{
  return (da_transport){.accepts = accepts, .deliver = deliver, .busy = busy, .user = push};
}

/* What would end a field early is no token. */
static da_status check_words(const char *text, const char *what, da_err *err)
{
  for (const char *c = text != NULL ? text : ""; *c != '\0'; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f)
      return da_fail(err, DA_EINVAL, "the %s of pushes holds a control character", what);
  return DA_OK;
}

da_status da_push_new(const da_push_options *options, da_push **out, da_err *err)
{
  *out = NULL;
  da_status status = check_words(options->bearer, "bearer token", err);
  if (status == DA_OK) status = check_words(options->bearer_header, "header name", err);
  if (status != DA_OK) return status;
  da_push *push = da_xcalloc(1, sizeof *push);
  push->options = *options;
  if (push->options.concurrency == 0) push->options.concurrency = CONCURRENCY;
  if (push->options.concurrency < HOST_SHARE) push->options.concurrency = HOST_SHARE;
  if (options->bearer != NULL) da_buf_addf(&push->bearer, "Bearer %s", options->bearer);
  const da_http_client_options client = {
      .loop = da_sched_loop(options->sched),
      .connections_max = push->options.concurrency,
      .origin_max = push->options.concurrency / HOST_SHARE,
      .answer_max = ANSWER_MAX,
      .connect_ms = options->connect_ms > 0 ? options->connect_ms : CONNECT_MS,
      .request_ms = options->request_ms > 0 ? options->request_ms : REQUEST_MS,
  };
  push->client = da_http_client_new(&client);
  *out = push;
  return DA_OK;
}

static void on_client_closed(void *user)
{
  da_push *push = user;
  void *value;
  for (size_t i = 0; da_table_next(&push->hosts, &i, &value);) free(value);
  da_table_free(&push->hosts);
  da_table_free(&push->pauses);
  da_buf_free(&push->line);
  da_buf_free(&push->bearer);
  void (*closed)(void *user) = push->closed;
  void *closed_user = push->closed_user;
  free(push);
  if (closed != NULL) closed(closed_user);
}

void da_push_delete(da_push *push, void (*closed)(void *user), void *user)
{
  void *value;
  push->closing = true;
  push->closed = closed;
  push->closed_user = user;
  for (size_t i = 0; da_table_next(&push->pauses, &i, &value);) end_pause(value);
  da_http_client_delete(push->client, on_client_closed, push);
}

da_push_stats da_push_get_stats(const da_push *push)
{
  da_push_stats stats = push->stats;
  stats.under_way = push->under_way;
  stats.waiting = push->pauses.count;
  return stats;
}
