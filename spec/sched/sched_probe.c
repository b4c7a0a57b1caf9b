/* sched_probe.c - the pump over a store on disk, driven by lines, for the specs of host/sched.
 *
 *     sched_probe DIR
 *
 * One command a line, one answer, in which "." ends what was told meanwhile. A transport takes addresses that begin
 * with "t:" and says of each message what `say` wants of its address:
 *
 *     create ID [ADDRESS [TIMEOUT]] | listen ID ADDRESS | settle ID | acquire ID VERSION | release ID VERSION |
 *     get ID | search STATE
 *     say ADDRESS taken|later|never|way      end ID taken|later|never      busy 0|1      offer PREFIX
 *     at MS          the requests from here on happen at this instant; "at -" by the clock
 *     pause 0|1 | tick MS | reset | snap      snap: ids, then counts of deadlines, timers, waits, messages
 *     turns          batches without a write so far
 *     kept           how many messages the outbox holds
 *     sync           ends when nothing is on its way any more
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "../../host/base/limits.h"
#include "../../host/sched/kill.h"
#include "../../host/sched/transport.h"

enum { RULES_MAX = 64, WAY_MAX = 64, SYNC_TURNS = 8, WORDS_MAX = 4 };

typedef struct rule {
  char address[256];
  da_verdict verdict;
} rule;

typedef struct under_way {
  char id[256];
  da_delivery *delivery;
} under_way;

static da_sched *sched;
static rule rules[RULES_MAX];
static size_t rule_count;
static under_way ways[WAY_MAX];
static bool is_busy, has_now;
static int64_t now_ms;
static uv_pipe_t input;
static da_buf line;
static int sync_left;

static void say(const char *text)
{
  puts(text);
  (void)fflush(stdout);
}

/* ---- the transport ------------------------------------------------------------------------------------- */

static bool accepts(void *user, da_slice address)
{
  (void)user;
  return da_slice_starts(address, DA_LIT("t:"));
}

static da_verdict verdict_on(da_slice address)
{
  for (size_t i = rule_count; i > 0; i--)
    if (da_slice_eq(address, da_slice_of(rules[i - 1].address))) return rules[i - 1].verdict;
  return DA_TAKEN;
}

static da_verdict deliver(void *user, da_delivery *delivery, const da_message *m, const da_promise *promise)
{
  (void)user;
  if (m->kind == DA_EXECUTE)
    printf("execute %.*s v%lld %.*s\n", DA_FMT(m->id), (long long)m->version, DA_FMT(m->address));
  else
    printf("unblock %.*s %s %.*s %.*s\n", DA_FMT(m->id), da_promise_state_name(promise->state),
           DA_FMT(promise->param.data), DA_FMT(m->address));
  (void)fflush(stdout);
  da_verdict verdict = verdict_on(m->address);
  for (size_t i = 0; verdict == DA_UNDER_WAY && i < WAY_MAX; i++) {
    if (ways[i].delivery != NULL) continue;
    (void)snprintf(ways[i].id, sizeof ways[i].id, "%.*s", DA_FMT(m->id));
    ways[i].delivery = delivery;
    break;
  }
  return verdict;
}

static bool busy(void *user)
{
  (void)user;
  return is_busy;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void answered(da_op *op)
{
  if (op->status != DA_OK) {
    printf("%s ", da_status_name(op->status));
  } else if (op->outcomes != NULL) {
    const da_reply *r = &op->outcomes[0].reply;
    printf("%d ", r->status);
    if (r->promise != NULL) printf("%s ", da_promise_state_name(r->promise->state));
    for (size_t i = 0; i < r->promise_count; i++) printf("%.*s ", DA_FMT(r->promises[i].id));
  } else if (op->call_result != NULL) {
    printf("%llu ", (unsigned long long)((da_store_stats *)op->call_result)->outs);
  }
  say(".");
  da_op_delete(op);
}

static da_op *op_of(da_req_kind kind, const char *id, da_request **request)
{
  da_op *op = da_op_new();
  *request = da_op_request(op, kind);
  (*request)->id = da_arena_dup(&op->arena, da_slice_of(id));
  op->has_now = has_now;
  op->now_ms = now_ms;
  op->done = answered;
  return op;
}

static void create(const char *id, const char *address, int64_t timeout_at)
{
  da_request *r;
  da_op *op = op_of(DA_REQ_PROMISE_CREATE, id, &r);
  da_pair *tag = da_arena_alloc(&op->arena, sizeof *tag);
  *tag = (da_pair){DA_LIT("resonate:target"), da_arena_dup(&op->arena, da_slice_of(address))};
  r->tags = (da_map){tag, address[0] == 't' ? 1 : 0};
  r->param = (da_value){.has_data = true, .data = DA_LIT("param")};
  r->timeout_at = timeout_at;
  da_sched_submit(sched, op, false);
}

static da_status count_kept(da_store *store, da_op *op, da_err *err)
{
  op->call_result = da_arena_zalloc(&op->arena, sizeof(da_store_stats));
  return da_store_stat(store, op->call_result, err);
}

static void kept(void)
{
  da_op *op = da_op_new();
  op->call = count_kept;
  op->done = answered;
  da_sched_submit(sched, op, false);
}

static void sync_turn(da_op *done)
{
  da_op_delete(done);
  if (sync_left-- == 0) {
    say(".");
    return;
  }
  da_op *op = da_op_new();
  op->background = true;
  op->done = sync_turn;
  da_sched_submit(sched, op, false);
}

static void ended(void *user, da_status status, const da_err *err)
{
  (void)user;
  if (err != NULL) printf("%s %s ", da_status_name(status), err->text);
  say(".");
}

static void looked(void *user, const da_snapshot *s, const da_err *err)
{
  (void)user;
  (void)err;
  for (size_t i = 0; s != NULL && i < s->promise_count; i++)
    printf("%.*s=%s ", DA_FMT(s->promises[i].id), da_promise_state_name(s->promises[i].state));
  if (s != NULL)
    printf("| %zu %zu %zu %zu ", s->deadline_count, s->timer_count, s->callback_count + s->listener_count,
           s->message_count);
  say(".");
}

static void on_reset(void *user)
{
  (void)user;
  puts("reset");
}

static bool debug(const char *const *w)
{
  if (strcmp(w[0], "pause") == 0) {
    da_sched_pause(sched, w[1][0] == '1');
    say(".");
  } else if (strcmp(w[0], "tick") == 0) {
    da_sched_tick(sched, strtoll(w[1], NULL, 10), ended, NULL);
  } else if (strcmp(w[0], "turns") == 0) {
    printf("%llu ", (unsigned long long)da_sched_get_stats(sched).empty_commits);
    say(".");
  } else if (strcmp(w[0], "reset") == 0) {
    da_sched_reset(sched, ended, NULL);
  } else if (strcmp(w[0], "snap") == 0) {
    da_sched_snapshot(sched, looked, NULL);
  } else {
    return false;
  }
  return true;
}

static da_verdict verdict_of(const char *word)
{
  if (strcmp(word, "taken") == 0) return DA_TAKEN;
  if (strcmp(word, "later") == 0) return DA_LATER;
  return strcmp(word, "never") == 0 ? DA_NEVER : DA_UNDER_WAY;
}

static void end(const char *id, const char *verdict)
{
  for (size_t i = 0; i < WAY_MAX; i++) {
    if (ways[i].delivery == NULL || strcmp(ways[i].id, id) != 0) continue;
    da_delivery *delivery = ways[i].delivery;
    ways[i].delivery = NULL;
    da_delivery_end(delivery, verdict_of(verdict));
    break;
  }
  say(".");
}

static void ask(const char *const *w)
{
  da_request *r;
  da_op *op = NULL;
  if (strcmp(w[0], "listen") == 0) {
    op = op_of(DA_REQ_PROMISE_REGISTER_LISTENER, w[1], &r);
    r->address = da_arena_dup(&op->arena, da_slice_of(w[2]));
  } else if (strcmp(w[0], "settle") == 0) {
    op = op_of(DA_REQ_PROMISE_SETTLE, w[1], &r);
    r->state = DA_RESOLVED;
  } else if (strcmp(w[0], "release") == 0) {
    op = op_of(DA_REQ_TASK_RELEASE, w[1], &r);
    r->version = (int)strtol(w[2], NULL, 10);
  } else if (strcmp(w[0], "acquire") == 0) {
    op = op_of(DA_REQ_TASK_ACQUIRE, w[1], &r);
    r->version = (int)strtol(w[2], NULL, 10);
    r->pid = DA_LIT("somebody");
    r->ttl = 60000;
  } else if (strcmp(w[0], "search") == 0) {
    op = op_of(DA_REQ_PROMISE_SEARCH, "", &r);
    r->has_search_state = true;
    r->state = strcmp(w[1], "pending") == 0 ? DA_PENDING : DA_RESOLVED;
    r->limit = 3;
  } else {
    op = op_of(DA_REQ_PROMISE_GET, w[1], &r);
  }
  da_sched_submit(sched, op, false);
}

static void obey(char *text)
{
  const char *w[WORDS_MAX] = {"", "", "", ""};
  size_t count = 0;
  for (char *at = strtok(text, " "); at != NULL && count < WORDS_MAX; at = strtok(NULL, " ")) w[count++] = at;
  if (strcmp(w[0], "create") == 0) {
    create(w[1], w[2], w[3][0] != '\0' ? strtoll(w[3], NULL, 10) : DA_TIME_MAX);
  } else if (strcmp(w[0], "say") == 0) {
    (void)snprintf(rules[rule_count].address, sizeof rules[0].address, "%s", w[1]);
    rules[rule_count++].verdict = verdict_of(w[2]);
    say(".");
  } else if (strcmp(w[0], "end") == 0) {
    end(w[1], w[2]);
  } else if (strcmp(w[0], "busy") == 0) {
    is_busy = w[1][0] == '1';
    say(".");
  } else if (strcmp(w[0], "offer") == 0) {
    da_sched_offer(sched, da_slice_of(w[1]));
    say(".");
  } else if (strcmp(w[0], "at") == 0) {
    has_now = w[1][0] != '-';
    now_ms = has_now ? strtoll(w[1], NULL, 10) : 0;
    say(".");
  } else if (strcmp(w[0], "kept") == 0) {
    kept();
  } else if (strcmp(w[0], "sync") == 0) {
    sync_left = SYNC_TURNS;
    sync_turn(NULL);
  } else if (!debug(w)) {
    ask(w);
  }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
  static char bytes[65536];
  (void)handle;
  (void)size;
  *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
  if (got < 0) {
    uv_close((uv_handle_t *)stream, NULL);
    da_sched_stop(sched);
    return;
  }
  for (ssize_t i = 0; i < got; i++) {
    if (buf->base[i] != '\n') {
      da_buf_add_byte(&line, (uint8_t)buf->base[i]);
      continue;
    }
    da_buf_add_byte(&line, 0);
    obey(line.ptr);
    da_buf_clear(&line);
  }
}

int main(int argc, char **argv)
{
  da_err err = {{0}};
  da_store *store;
  if (argc != 2 || da_kill_setup() != NULL) return 2;
  da_status status = da_store_open(argv[1], &(da_store_options){.create = true}, &store, &err);
  da_sched_options options = {.store = store, .profile = da_profile_default};
  if (status == DA_OK) status = da_sched_new(&options, &sched, &err);
  if (status != DA_OK) {
    (void)fprintf(stderr, "%s\n", err.text);
    return 1;
  }
  da_sched_set_events(sched, &(da_sched_events){.reset = on_reset});
  da_transport transport = {.accepts = accepts, .deliver = deliver, .busy = busy};
  da_sched_add_transport(sched, &transport);
  (void)uv_pipe_init(da_sched_loop(sched), &input, 0);
  (void)uv_pipe_open(&input, 0);
  (void)uv_read_start((uv_stream_t *)&input, alloc, on_read);
  da_sched_run(sched);
  da_sched_delete(sched);
  da_store_close(store);
  da_buf_free(&line);
  return 0;
}
