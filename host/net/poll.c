/* poll.c - the registry of connected workers, and the way of a message to one of them.
 *
 * Who is asked for by id is found in one table; who is asked for by group is the top of that group's heap: the
 * connection with the fewest unsent messages, among equals the one that was chosen the longest ago.
 *
 * A message whose bytes the kernel has not all taken is under way (da_delivery); it is kept for the next connection if
 * this one ends first. How far a stream has come nobody tells, so those that hold something are looked at after
 * SENT_MS, by when all is sent but to a slow reader, and then every LOOK_MS.
 *
 * Cost: a message is O(log connections of its group), whatever their number; a comment O(1).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "poll.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/table.h"
#include "envelope.h"

enum {
  CONNECTIONS = 1000,
  BUFFER = 100,
  SENT_MS = 1,
  LOOK_MS = 10,
  COMMENTS_MAX = 256, /* in one turn of the loop: some 10 us each */
  COMMENT_PARTS = 64  /* the timer of comments runs at most so often in keepalive_ms */
};

typedef struct worker worker;
typedef struct group group;

/* A message that is not wholly sent. */
typedef struct held {
  uint64_t end; /* of its bytes in the stream */
  da_delivery *delivery;
} held;

/* A connection. */
struct worker {
  da_poll *poll;
  group *group;
  da_http_stream *stream;
  da_slice key;                      /* group and id, as make_key() has it; its bytes lie behind the struct */
  worker *same_next, *same_prev;     /* of the same key, in order of registration */
  worker *same_last;                 /* of the first of them only */
  worker *quiet_next, *quiet_prev;   /* of all, who was written to the longest ago first */
  worker *loaded_next, *loaded_prev; /* of those that hold something */
  size_t heap_at;
  uint64_t turn; /* when it was chosen last */
  int64_t written_ms;
  uint64_t written; /* bytes */
  held *ring;       /* owned; NULL while nothing is held */
  size_t ring_first, ring_cap;
  size_t load; /* messages in the ring */
  bool short_; /* somebody was told that there is no room here */
};

/* Lives as long as one connection of it does. */
struct group {
  da_slice name; /* its bytes lie behind the struct */
  worker **heap;
  size_t count, cap;
  bool short_; /* as of a worker: of the whole group */
};

struct da_poll {
  da_poll_options options;
  da_table workers; /* the first of each key */
  da_table groups;
  worker *quiet_first, *quiet_last;
  worker *loaded_first;
  size_t count;
  uint64_t turn;
  da_timer *comments; /* armed while anybody is connected */
  da_timer *look;     /* armed while anybody holds something */
  da_buf key;
  da_buf line;
  da_poll_stats stats;
  bool ended;
};

/* ---- addresses ----------------------------------------------------------------------------------------- */

typedef struct address {
  bool any;
  da_slice group;
  da_slice id; /* empty: none */
} address;

/* "poll://any@group/id": group and id are taken as they stand. */
static bool read_address(da_slice text, address *out)
{
  static const da_slice uni = {"poll://uni@", 11}, any = {"poll://any@", 11};
  out->any = da_slice_starts(text, any);
  if (!out->any && !da_slice_starts(text, uni)) return false;
  da_slice rest = da_slice_make(text.ptr + any.len, text.len - any.len);
  ptrdiff_t slash = da_slice_find(rest, '/');
  out->group = slash < 0 ? rest : da_slice_make(rest.ptr, (size_t)slash);
  out->id = slash < 0 ? DA_NONE : da_slice_make(rest.ptr + slash + 1, rest.len - (size_t)slash - 1);
  return out->group.len > 0 && (out->any || out->id.len > 0);
}

/* No other pair gives the same bytes, whatever these hold. */
static da_slice make_key(da_poll *poll, da_slice group_name, da_slice id)
{
  da_buf_clear(&poll->key);
  da_buf_add_u32(&poll->key, (uint32_t)group_name.len);
  da_buf_add_slice(&poll->key, group_name);
  da_buf_add_slice(&poll->key, id);
  return da_buf_slice(&poll->key);
}

/* ---- the heap of a group ------------------------------------------------------------------------------- */

static bool before(const worker *a, const worker *b)
{
  return a->load != b->load ? a->load < b->load : a->turn < b->turn;
}

static void heap_set(group *g, size_t at, worker *w)
{
  g->heap[at] = w;
  w->heap_at = at;
}

static void heap_up(group *g, worker *w)
{
  size_t at = w->heap_at;
  for (size_t up; at > 0 && before(w, g->heap[up = (at - 1) / 2]); at = up) heap_set(g, at, g->heap[up]);
  heap_set(g, at, w);
}

static void heap_down(group *g, worker *w)
{
  size_t at = w->heap_at;
  for (;;) {
    size_t down = 2 * at + 1;
    if (down >= g->count) break;
    if (down + 1 < g->count && before(g->heap[down + 1], g->heap[down])) down++;
    if (before(w, g->heap[down])) break;
    heap_set(g, at, g->heap[down]);
    at = down;
  }
  heap_set(g, at, w);
}

static void heap_add(group *g, worker *w)
{
  if (g->count == g->cap) {
    g->cap = g->cap != 0 ? g->cap * 2 : 1;
    g->heap = da_xrealloc(g->heap, g->cap * sizeof(worker *));
  }
  heap_set(g, g->count++, w);
  heap_up(g, w);
}

static void heap_remove(group *g, worker *w)
{
  worker *last = g->heap[--g->count];
  if (last == w) return;
  heap_set(g, w->heap_at, last);
  heap_up(g, last);
  heap_down(g, last);
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static void quiet_add(da_poll *poll, worker *w)
{
  w->quiet_next = NULL;
  w->quiet_prev = poll->quiet_last;
  *(poll->quiet_last != NULL ? &poll->quiet_last->quiet_next : &poll->quiet_first) = w;
  poll->quiet_last = w;
}

static void quiet_remove(da_poll *poll, worker *w)
{
  *(w->quiet_prev != NULL ? &w->quiet_prev->quiet_next : &poll->quiet_first) = w->quiet_next;
  *(w->quiet_next != NULL ? &w->quiet_next->quiet_prev : &poll->quiet_last) = w->quiet_prev;
}

static void loaded_add(da_poll *poll, worker *w)
{
  w->loaded_prev = NULL;
  w->loaded_next = poll->loaded_first;
  if (w->loaded_next != NULL) w->loaded_next->loaded_prev = w;
  poll->loaded_first = w;
}

static void loaded_remove(da_poll *poll, worker *w)
{
  *(w->loaded_prev != NULL ? &w->loaded_prev->loaded_next : &poll->loaded_first) = w->loaded_next;
  if (w->loaded_next != NULL) w->loaded_next->loaded_prev = w->loaded_prev;
}

/* Behind all others of its key. */
static void same_add(da_poll *poll, worker *w)
{
  worker *first = da_table_get(&poll->workers, w->key);
  if (first == NULL) {
    w->same_last = w;
    (void)da_table_put(&poll->workers, w->key, w);
    return;
  }
  w->same_prev = first->same_last;
  first->same_last->same_next = w;
  first->same_last = w;
}

static void same_remove(da_poll *poll, worker *w)
{
  if (w->same_prev != NULL) {
    if (w->same_next == NULL) {
      worker *first = da_table_get(&poll->workers, w->key);
      first->same_last = w->same_prev;
    } else {
      w->same_next->same_prev = w->same_prev;
    }
    w->same_prev->same_next = w->same_next;
    return;
  }
  (void)da_table_remove(&poll->workers, w->key);
  if (w->same_next == NULL) return;
  w->same_next->same_prev = NULL;
  w->same_next->same_last = w->same_last;
  (void)da_table_put(&poll->workers, w->same_next->key, w->same_next);
}

/* ---- what is held -------------------------------------------------------------------------------------- */

static void on_look(void *arg);

static void look_in(da_poll *poll, int64_t ms)
{
  if (poll->look == NULL) poll->look = da_timer_start(poll->options.sched, da_clock_now_ms() + ms, on_look, poll);
}

static void hold(worker *w, da_delivery *delivery)
{
  da_poll *poll = w->poll;
  if (w->load == w->ring_cap) {
    size_t cap = w->ring_cap != 0 ? w->ring_cap * 2 : 4;
    held *ring = da_xmalloc(cap * sizeof *ring);
    for (size_t i = 0; i < w->load; i++) ring[i] = w->ring[(w->ring_first + i) & (w->ring_cap - 1)];
    free(w->ring);
    w->ring = ring;
    w->ring_cap = cap;
    w->ring_first = 0;
  }
  w->ring[(w->ring_first + w->load++) & (w->ring_cap - 1)] = (held){w->written, delivery};
  if (w->load == 1) loaded_add(poll, w);
  heap_down(w->group, w);
  if (poll->look == NULL) poll->look = da_timer_start(poll->options.sched, da_clock_now_ms() + LOOK_MS, on_look, poll);
}

/* Takes out the oldest message, which its caller ends. */
static da_delivery *let_go(worker *w)
{
  da_delivery *delivery = w->ring[w->ring_first].delivery;
  w->ring_first = (w->ring_first + 1) & (w->ring_cap - 1);
  if (--w->load == 0) {
    free(w->ring);
    w->ring = NULL;
    w->ring_cap = w->ring_first = 0;
    loaded_remove(w->poll, w);
  }
  return delivery;
}

/* Ends what has been sent. What a stream adds around the bytes counts as unsent as well, so this errs to one side. */
static void look_at(worker *w)
{
  size_t load = w->load;
  uint64_t unsent = da_http_stream_unsent(w->stream);
  uint64_t sent = w->written > unsent ? w->written - unsent : 0;
  while (w->load > 0 && w->ring[w->ring_first].end <= sent) da_delivery_end(let_go(w), DA_TAKEN);
  if (w->load != load) heap_up(w->group, w);
}

/* ---- offers: what is kept for somebody who is here now, or has room again ------------------------------ */

static da_slice group_name(const worker *w)
{
  return da_slice_make(w->key.ptr + 4, da_get_u32(w->key.ptr));
}

static da_slice id_of(const worker *w)
{
  size_t at = 4 + group_name(w).len;
  return da_slice_make(w->key.ptr + at, w->key.len - at);
}

static void offer_id(da_poll *poll, const worker *w)
{
  da_buf prefix = {0};
  da_buf_addf(&prefix, "poll://uni@%.*s/%.*s", DA_FMT(group_name(w)), DA_FMT(id_of(w)));
  da_sched_offer(poll->options.sched, da_buf_slice(&prefix));
  da_buf_free(&prefix);
}

/* Those that prefer an id are among them. */
static void offer_group(da_poll *poll, const worker *w)
{
  da_buf prefix = {0};
  da_buf_addf(&prefix, "poll://any@%.*s", DA_FMT(group_name(w)));
  da_sched_offer(poll->options.sched, da_buf_slice(&prefix));
  da_buf_free(&prefix);
}

static void offer_room(da_poll *poll, worker *w)
{
  if (w->short_) offer_id(poll, w);
  if (w->short_ || w->group->short_) offer_group(poll, w);
  w->short_ = w->group->short_ = false;
}

static void on_look(void *arg)
{
  da_poll *poll = arg;
  poll->look = NULL;
  for (worker *w = poll->loaded_first, *next; w != NULL; w = next) {
    next = w->loaded_next;
    look_at(w);
    if ((w->short_ || w->group->short_) && w->load <= poll->options.buffer_max / 2) offer_room(poll, w);
  }
  if (poll->loaded_first != NULL) look_in(poll, LOOK_MS);
}

/* ---- what is written ----------------------------------------------------------------------------------- */

/* False: there is no room in the stream, or it is about to end. */
static bool write_bytes(worker *w, da_slice bytes)
{
  da_poll *poll = w->poll;
  if (!da_http_stream_write(w->stream, bytes)) return false;
  w->written += bytes.len;
  w->written_ms = da_clock_now_ms();
  quiet_remove(poll, w);
  quiet_add(poll, w);
  return true;
}

/* Somebody came back under an id that is still connected. What is for the id alone goes to the one that was there
 * first; if that is a peer that has gone without a word (its machine was started anew, its way is another), it is the
 * bytes that bring out the reset by which that is known, not a message. */
static void knock(const worker *newcomer)
{
  worker *first = da_table_get(&newcomer->poll->workers, newcomer->key);
  if (first != newcomer) (void)write_bytes(first, DA_LIT(":\n\n"));
}

/* ---- connections come and go --------------------------------------------------------------------------- */

static group *group_of(da_poll *poll, da_slice name)
{
  group *g = da_table_get(&poll->groups, name);
  if (g != NULL) return g;
  g = da_xcalloc(1, sizeof *g + name.len);
  char *bytes = (char *)(g + 1);
  if (name.len > 0) memcpy(bytes, name.ptr, name.len);
  g->name = da_slice_make(bytes, name.len);
  (void)da_table_put(&poll->groups, g->name, g);
  return g;
}

static void unlink_worker(worker *w)
{
  da_poll *poll = w->poll;
  group *g = w->group;
  same_remove(poll, w);
  quiet_remove(poll, w);
  heap_remove(g, w);
  poll->count--;
  if (g->count > 0) return;
  (void)da_table_remove(&poll->groups, g->name);
  free(g->heap);
  free(g);
}

static void free_worker(worker *w)
{
  free(w->ring);
  free(w);
}

/* What it holds did not reach its peer, as far as is known: somebody else may be there for it. */
static void on_ended(void *user)
{
  worker *w = user;
  da_poll *poll = w->poll;
  da_log(DA_LOG_DEBUG, "poll.ended", "group=%.*s id=%.*s", DA_FMT(group_name(w)), DA_FMT(id_of(w)));
  bool offers = w->load > 0 || w->short_ || w->group->short_;
  unlink_worker(w);
  while (w->load > 0) da_delivery_end(let_go(w), DA_LATER);
  if (offers && da_table_get(&poll->workers, w->key) != NULL) offer_id(poll, w);
  if (offers && da_table_get(&poll->groups, group_name(w)) != NULL) offer_group(poll, w);
  free_worker(w);
}

static void on_comments(void *arg);

static worker *register_worker(da_poll *poll, da_slice name, da_slice id)
{
  da_slice key = make_key(poll, name, id);
  worker *w = da_xcalloc(1, sizeof *w + key.len);
  char *bytes = (char *)(w + 1);
  memcpy(bytes, key.ptr, key.len);
  w->poll = poll;
  w->key = da_slice_make(bytes, key.len);
  w->written_ms = da_clock_now_ms();
  w->group = group_of(poll, name);
  same_add(poll, w);
  quiet_add(poll, w);
  heap_add(w->group, w);
  poll->count++;
  return w;
}

int da_poll_connect(da_poll *poll, da_http_exchange *exchange, da_slice group_given, da_slice id,
                    const da_http_field *fields, size_t field_count)
{
  if (poll->count >= poll->options.connections_max || poll->ended) {
    da_http_answer(exchange, 503, "text/plain", DA_LIT("Poll registration at capacity"), fields, field_count);
    return 503;
  }
  worker *w = register_worker(poll, group_given, id); /* the slices lie in the exchange */
  da_http_field *all = da_xmalloc((field_count + 1) * sizeof *all);
  if (field_count > 0) memcpy(all, fields, field_count * sizeof *all);
  all[field_count] = (da_http_field){DA_LIT("cache-control"), DA_LIT("no-cache")};
  w->stream = da_http_answer_stream(exchange, "text/event-stream", all, field_count + 1, on_ended, w);
  free(all);
  if (poll->comments == NULL && poll->options.keepalive_ms > 0)
    poll->comments =
        da_timer_start(poll->options.sched, da_clock_now_ms() + poll->options.keepalive_ms, on_comments, poll);
  if (w->same_prev != NULL) knock(w);
  offer_id(poll, w);
  if (w->group->count == 1) offer_group(poll, w); /* else nothing is kept for it but what there was no room for */
  return 200;
}

/* ---- comments and messages ----------------------------------------------------------------------------- */

/* To those that were written nothing for a while, in the order in which that began. */
static void on_comments(void *arg)
{
  da_poll *poll = arg;
  int64_t now = da_clock_now_ms();
  int64_t every = poll->options.keepalive_ms;
  int written = 0;
  poll->comments = NULL;
  while (poll->quiet_first != NULL && poll->quiet_first->written_ms + every <= now && written < COMMENTS_MAX) {
    worker *w = poll->quiet_first;
    written++;
    if (write_bytes(w, DA_LIT(":\n\n"))) continue;
    w->written_ms = now; /* it holds more than it takes: no comment is missing */
    quiet_remove(poll, w);
    quiet_add(poll, w);
  }
  if (poll->quiet_first == NULL) return;
  int64_t at = poll->quiet_first->written_ms + every;
  int64_t least = now + every / COMMENT_PARTS; /* thousands of connections are not thousands of timers */
  if (written == COMMENTS_MAX)
    at = now;
  else if (at < least)
    at = least;
  poll->comments = da_timer_start(poll->options.sched, at, on_comments, poll);
}

/* The connection that a message is for, or NULL. */
static worker *choose(da_poll *poll, const address *to)
{
  worker *w = to->id.len > 0 ? da_table_get(&poll->workers, make_key(poll, to->group, to->id)) : NULL;
  if (w != NULL || !to->any) return w;
  const group *g = da_table_get(&poll->groups, to->group);
  return g != NULL ? g->heap[0] : NULL;
}

static bool has_room(const worker *w)
{
  return w->load < w->poll->options.buffer_max;
}

static void note_short(worker *w, const address *to)
{
  if (to->any && !da_slice_eq(to->id, id_of(w)))
    w->group->short_ = true;
  else
    w->short_ = true;
  look_in(w->poll, LOOK_MS);
}

static da_verdict write_message(worker *w, da_delivery *delivery, const da_message *message, const da_promise *promise)
{
  da_poll *poll = w->poll;
  da_buf_clear(&poll->line);
  da_buf_add_slice(&poll->line, DA_LIT("data: "));
  da_envelope_write_message(&poll->line, message, promise, poll->options.server_url);
  da_buf_add_slice(&poll->line, DA_LIT("\n\n"));
  if (!write_bytes(w, da_buf_slice(&poll->line))) return DA_LATER;
  poll->stats.delivered++;
  w->turn = ++poll->turn;
  if (da_http_stream_unsent(w->stream) == 0 && w->load == 0) {
    heap_down(w->group, w);
    return DA_TAKEN;
  }
  hold(w, delivery);
  return DA_UNDER_WAY;
}

static da_verdict deliver(void *user, da_delivery *delivery, const da_message *message, const da_promise *promise)
{
  da_poll *poll = user;
  address to;
  if (!read_address(message->address, &to)) return DA_NEVER;
  worker *w = poll->ended ? NULL : choose(poll, &to);
  if (w == NULL) {
    poll->stats.lost++;
    return DA_LATER;
  }
  da_verdict verdict = has_room(w) ? write_message(w, delivery, message, promise) : DA_LATER;
  if (verdict != DA_LATER) return verdict;
  poll->stats.lost++;
  note_short(w, &to);
  return DA_LATER;
}

/* ---- the doors ----------------------------------------------------------------------------------------- */

static bool accepts(void *user, da_slice to)
{
  (void)user;
  return da_slice_starts(to, DA_LIT("poll://"));
}

static bool reaches(void *user, da_slice to, bool exactly)
{
  da_poll *poll = user;
  address parts;
  if (!read_address(to, &parts)) return false;
  if (exactly || !parts.any)
    return parts.id.len > 0 && da_table_get(&poll->workers, make_key(poll, parts.group, parts.id)) != NULL;
  return da_table_get(&poll->groups, parts.group) != NULL;
}

da_transport da_poll_transport(da_poll *poll)
{
  return (da_transport){.accepts = accepts, .deliver = deliver, .reaches = reaches, .user = poll};
}

da_poll *da_poll_new(const da_poll_options *options)
{
  da_poll *poll = da_xcalloc(1, sizeof *poll);
  poll->options = *options;
  if (poll->options.connections_max == 0) poll->options.connections_max = CONNECTIONS;
  if (poll->options.buffer_max == 0) poll->options.buffer_max = BUFFER;
  return poll;
}

void da_poll_end(da_poll *poll)
{
  poll->ended = true;
  while (poll->quiet_first != NULL) {
    worker *w = poll->quiet_first;
    look_at(w);
    unlink_worker(w);
    da_http_stream_end(w->stream);
    while (w->load > 0) da_delivery_end(let_go(w), DA_LATER);
    free_worker(w);
  }
}

void da_poll_delete(da_poll *poll)
{
  DA_ASSERT(poll->quiet_first == NULL);
  da_timer_stop(poll->comments);
  da_timer_stop(poll->look);
  da_table_free(&poll->workers);
  da_table_free(&poll->groups);
  da_buf_free(&poll->key);
  da_buf_free(&poll->line);
  free(poll);
}

da_poll_stats da_poll_get_stats(const da_poll *poll)
{
  da_poll_stats stats = poll->stats;
  stats.connections = poll->count;
  return stats;
}
