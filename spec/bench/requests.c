/* requests.c - the engine in process, as the server drives it: a promise created and settled, no JSON, no socket.
 *
 * What load.lua puts the same requests over HTTP against.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "../../host/base/clock.h"
#include "bench.h"

typedef struct client {
  struct requests *all;
  int number;
  int made;
  bool settles; /* what it asks for next */
  char id[64];
} client;

typedef struct requests {
  da_sched *sched;
  int left, under_way;
} requests;

static void ask(client *c);

static void answered(da_op *op)
{
  client *c = op->user;
  if (op->status != DA_OK || op->outcomes[0].reply.status != 200) bench_die("a request failed: %s", op->err.text);
  da_op_delete(op);
  c->all->under_way--;
  c->settles = !c->settles;
  if (c->all->left > 0)
    ask(c);
  else if (c->all->under_way == 0)
    da_sched_stop(c->all->sched);
}

static void ask(client *c)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, c->settles ? DA_REQ_PROMISE_SETTLE : DA_REQ_PROMISE_CREATE);
  if (!c->settles) (void)snprintf(c->id, sizeof c->id, "b%d-%d", c->number, c->made++);
  request->id = da_arena_dup(&op->arena, da_slice_of(c->id));
  request->timeout_at = DA_TIME_MAX;
  request->state = DA_RESOLVED;
  *(c->settles ? &request->value : &request->param) =
      (da_value){.has_data = true, .encoding = DA_JSON, .data = DA_LIT("{\"amount\":20}")};
  op->user = c;
  op->done = answered;
  c->all->left--;
  c->all->under_way++;
  da_sched_submit(c->all->sched, op, true);
}

static double rate_of(bench_host *host, int first, int total, int clients)
{
  requests all = {.sched = host->sched, .left = total};
  client *list = da_xcalloc((size_t)clients, sizeof *list);
  uint64_t begin = da_clock_mono_ns();
  for (int i = 0; i < clients; i++) {
    list[i] = (client){.all = &all, .number = first + i};
    ask(&list[i]);
  }
  da_sched_run(host->sched);
  free(list);
  return total / bench_since(begin);
}

/* So many clients, one request each at a time, then sixteen each. */
void bench_requests(const bench_place *place, int total, int clients)
{
  bench_host host;
  bench_host_open(&host, place, "requests", SIZE_MAX);
  bench_say("requests_s", rate_of(&host, 0, total, clients));
  bench_say("many_s", rate_of(&host, clients, total, 16 * clients));
  bench_host_close(&host);
}
