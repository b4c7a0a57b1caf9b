/* verify.c - every row of every table against the rows it belongs to.
 *
 * What a store can tell without knowing what a promise means: keys and records decode, numbers and texts of roots point
 * at each other, values in pieces are whole, an index row names a record that asks for it and the reverse. Whether a
 * state makes sense is for the engine's checks. Reads longer than other calls: while it runs, the writer of another
 * process cannot reuse pages. Repairs nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "rows.h"

typedef struct verify {
  da_store *store;
  da_store_fault *report;
  void *user;
  int faults;
  da_arena arena;   /* of the row at hand */
  uint64_t root;    /* of the prom row before: each is asked for once */
  uint64_t anchors; /* met */
  da_table queues;  /* hash of the name -> tally */
  da_arena tallies;
} verify;

static void fault(verify *v, const char *what, da_slice id, const char *words)
{
  v->faults++;
  if (v->report != NULL) v->report(v->user, what, id, words);
}

/* The id of a key in words, whatever can be said of it. */
static da_slice id_words(verify *v, const da_id_key *key, da_slice long_text)
{
  da_slice id;
  if (key->is_long && long_text.len == 0) long_text = da_slice_make(key->rest.ptr, DA_ID_REST_KEY_HEAD);
  if (da_id_of_key(v->store, key, long_text, &v->arena, &id) > 0) return id;
  return da_arena_printf(&v->arena, "#%llu%.*s", (unsigned long long)key->root,
                         key->is_long ? DA_ID_REST_KEY_HEAD : (int)key->rest.len, key->rest.ptr);
}

/* ---- lookups ------------------------------------------------------------------------------------------- */

static void key_of(da_key *out, const da_id_key *id)
{
  out->len = 0;
  da_key_add_number(out, id->root);
  da_key_add(out, id->rest.ptr, id->rest.len);
}

/* The promise under a keyed id: 1, 0 if absent or unreadable (told where its own row is checked), negative. */
static int promise_at(verify *v, const da_id_key *id, da_promise *out)
{
  da_key key;
  da_slice value;
  da_promise_head head;
  key_of(&key, id);
  int there = da_rows_get(v->store, da_rows_table(id->rest), da_key_slice(&key), &value);
  if (there <= 0) return there;
  if (da_codec_promise_head(value, &head) != DA_OK || head.anchor) return 0;
  return da_codec_promise_get(value, id_words(v, id, head.text), v->store->words, &v->arena, out) == DA_OK;
}

static int task_at(verify *v, const da_id_key *id, da_task *out)
{
  da_key key;
  da_slice value;
  da_slice text;
  key_of(&key, id);
  int there = da_rows_get(v->store, DA_KV_TASK, da_key_slice(&key), &value);
  return there <= 0 ? there : da_codec_task_get(value, &v->arena, out, &text) == DA_OK;
}

static int due_at(verify *v, da_due_class class_, int64_t at, const da_id_key *id)
{
  da_key key;
  da_slice value;
  if (at < 0) return 0;
  da_key_due(&key, class_, at, 0, DA_NONE, v->store->seed);
  da_key_add_number(&key, id->root);
  da_key_add(&key, id->rest.ptr, id->rest.len);
  return da_rows_get(v->store, da_rows_due_table(class_), da_key_slice(&key), &value);
}

/* ---- ids and prom -------------------------------------------------------------------------------------- */

static int check_ids_row(verify *v, da_slice text, da_slice value)
{
  da_key key;
  da_slice row;
  da_promise_head head;
  uint64_t number;
  const uint8_t *at = (const uint8_t *)value.ptr;
  const uint8_t *end = at + value.len;
  if (da_id_fault(text) != NULL || da_id_rest(text).len != 0) fault(v, "ids.key", text, "the root id is not one");
  if (!da_varint_get(&at, end, &number) || at != end || number == 0) {
    fault(v, "ids.record", text, "the root has no number that can be read");
    return 0;
  }
  if (number >= v->store->counters.next_root) fault(v, "ids.number", text, "the number was never handed out");
  da_key_id(&key, number, DA_NONE, v->store->seed);
  int there = da_rows_get(v->store, DA_KV_ROOT, da_key_slice(&key), &row);
  if (there < 0) return there;
  if (there == 0)
    fault(v, "ids.back", text, "there is no row of root under this number");
  else if (da_codec_promise_head(row, &head) == DA_OK && !da_slice_eq(head.text, text))
    fault(v, "ids.back", text, "the row of root under this number is that of another");
  return 0;
}

static int check_root_text(verify *v, const da_id_key *id, da_slice text)
{
  da_slice value;
  uint64_t number = 0;
  int there = da_rows_get(v->store, DA_KV_IDS, text, &value);
  if (there < 0) return there;
  const uint8_t *at = (const uint8_t *)value.ptr;
  if (there == 0 || !da_varint_get(&at, at + value.len, &number) || number != id->root)
    fault(v, "root.ids", text, "ids does not lead to this root");
  return 0;
}

static int check_blob(verify *v, da_slice owner, uint8_t which, size_t len, da_slice id, const char *what)
{
  for (size_t i = 0; i < da_blob_pieces(len); i++) {
    da_key key;
    da_slice piece;
    size_t want = len - i * DA_BLOB_PIECE < DA_BLOB_PIECE ? len - i * DA_BLOB_PIECE : DA_BLOB_PIECE;
    da_key_blob(&key, owner, which, (uint16_t)i);
    int there = da_rows_get(v->store, DA_KV_BLOB, da_key_slice(&key), &piece);
    if (there < 0) return there;
    if (there > 0 && piece.len == want) continue;
    fault(v, what, id, there == 0 ? "a piece of the value is missing" : "a piece of the value has another length");
    return 0;
  }
  return 0;
}

static int check_promise(verify *v, const da_id_key *id, da_slice key, da_slice value, const da_promise_head *head)
{
  da_promise p;
  da_slice name = id_words(v, id, head->text);
  da_status status = da_codec_promise_get(value, name, v->store->words, &v->arena, &p);
  if (status != DA_OK) {
    fault(v, "prom.record", name, da_status_text(status));
    return 0;
  }
  int checked = check_blob(v, key, DA_BLOB_PARAM, head->param_bytes, name, "prom.param");
  if (checked == 0) checked = check_blob(v, key, DA_BLOB_VALUE, head->value_bytes, name, "prom.value");
  if (checked < 0) return checked;
  if (p.settle_seq >= v->store->counters.next_seq) fault(v, "prom.seq", name, "settle_seq was never handed out");
  if (!p.armed) return 0;
  int there = due_at(v, DA_DUE_DEADLINE, p.timeout_at, id);
  if (there == 0) fault(v, "prom.due", name, "is armed, but due has no row for its deadline");
  return there < 0 ? there : 0;
}

static bool hash_is(const verify *v, const char *stored, da_slice text)
{
  da_digest hash = da_hash128_seeded(text, v->store->seed);
  return memcmp(stored, hash.bytes, sizeof hash.bytes) == 0;
}

static bool long_text_fits(const verify *v, const da_id_key *id, da_slice text)
{
  return text.len > DA_ID_REST_KEY_MAX && memcmp(text.ptr, id->rest.ptr, DA_ID_REST_KEY_HEAD) == 0 &&
         hash_is(v, id->rest.ptr + DA_ID_REST_KEY_HEAD + 1, text);
}

/* The key and the head of a row of either map; false if nothing more can be asked of it. */
static bool open_row(verify *v, da_slice key, da_slice value, bool root, da_id_key *id, da_promise_head *head)
{
  if (!da_key_id_get(key, id) || root != (id->rest.len == 0)) {
    fault(v, root ? "root.key" : "prom.key", DA_NONE, "the key is not that of an id of this table");
    return false;
  }
  da_status status = da_codec_promise_head(value, head);
  if (status == DA_OK && (head->has_text != (root || id->is_long) || (head->anchor && !root))) status = DA_ECORRUPT;
  if (status == DA_OK) return true;
  fault(v, root ? "root.record" : "prom.record", id_words(v, id, DA_NONE), da_status_text(status));
  return false;
}

static int check_root_row(verify *v, da_slice key, da_slice value)
{
  da_id_key id;
  da_promise_head head;
  if (!open_row(v, key, value, true, &id, &head)) return 0;
  int checked = check_root_text(v, &id, head.text);
  if (checked < 0) return checked;
  if (head.anchor) v->anchors++;
  return head.anchor ? 0 : check_promise(v, &id, key, value, &head);
}

static int check_prom_row(verify *v, da_slice key, da_slice value)
{
  da_id_key id;
  da_promise_head head;
  da_slice root;
  if (!open_row(v, key, value, false, &id, &head)) return 0;
  if (id.root != v->root && da_root_text(v->store, id.root, &root) < 0)
    fault(v, "prom.root", id_words(v, &id, head.text), "there is no row that keeps the text of its root");
  v->root = id.root;
  if (id.is_long && !long_text_fits(v, &id, head.text))
    fault(v, "prom.key", id_words(v, &id, head.text), "the key does not belong to this long id");
  return check_promise(v, &id, key, value, &head);
}

/* ---- blob and bundle ----------------------------------------------------------------------------------- */

static int check_bundle_row(verify *v, da_slice key, da_slice value)
{
  size_t len;
  da_slice inside;
  da_digest hash;
  char hex[33];
  if (key.len != sizeof hash.bytes) {
    fault(v, "bundle.key", DA_NONE, "the key is not a content hash");
    return 0;
  }
  memcpy(hash.bytes, key.ptr, key.len);
  da_digest_hex(&hash, hex);
  da_slice name = da_slice_of(hex);
  if (da_codec_bundle_get(value, &len, &inside) != DA_OK) {
    fault(v, "bundle.record", name, "the record cannot be read");
    return 0;
  }
  da_key owner;
  da_key_bundle_owner(&owner, &hash);
  int faults = v->faults;
  int checked =
      da_codec_in_blob(len) ? check_blob(v, da_key_slice(&owner), DA_BLOB_BUNDLE, len, name, "bundle.bytes") : 0;
  if (checked < 0 || v->faults != faults) return checked;
  da_slice bytes;
  int there = da_store_bundle_get(v->store, &hash, &v->arena, &bytes);
  if (there < 0) return there;
  da_digest content = da_hash128(bytes);
  if (!da_digest_eq(&content, &hash)) fault(v, "bundle.hash", name, "the bytes are not those of this hash");
  return 0;
}

/* The bytes that the owner of a piece has in `blob`: 0 if it has none or is not there. */
static int owner_bytes(verify *v, da_slice owner, uint8_t which, size_t *len)
{
  da_slice row;
  da_slice inside;
  da_promise_head head = {0};
  *len = 0;
  if (which == DA_BLOB_BUNDLE) {
    int there = owner.ptr[0] != '\0'
                    ? 0
                    : da_rows_get(v->store, DA_KV_BUNDLE, da_slice_make(owner.ptr + 1, owner.len - 1), &row);
    if (there > 0 && (da_codec_bundle_get(row, len, &inside) != DA_OK || !da_codec_in_blob(*len))) *len = 0;
    return there;
  }
  da_id_key id;
  if (!da_key_id_get(owner, &id)) return 0;
  int there = da_rows_get(v->store, da_rows_table(id.rest), owner, &row);
  if (there > 0 && da_codec_promise_head(row, &head) == DA_OK)
    *len = which == DA_BLOB_PARAM ? head.param_bytes : which == DA_BLOB_VALUE ? head.value_bytes : 0;
  return there;
}

static int check_blob_row(verify *v, da_slice key, da_slice value)
{
  da_slice owner;
  uint8_t which;
  uint16_t piece;
  size_t len;
  (void)value;
  if (!da_key_blob_get(key, &owner, &which, &piece)) {
    fault(v, "blob.key", DA_NONE, "the key is not that of a piece");
    return 0;
  }
  int there = owner_bytes(v, owner, which, &len);
  if (there >= 0 && piece >= da_blob_pieces(len)) {
    da_id_key id;
    bool named = which != DA_BLOB_BUNDLE && da_key_id_get(owner, &id);
    fault(v, "blob.owner", named ? id_words(v, &id, DA_NONE) : DA_NONE, "a piece that no record asks for");
  }
  return there < 0 ? there : 0;
}

/* ---- task and due -------------------------------------------------------------------------------------- */

static bool has_timer(da_task_state state)
{
  return state == DA_TASK_PENDING || state == DA_TASK_ACQUIRED;
}

static da_due_class timer_class(da_task_state state)
{
  return state == DA_TASK_PENDING ? DA_DUE_RETRY : DA_DUE_LEASE;
}

/* The beginning of the keys of an id's waits, as da_key_wait_first() makes it out of the text. */
static void first_of(da_key *key, const da_id_key *id)
{
  da_key_add_number(key, id->root);
  da_key_add(key, id->rest.ptr, id->is_long ? (size_t)DA_ID_REST_KEY_HEAD : id->rest.len);
  da_key_add_byte(key, 0);
  da_key_add_byte(key, id->is_long ? DA_REST_HASH : DA_REST_ENDS);
  if (id->is_long) da_key_add(key, id->rest.ptr + DA_ID_REST_KEY_HEAD + 1, sizeof(da_digest));
}

static int check_resumes(verify *v, const da_id_key *id, const da_task *task, da_slice name)
{
  da_key prefix = {0};
  da_slice key;
  da_slice value;
  int64_t rows = 0;
  da_key_add_byte(&prefix, DA_WAIT_RESUME);
  first_of(&prefix, id);
  int there = da_rows_seek(v->store, DA_KV_WAIT, da_key_slice(&prefix), &key, &value);
  for (; there > 0 && da_slice_starts(key, da_key_slice(&prefix)); rows++)
    there = da_rows_next(v->store, DA_KV_WAIT, &key, &value);
  if (there < 0) return there;
  if (rows != task->resumes) fault(v, "task.resumes", name, "wait does not hold as many resumes as the task counts");
  return 0;
}

static int check_task_row(verify *v, da_slice key, da_slice value)
{
  da_id_key id;
  da_task task;
  da_slice text;
  da_promise promise;
  if (!da_key_id_get(key, &id)) {
    fault(v, "task.key", DA_NONE, "the key is not that of an id");
    return 0;
  }
  da_status status = da_codec_task_get(value, &v->arena, &task, &text);
  da_slice name = id_words(v, &id, text);
  if (status != DA_OK) {
    fault(v, "task.record", name, da_status_text(status));
    return 0;
  }
  if (id.is_long && !long_text_fits(v, &id, text))
    fault(v, "task.key", name, "the key does not belong to this long id");
  int there = promise_at(v, &id, &promise);
  if (there == 0) fault(v, "task.promise", name, "there is no promise of this id");
  if (there >= 0 && task.timer_at != 0 && has_timer(task.state)) {
    there = due_at(v, timer_class(task.state), task.timer_at, &id);
    if (there == 0) fault(v, "task.due", name, "has a timer, but due has no row for it");
  }
  return there < 0 ? there : check_resumes(v, &id, &task, name);
}

static int check_queue_due(verify *v, da_slice name, int64_t at)
{
  da_queue queue;
  int there = da_queue_get(&v->store->view, name, &v->arena, &queue);
  if (there == 0 || (there > 0 && queue.due_at != at))
    fault(v, "due.owner", name, "no queue asks to be called at this instant");
  return there < 0 ? there : 0;
}

static int check_due(verify *v, da_slice key, da_slice value, bool in_timer)
{
  da_due_class class_;
  int64_t at;
  da_id_key id;
  da_promise promise;
  da_task task;
  da_schedule schedule;
  if (!da_key_due_get(key, in_timer, &class_, &at, &id)) {
    fault(v, "due.key", DA_NONE, "the key is not that of an instant and an id");
    return 0;
  }
  da_slice name = id_words(v, &id, value);
  if (id.is_long ? !long_text_fits(v, &id, value) : value.len != 0)
    fault(v, "due.record", name, "the row does not hold the text of its id");
  if (class_ == DA_DUE_QUEUE) return check_queue_due(v, name, at);
  int there;
  bool asked;
  if (class_ == DA_DUE_DEADLINE) {
    there = promise_at(v, &id, &promise);
    asked = there > 0 && promise.armed && promise.timeout_at == at;
  } else if (class_ == DA_DUE_SCHEDULE) {
    there = v->store->view.ops->schedule(&v->store->view, name, &v->arena, &schedule);
    if (there == DA_ECORRUPT || there == DA_EVERSION) return 0; /* told where its own row is checked */
    asked = there > 0 && schedule.next_run_at == at;
  } else {
    there = task_at(v, &id, &task);
    asked = there > 0 && has_timer(task.state) && timer_class(task.state) == class_ && task.timer_at == at;
  }
  if (there >= 0 && !asked) fault(v, "due.owner", name, "no record asks to be called at this instant");
  return there < 0 ? there : 0;
}

static int check_due_row(verify *v, da_slice key, da_slice value)
{
  return check_due(v, key, value, false);
}

static int check_timer_row(verify *v, da_slice key, da_slice value)
{
  return check_due(v, key, value, true);
}

/* ---- schedules ----------------------------------------------------------------------------------------- */

static int check_sched_row(verify *v, da_slice key, da_slice value)
{
  da_schedule schedule;
  da_cron cron;
  da_zone zone;
  da_status status = da_codec_schedule_get(value, key, v->store->words, &v->arena, &schedule);
  if (status != DA_OK) {
    fault(v, "sched.record", key, da_status_text(status));
    return 0;
  }
  if (da_cron_parse(schedule.cron, schedule.style, &cron, NULL) != DA_OK)
    fault(v, "sched.cron", key, "its expression cannot be read");
  if (da_zone_read(schedule.zone_bytes, &zone, NULL) != DA_OK) fault(v, "sched.zone", key, "its zone cannot be read");
  if (schedule.next_run_at == DA_TIME_MAX) return 0;
  da_due due = {DA_DUE_SCHEDULE, schedule.next_run_at, key};
  int there = v->store->view.ops->due_has(&v->store->view, &due);
  if (there == 0) fault(v, "sched.due", key, "is to run, but timer has no row for it");
  return there < 0 ? there : 0;
}

/* ---- wait and out -------------------------------------------------------------------------------------- */

/* A callback (awaited, awaiter) and the await seen from the awaiter are one fact in two rows; but below the awaiter
 * the second is left out (wait.c). */
static int check_twin(verify *v, const da_wait_key *k, da_slice first, da_slice second, da_slice name)
{
  da_key key = {0};
  da_slice value;
  bool callback = k->kind == DA_WAIT_CALLBACK;
  bool below = k->first.root == k->second.root && (callback ? da_id_below(first, second) : da_id_below(second, first));
  if (below && !callback) fault(v, "wait.twin", name, "an await of a descendant has a row of its own");
  if (below) return 0;
  first_of(&key, &k->second);
  da_key_add_number(&key, k->first.root == k->second.root ? 0 : k->first.root);
  da_key_add(&key, k->first.rest.ptr, k->first.rest.len);
  int there = da_rows_get(v->store, callback ? DA_KV_AWAIT : DA_KV_CALLBACK, da_key_slice(&key), &value);
  if (there == 0) fault(v, "wait.twin", name, "the same wait, seen from the other side, has no row");
  return there < 0 ? there : 0;
}

static int check_wait_ids(verify *v, const da_wait_key *k, da_slice first_text, da_slice second_text, da_slice name)
{
  da_promise promise;
  da_task task;
  if (k->second.is_long && !long_text_fits(v, &k->second, second_text))
    fault(v, "wait.record", name, "the key does not belong to its long second id");
  int there = promise_at(v, &k->second, &promise);
  if (there == 0) fault(v, "wait.second", name, "there is no promise of its second id");
  if (there >= 0 && k->kind == DA_WAIT_RESUME && (there = task_at(v, &k->first, &task)) == 0)
    fault(v, "wait.task", name, "a resume for a task that is not there");
  if (there < 0 || k->kind == DA_WAIT_RESUME) return there < 0 ? there : 0;
  return check_twin(v, k, id_words(v, &k->first, first_text), id_words(v, &k->second, second_text), name);
}

static int check_wait(verify *v, da_slice key, da_slice value, bool in_wait, da_wait_kind kind)
{
  da_wait_key k;
  da_slice first_text;
  da_slice second_text;
  da_promise promise;
  if (!da_key_wait_get(key, in_wait, kind, &k)) {
    fault(v, "wait.key", DA_NONE, "the key is not that of two ids, or of an id and an address");
    return 0;
  }
  if (!da_wait_value_get(&k, value, &first_text, &second_text)) {
    fault(v, "wait.record", id_words(v, &k.first, DA_NONE), "the row does not hold the texts that its key leaves out");
    return 0;
  }
  da_slice name = id_words(v, &k.first, first_text);
  if (k.first.is_long && !long_text_fits(v, &k.first, first_text))
    fault(v, "wait.record", name, "the key does not belong to its long first id");
  int there = promise_at(v, &k.first, &promise);
  if (there < 0) return there;
  if (there == 0) fault(v, "wait.first", name, "there is no promise of its first id");
  if (k.kind != DA_WAIT_LISTENER) return check_wait_ids(v, &k, first_text, second_text, name);
  if (!hash_is(v, key.ptr + key.len - sizeof(da_digest), second_text))
    fault(v, "wait.address", name, "the key does not belong to this address");
  return 0;
}

static int check_callback_row(verify *v, da_slice key, da_slice value)
{
  return check_wait(v, key, value, false, DA_WAIT_CALLBACK);
}

static int check_await_row(verify *v, da_slice key, da_slice value)
{
  return check_wait(v, key, value, false, DA_WAIT_AWAITED);
}

static int check_wait_row(verify *v, da_slice key, da_slice value)
{
  return check_wait(v, key, value, true, DA_WAIT_RESUME);
}

static int check_out_row(verify *v, da_slice key, da_slice value)
{
  da_out_key k;
  da_message message;
  da_slice text;
  da_promise promise;
  da_task task;
  if (!da_key_out_get(key, &k)) {
    fault(v, "out.key", DA_NONE, "the key is not that of a message");
    return 0;
  }
  da_status status = da_codec_out_get(value, k.kind, &message, &text);
  da_slice name = id_words(v, &k.id, text);
  if (status != DA_OK) {
    fault(v, "out.record", name, da_status_text(status));
    return 0;
  }
  if (k.id.is_long ? !long_text_fits(v, &k.id, text) : text.len != 0)
    fault(v, "out.record", name, "the row does not hold the text of its id");
  if (k.kind == DA_UNBLOCK && !hash_is(v, key.ptr + key.len - sizeof(da_digest), message.address))
    fault(v, "out.address", name, "the key does not belong to this address");
  int there = k.kind == DA_EXECUTE ? task_at(v, &k.id, &task) : promise_at(v, &k.id, &promise);
  if (there == 0) fault(v, "out.owner", name, "a message of nobody");
  return there < 0 ? there : 0;
}

static int check_live_row(verify *v, da_slice key, da_slice value)
{
  da_live_key k;
  da_promise promise;
  if (!da_key_live_get(key, &k)) {
    fault(v, "live.key", DA_NONE, "the key is not that of a published value");
    return 0;
  }
  int there = promise_at(v, &k.id, &promise);
  if (there < 0) return there;
  if (there == 0) fault(v, "live.owner", id_words(v, &k.id, DA_NONE), "a published value of nobody");
  if (value.len == 0 || value.len > DA_LIVE_VALUE_MAX)
    fault(v, "live.record", id_words(v, &k.id, DA_NONE), "a published value has a length that none has");
  return 0;
}

/* Piece `number` of the image whose rows have this key but for its last two bytes. */
static int image_piece(verify *v, da_slice key, size_t number, da_key *out, da_slice *value)
{
  out->len = 0;
  da_key_add(out, key.ptr, key.len - 2);
  da_key_add_byte(out, (uint8_t)(number >> 8));
  da_key_add_byte(out, (uint8_t)number);
  return da_rows_get(v->store, DA_KV_IMAGE, da_key_slice(out), value);
}

/* The pieces of an image by its head, and the head by each piece. NULL, or what is wrong. */
static int check_pieces(verify *v, da_slice key, da_slice value, const char **words)
{
  da_key at;
  da_slice head, piece;
  size_t number = (size_t)(uint8_t)key.ptr[key.len - 2] << 8 | (uint8_t)key.ptr[key.len - 1];
  *words = NULL;
  int there = image_piece(v, key, 0, &at, &head);
  if (there < 0) return there;
  size_t len = there > 0 ? da_image_len(v->store, &at, head) : 0;
  if (number == 0 && len == 0) *words = "the head of an image cannot be read";
  for (size_t i = 1; number == 0 && *words == NULL && i <= da_blob_pieces(len); i++) {
    there = image_piece(v, key, i, &at, &piece);
    if (there < 0) return there;
    if (there == 0) *words = "a piece of an image is missing";
  }
  size_t from = number > 0 ? (number - 1) * DA_BLOB_PIECE : 0;
  size_t want = from >= len ? 0 : len - from < DA_BLOB_PIECE ? len - from : DA_BLOB_PIECE;
  if (number > 0 && there == 0) *words = "a piece of no image";
  if (number > 0 && len > 0 && value.len != want) *words = "a piece of an image has another length";
  return 0;
}

static int check_image_row(verify *v, da_slice key, da_slice value)
{
  const char *words;
  da_live_key k;
  da_promise promise;
  if (!da_key_live_get(key, &k) || k.name.len != 2) {
    fault(v, "image.key", DA_NONE, "the key is not that of a piece of an image");
    return 0;
  }
  int there = promise_at(v, &k.id, &promise);
  if (there < 0) return there;
  if (there == 0) fault(v, "image.owner", id_words(v, &k.id, DA_NONE), "an image of nobody");
  there = check_pieces(v, key, value, &words);
  if (words != NULL) fault(v, "image.record", id_words(v, &k.id, DA_NONE), words);
  return there;
}

/* ---- queues -------------------------------------------------------------------------------------------- */

/* A queue as its own row says, and what was met of it since: its row comes first. */
typedef struct tally {
  da_slice hash;
  da_queue queue;
  uint64_t tokens, places, waiting, held;
} tally;

static int check_queue(verify *v, da_slice hash, da_slice value)
{
  tally *t = da_arena_zalloc(&v->tallies, sizeof *t);
  t->hash = da_arena_dup(&v->tallies, hash);
  da_status status = da_codec_queue_get(da_arena_dup(&v->tallies, value), &t->queue);
  if (status != DA_OK) {
    fault(v, "queue.record", DA_NONE, da_status_text(status));
    return 0;
  }
  if (!hash_is(v, hash.ptr, t->queue.name))
    fault(v, "queue.key", t->queue.name, "the key does not belong to this name");
  (void)da_table_put(&v->queues, t->hash, t);
  if (t->queue.due_at == 0) return 0;
  da_due due = {DA_DUE_QUEUE, t->queue.due_at, t->queue.name};
  int there = da_store_view_ops.due_has(&v->store->view, &due);
  if (there == 0) fault(v, "queue.due", due.id, "asks to be called, but due has no row for it");
  return there < 0 ? there : 0;
}

static int check_place(verify *v, const da_queue_row *row, const tally *t)
{
  da_queue_row hold;
  int there = da_queue_hold(&v->store->view, row->owner, row->id, &v->arena, &hold);
  if (there < 0) return there;
  if (there == 0 || hold.state != DA_HOLD_WAITING || hold.seq != row->seq || !da_slice_eq(hold.name, t->queue.name))
    fault(v, "queue.place", row->id, "has a place in a queue, but does not wait there");
  return 0;
}

static int check_hold(verify *v, const da_queue_key *key, const da_queue_row *row)
{
  da_promise promise;
  da_digest hash = da_hash128_seeded(row->name, v->store->seed);
  tally *t = da_table_get(&v->queues, da_slice_make((const char *)hash.bytes, sizeof hash.bytes));
  if (!hash_is(v, key->first.ptr, row->owner) || !hash_is(v, key->second.ptr, row->id))
    fault(v, "queue.hold", row->id, "the key does not belong to its ids");
  if (t == NULL && row->state != DA_HOLD_SENT) fault(v, "queue.hold", row->id, "there is no queue of this name");
  if (t != NULL && row->state == DA_HOLD_WAITING) t->waiting++;
  if (t != NULL && row->state == DA_HOLD_GRANTED && t->queue.kind == DA_QUEUE_SEMAPHORE) t->held++;
  int there = da_store_view_ops.promise(&v->store->view, row->owner, &v->arena, &promise);
  if (there == 0 || (there > 0 && promise.state != DA_PENDING))
    fault(v, "queue.owner", row->owner, "holds something of a queue, but is not there or has ended");
  return there < 0 ? there : 0;
}

static int check_queue_row(verify *v, da_slice key, da_slice value)
{
  da_queue_key k;
  da_queue_row row;
  if (!da_key_queue_get(key, &k)) {
    fault(v, "queue.key", DA_NONE, "the key is not that of a queue or of what is in it");
    return 0;
  }
  if (k.kind == DA_QUEUE_SELF) return check_queue(v, k.first, value);
  da_status status = da_codec_queue_row_get(value, &v->arena, &row);
  if (status == DA_OK && (unsigned)row.kind != k.kind) status = DA_ECORRUPT;
  if (status != DA_OK) {
    fault(v, "queue.record", DA_NONE, da_status_text(status));
    return 0;
  }
  if (row.kind == DA_QUEUE_HOLD) return check_hold(v, &k, &row);
  tally *t = da_table_get(&v->queues, k.first);
  row.seq = k.seq;
  if (t == NULL) fault(v, "queue.row", row.id, "something of a queue that is not there");
  if (t == NULL) return 0;
  if (row.kind == DA_QUEUE_TOKEN) t->tokens++;
  if (row.kind == DA_QUEUE_TOKEN) return 0;
  t->places++;
  return check_place(v, &row, t);
}

static void check_tally(verify *v, const tally *t)
{
  const da_queue *q = &t->queue;
  if (t->tokens != q->tokens) fault(v, "queue.tokens", q->name, "counts another number of tokens than it has rows");
  if (t->places != q->places || t->waiting != q->places)
    fault(v, "queue.places", q->name, "counts another number of those who wait than it has rows");
  if (t->held != q->held) fault(v, "queue.held", q->name, "counts another number of permits than are held");
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

static int check_word_row(verify *v, da_slice key, da_slice value)
{
  uint64_t code;
  da_slice known;
  const uint8_t *at = (const uint8_t *)key.ptr;
  const uint8_t *end = at + key.len;
  if (!da_varint_get(&at, end, &code) || at != end || !da_words_text(v->store->words, code, &known))
    fault(v, "word.key", value, "the number was never handed out");
  else if (!da_slice_eq(known, value))
    fault(v, "word.record", value, "two texts under one number");
  return 0;
}

typedef int check_row(verify *v, da_slice key, da_slice value);

static int walk(verify *v, da_kv_table table, check_row *check)
{
  da_slice key;
  da_slice value;
  int there = da_rows_seek(v->store, table, DA_LIT("\0"), &key, &value);
  while (there > 0) {
    int checked = check(v, key, value);
    if (checked < 0) return checked;
    da_arena_reset(&v->arena);
    there = da_rows_next(v->store, table, &key, &value);
  }
  return there;
}

static int verify_all(verify *v)
{
  static const struct {
    da_kv_table table;
    check_row *check;
  } checks[] = {
      {DA_KV_WORD, check_word_row},         {DA_KV_IDS, check_ids_row},     {DA_KV_ROOT, check_root_row},
      {DA_KV_PROM, check_prom_row},         {DA_KV_BLOB, check_blob_row},   {DA_KV_BUNDLE, check_bundle_row},
      {DA_KV_TASK, check_task_row},         {DA_KV_DUE, check_due_row},     {DA_KV_TIMER, check_timer_row},
      {DA_KV_CALLBACK, check_callback_row}, {DA_KV_AWAIT, check_await_row}, {DA_KV_WAIT, check_wait_row},
      {DA_KV_OUT, check_out_row},           {DA_KV_LIVE, check_live_row},   {DA_KV_SCHED, check_sched_row},
      {DA_KV_QUEUE, check_queue_row},       {DA_KV_IMAGE, check_image_row},
  };
  for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
    int walked = walk(v, checks[i].table, checks[i].check);
    if (walked < 0) return walked;
  }
  void *t;
  for (size_t at = 0; da_table_next(&v->queues, &at, &t);) check_tally(v, t);
  if (v->anchors != v->store->counters.anchors)
    fault(v, "meta.anchors", DA_NONE, "meta counts another number of roots without a promise");
  return v->faults;
}

int da_store_verify(da_store *store, da_store_fault *report, void *user, da_err *err)
{
  da_visit inside;
  da_status status = da_store_enter(store, &inside, err);
  if (status != DA_OK) return status;
  verify v = {.store = store, .report = report, .user = user};
  int faults = verify_all(&v);
  da_arena_free(&v.arena);
  da_arena_free(&v.tallies);
  da_table_free(&v.queues);
  da_store_leave(store, &inside);
  return faults < 0 ? (int)da_store_words_to(store, faults, err) : faults;
}
