/* envelope.h - the protocol's JSON: text to a request of the engine, its reply to text. Pure.
 *
 * Reading goes in the order in which faults are told (the protocol, "envelope check order"): da_envelope_read() takes
 * the head (shape, empty kind, data no object, version); then whoever asks checks the token; then
 * da_envelope_read_request() takes kind and data. Integers are exact over all of int64; strings may hold any text, NUL
 * too; unknown members are passed over; of a known one told twice is a fault.
 * Values:   `data` that is the base64 of JSON on one line, or of nothing, is kept decoded (DA_JSON), so that the worker
 *           of this process reads it as its own; it is written back byte for byte the same, since strict base64 has one
 *           spelling. Anything else is kept as it came.
 * Memory:   everything read lies in the given arena, or points into the text, which must live as long.
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_ENVELOPE_H
#define DA_NET_ENVELOPE_H

#include "../base/bytes.h"
#include "../engine/record.h"

#define DA_PROTOCOL_VERSION "2026-04-01"

/* What is asked that is not the engine's to answer. */
typedef enum da_debug_kind {
  DA_DEBUG_NONE,
  DA_DEBUG_START,
  DA_DEBUG_STOP,
  DA_DEBUG_RESET,
  DA_DEBUG_TICK,
  DA_DEBUG_SNAP
} da_debug_kind;

typedef struct da_envelope {
  da_slice kind;    /* "unknown" if it could not be read */
  da_slice corr_id; /* "0" if it could not be read */
  bool has_auth;
  da_slice auth;
  bool has_debug_time;
  int64_t debug_time;
  bool no_preload;    /* "dahost:preload": "none" */
  bool whole_preload; /* "whole": heeded where a task is given */
  da_slice data;      /* the text of the member, an object */
  /* Of da_envelope_read_request(): */
  da_debug_kind debug;
  int64_t tick_time;
  da_request request; /* unless debug is set */
  /* Ids that a token's prefix must cover, by kind; count 0: the check passes. `searches`: no prefix covers it. */
  const da_slice *scope;
  size_t scope_count;
  bool searches;
  /* When one of the two returns false: */
  int status;
  da_slice message;
} da_envelope;

/* False: `status` and `message` are to be answered, with kind and corr_id as far as they could be saved. */
bool da_envelope_read(da_slice text, da_arena *arena, da_envelope *out);
/* The ids of `scope` and `searches`, read from data without judging it: authorization comes before validation. */
void da_envelope_read_scope(da_envelope *envelope, da_arena *arena);
bool da_envelope_read_request(da_envelope *envelope, da_arena *arena);

/* Appends the whole answer. */
void da_envelope_write(da_buf *out, const da_envelope *envelope, const da_reply *reply);
/* The same with data that is JSON already (debug.*), and of a refusal: data is the message as a JSON string. */
void da_envelope_write_data(da_buf *out, const da_envelope *envelope, int status, da_slice json);
void da_envelope_write_error(da_buf *out, const da_envelope *envelope, int status, da_slice message);
void da_envelope_write_promise(da_buf *out, const da_promise *promise);
void da_envelope_write_task(da_buf *out, const da_task *task);
void da_envelope_write_schedule(da_buf *out, const da_schedule *schedule);
/* One line of JSON, as a message to a worker. promise: of an unblock. server_url may be empty. */
void da_envelope_write_message(da_buf *out, const da_message *message, const da_promise *promise, da_slice server_url);

#endif
