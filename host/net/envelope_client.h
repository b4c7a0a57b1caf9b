/* envelope_client.h - the protocol's JSON seen from a client: a request of the engine to text, an answer to its reply.
 * Pure. The other side is envelope.h.
 *
 * Values:   DA_JSON data is written as its base64, other data as it is; data read that is the base64 of JSON on one
 *           line is kept decoded, by the same rule as there.
 * Memory:   what is read lies in the given arena, or points into the text, which must live as long.
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_ENVELOPE_CLIENT_H
#define DA_NET_ENVELOPE_CLIENT_H

#include "envelope.h"

typedef struct da_client_head {
  da_slice corr_id;
  da_slice auth;   /* empty: none */
  da_slice origin; /* "resonate:origin": a hint for servers that divide their work by it; empty: none */
  /* "dahost:preload": "none" or "whole", which another dahost heeds and others pass over; empty: none */
  da_slice preload;
} da_client_head;

/* Appends the envelope. Kinds of the protocol only: what is "in process only" has none. An action within (fence,
 * fulfill, suspend, task.create) carries a head of the same corrId, as published clients send one. */
void da_envelope_write_request(da_buf *out, const da_request *request, const da_client_head *head);

/* An answer to a request of that kind. False: it is none of the protocol; err says what is wrong with it. `whole`: the
 * head says that the preload is all there is. Records: their `call` is empty, their settle_seq 0. */
typedef struct da_client_answer {
  da_slice corr_id;
  da_reply reply;
  bool whole;
} da_client_answer;
bool da_envelope_read_answer(da_slice text, da_req_kind kind, da_arena *arena, da_client_answer *out, da_err *err);

/* A message as it comes on an event stream. promise: of an unblock. */
bool da_envelope_read_message(da_slice text, da_arena *arena, da_message *message, da_promise *promise, da_err *err);

#endif
