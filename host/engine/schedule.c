/* schedule.c - requests about schedules, and what one does when its instant has come.
 *
 * A schedule has one record and, while anything is to come, one due row at its next_run_at; both are written together.
 * Firing makes a promise whose id follows from the instant, so that firing twice makes nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "handlers.h"

#include "../base/id.h"
#include "../base/limits.h"

enum { TEMPLATE_MAX = 4096, NEVER_MS = 60000 };

/* ---- instants ------------------------------------------------------------------------------------------ */

static da_cron_style style_of(const da_profile *profile, const da_request *req)
{
  return req->cron_unix || profile->cron_dow == DA_CRON_DOW_UNIX ? DA_CRON_UNIX : DA_CRON_QUARTZ;
}

/* An expression that never comes: servers of the protocol take the next minute. */
static bool comes_each_minute(const da_profile *profile, da_cron_style style)
{
  return style == DA_CRON_QUARTZ && !profile->cron_never_reject;
}

typedef struct clockwork {
  da_cron cron;
  da_zone zone;
  bool each_minute;
} clockwork;

static da_status read_clockwork(const da_change *c, const da_schedule *s, clockwork *out)
{
  da_status status = da_cron_parse(s->cron, s->style, &out->cron, NULL);
  if (status == DA_OK) status = da_zone_read(s->zone_bytes, &out->zone, NULL);
  out->each_minute = status == DA_OK && comes_each_minute(c->env->profile, s->style) &&
                     da_cron_next(&out->cron, &out->zone, c->env->now_ms) == DA_TIME_MAX;
  return status;
}

static int64_t next_run(const clockwork *clock, int64_t after_ms)
{
  int64_t at = da_cron_next(&clock->cron, &clock->zone, after_ms);
  return at == DA_TIME_MAX && clock->each_minute ? da_rule_later(after_ms, NEVER_MS) : at;
}

/* The last instant up to now, from first_ms on, which is one. */
static int64_t last_run(const clockwork *clock, int64_t first_ms, int64_t now_ms)
{
  if (clock->each_minute) return first_ms + (now_ms - first_ms) / NEVER_MS * NEVER_MS;
  return da_cron_last(&clock->cron, &clock->zone, first_ms, now_ms);
}

/* ---- the promise's id ---------------------------------------------------------------------------------- */

static da_slice promise_id_at(da_arena *arena, da_slice template, da_slice id, int64_t at_ms)
{
  const struct {
    da_slice name;
    da_slice value;
  } variables[] = {{DA_LIT("{{.id}}"), id},
                   {DA_LIT("{{.timestamp}}"), da_arena_printf(arena, "%lld", (long long)at_ms)}};
  da_slice *parts = da_arena_alloc(arena, (template.len + 1) * sizeof *parts);
  size_t count = 0;
  for (size_t i = 0; i < template.len;) {
    da_slice rest = da_slice_make(template.ptr + i, template.len - i);
    size_t step = 1;
    parts[count] = da_slice_make(rest.ptr, 1);
    for (size_t v = 0; v < sizeof variables / sizeof *variables; v++) {
      if (!da_slice_starts(rest, variables[v].name)) continue;
      parts[count] = variables[v].value;
      step = variables[v].name.len;
    }
    count++;
    i += step;
  }
  return da_arena_join(arena, parts, count);
}

/* ---- what is wrong with a schedule --------------------------------------------------------------------- */

static const char *id_fault(const da_profile *profile, da_slice id)
{
  if (profile->id_dialect == DA_DIALECT_DOT && da_slice_find(id, '.') >= 0) return "Schedule ID must not contain '.'";
  if (profile->id_dialect != DA_DIALECT_DOT && profile->id_dialect != DA_DIALECT_OFF && da_slice_find(id, ':') >= 0)
    return "Schedule ID must not contain ':'";
  if (da_slice_find(id, '\0') >= 0) return "Schedule ID must not contain null bytes";
  if (id.len > 0 && id.ptr[0] == ':') return "Schedule ID must not begin with ':'";
  return id.len > DA_SCHEDULE_ID_MAX ? "Schedule ID must not be longer than 200 bytes" : NULL;
}

static size_t payload_size(const da_request *req)
{
  size_t size = req->param.data.len;
  for (size_t i = 0; i < req->param.headers.count; i++)
    size += req->param.headers.items[i].key.len + req->param.headers.items[i].value.len;
  for (size_t i = 0; i < req->tags.count; i++) size += req->tags.items[i].key.len + req->tags.items[i].value.len;
  return size;
}

static const char *template_fault(const da_request *req, da_arena *arena)
{
  if (req->promise_id.len > TEMPLATE_MAX) return "Promise ID template must not be longer than 4096 bytes";
  const char *fault = da_id_fault(promise_id_at(arena, req->promise_id, req->id, DA_TIME_MAX));
  if (fault == NULL) return NULL;
  return da_arena_printf(arena, "Promise ID template makes no promise ID: %s", fault).ptr;
}

static const char *cron_fault(const da_profile *profile, const da_request *req, da_arena *arena)
{
  da_err err;
  da_cron cron;
  da_zone zone;
  da_cron_style style = style_of(profile, req);
  if (da_cron_parse(req->cron, style, &cron, &err) != DA_OK)
    return da_arena_printf(arena, "Invalid cron expression: %s", err.text).ptr;
  if (da_zone_read(req->zone_bytes, &zone, &err) != DA_OK)
    return da_arena_printf(arena, "Invalid time zone: %s", err.text).ptr;
  bool never = !comes_each_minute(profile, style) && da_cron_next(&cron, &zone, 0) == DA_TIME_MAX;
  return never ? "Invalid cron expression: it never comes" : NULL;
}

const char *da_schedule_fault(const da_profile *profile, const da_request *req, da_arena *arena)
{
  const char *fault = id_fault(profile, req->id);
  if (fault != NULL) return fault;
  const da_slice *target = da_map_get(req->tags, DA_TAG_TARGET);
  if (target == NULL || target->len == 0) return "promiseTags must include a resonate:target tag";
  if (profile->timer_target_reject && da_rule_tag_is(req->tags, DA_TAG_TIMER, DA_LIT("true")))
    return "A timer promise must not have a resonate:target tag";
  fault = cron_fault(profile, req, arena);
  if (fault == NULL) fault = template_fault(req, arena);
  if (fault == NULL && payload_size(req) > DA_SCHEDULE_MAX) return "A schedule's param and tags must fit 1 MiB";
  return fault;
}

/* ---- records ------------------------------------------------------------------------------------------- */

static da_schedule *load(da_change *c, da_slice id)
{
  da_schedule *s = da_arena_zalloc(c->arena, sizeof *s);
  if (c->status != DA_OK) return NULL;
  int rc = c->view->ops->schedule(c->view, id, c->arena, s);
  if (rc < 0) c->status = (da_status)rc;
  return rc > 0 ? s : NULL;
}

static void write_due(da_change *c, da_slice id, int64_t at_ms, bool del)
{
  if (at_ms >= DA_TIME_MAX) return;
  da_write write = {.table = DA_TABLE_DUE, .del = del, .row.due = {DA_DUE_SCHEDULE, at_ms, id}};
  da_change_write(c, &write);
}

/* The record, and its due row in the place of the one at `before` (DA_TIME_MAX: there was none). */
static void write_record(da_change *c, const da_schedule *s, int64_t before)
{
  da_write write = {.table = DA_TABLE_SCHEDULE, .row.schedule = s};
  da_change_write(c, &write);
  if (before == s->next_run_at) return;
  write_due(c, s->id, before, true);
  write_due(c, s->id, s->next_run_at, false);
}

static da_schedule *newborn(da_change *c, const da_request *req)
{
  clockwork clock;
  da_schedule *s = da_arena_zalloc(c->arena, sizeof *s);
  *s = (da_schedule){.id = req->id,
                     .cron = req->cron,
                     .style = style_of(c->env->profile, req),
                     .zone = req->zone,
                     .zone_bytes = req->zone_bytes,
                     .catch_up = req->catch_up,
                     .promise_id = req->promise_id,
                     .promise_timeout = req->timeout_at,
                     .promise_param = req->param,
                     .promise_tags = req->tags,
                     .call = req->call,
                     .created_at = c->env->now_ms,
                     .next_run_at = DA_TIME_MAX};
  if (read_clockwork(c, s, &clock) == DA_OK) s->next_run_at = next_run(&clock, c->env->now_ms);
  return s;
}

/* ---- requests ------------------------------------------------------------------------------------------ */

void da_schedule_get(da_change *c, const da_request *req)
{
  c->out->reply.schedule = load(c, req->id);
  if (c->out->reply.schedule == NULL) da_refuse(&c->out->reply, 404, "Schedule not found");
}

void da_schedule_create(da_change *c, const da_request *req)
{
  da_schedule *s = load(c, req->id);
  if (s == NULL) {
    s = newborn(c, req);
    write_record(c, s, DA_TIME_MAX);
  }
  c->out->reply.schedule = s;
}

void da_schedule_delete(da_change *c, const da_request *req)
{
  da_schedule *s = load(c, req->id);
  if (s == NULL) {
    da_refuse(&c->out->reply, 404, "Schedule not found");
    return;
  }
  da_write write = {.table = DA_TABLE_SCHEDULE, .del = true, .row.schedule = s};
  da_change_write(c, &write);
  write_due(c, s->id, s->next_run_at, true);
}

static bool same_map(da_map a, da_map b)
{
  return a.count == b.count && da_rule_tags_hold(a, b);
}

static bool same_value(const da_value *a, const da_value *b)
{
  return a->has_data == b->has_data && a->has_headers == b->has_headers && a->encoding == b->encoding &&
         da_slice_eq(a->data, b->data) && same_map(a->headers, b->headers);
}

static bool same_definition(const da_schedule *a, const da_schedule *b)
{
  return da_slice_eq(a->cron, b->cron) && a->style == b->style && da_slice_eq(a->zone, b->zone) &&
         a->catch_up == b->catch_up && da_slice_eq(a->promise_id, b->promise_id) &&
         a->promise_timeout == b->promise_timeout && same_value(&a->promise_param, &b->promise_param) &&
         same_map(a->promise_tags, b->promise_tags) && da_slice_eq(a->call.func, b->call.func);
}

/* What was defined otherwise begins anew. A zone whose rules alone are others keeps its past, and what is due. */
void da_schedule_declare(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  const da_schedule *s = load(c, req->id);
  da_schedule *new = newborn(c, req);
  bool same = s != NULL && same_definition(s, new);
  reply->schedule = same && da_slice_eq(s->zone_bytes, new->zone_bytes) ? s : new;
  if (reply->schedule == s) return;
  if (same) {
    new->created_at = s->created_at;
    new->last_run_at = s->last_run_at;
    if (s->next_run_at <= c->env->now_ms) new->next_run_at = s->next_run_at;
  }
  reply->count = 1;
  write_record(c, new, s != NULL ? s->next_run_at : DA_TIME_MAX);
}

/* ---- firing -------------------------------------------------------------------------------------------- */

/* promiseTags, the tags of a lineage in the place of any among them. */
static da_map fired_tags(da_change *c, const da_schedule *s, da_slice promise_id)
{
  const da_pair own[] = {{DA_TAG_SCHEDULE, s->id},
                         {DA_TAG_ORIGIN, promise_id},
                         {DA_TAG_BRANCH, promise_id},
                         {DA_TAG_PARENT, promise_id},
                         {DA_TAG_PREFIX, promise_id}};
  enum { OWN = sizeof own / sizeof *own };
  da_pair *items = da_arena_alloc(c->arena, (s->promise_tags.count + OWN) * sizeof *items);
  size_t count = 0;
  for (size_t i = 0; i < s->promise_tags.count; i++) {
    bool overwritten = false;
    for (size_t j = 0; j < OWN; j++) overwritten |= da_slice_eq(s->promise_tags.items[i].key, own[j].key);
    if (!overwritten) items[count++] = s->promise_tags.items[i];
  }
  memcpy(items + count, own, sizeof own);
  return (da_map){items, count + OWN};
}

static void fire(da_change *c, const da_schedule *s, int64_t at_ms)
{
  da_request *req = da_arena_zalloc(c->arena, sizeof *req);
  req->kind = DA_REQ_PROMISE_CREATE;
  req->id = promise_id_at(c->arena, s->promise_id, s->id, at_ms);
  req->timeout_at = da_rule_later(at_ms, s->promise_timeout);
  req->param = s->promise_param;
  req->tags = fired_tags(c, s, req->id);
  req->call = s->call;
  da_promise_fire(c, req, at_ms);
}

bool da_schedule_fire(da_change *c, const da_due *row)
{
  clockwork clock;
  int64_t now = c->env->now_ms;
  da_schedule *s = load(c, row->id);
  if (s == NULL || s->next_run_at != row->at) return c->status != DA_OK;
  if (read_clockwork(c, s, &clock) != DA_OK) { /* its row is no stray */
    c->out->damage = da_arena_printf(
        c->arena, "the expression or the zone of schedule '%.*s' is damaged; declare it anew", DA_FMT(s->id));
    c->status = DA_ECORRUPT;
    return true;
  }
  for (int i = 0; i < DA_SCHEDULE_FIRE_MAX && s->next_run_at <= now; i++) {
    int64_t at = s->next_run_at;
    if (s->catch_up != DA_CATCH_UP_ALL) at = last_run(&clock, at, now);
    if (s->catch_up != DA_CATCH_UP_NONE || now - at <= DA_SCHEDULE_LATE_MS) {
      fire(c, s, at);
      s->last_run_at = at;
      if (i > 0) c->out->reply.count++;
    }
    s->next_run_at = next_run(&clock, at);
  }
  if (s->next_run_at <= now) c->out->reply.more = true;
  write_record(c, s, row->at);
  return true;
}
