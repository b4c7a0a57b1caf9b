/* http_lane.h - an ordered way to one server: requests leave in the order in which they are given, answers come in it.
 *
 * Here:     one connection at a time, made when the first request needs it and kept alive; many requests under way on
 *           it (RFC 9112, 9.3.2), of which those given in one turn of the loop leave in one write. For who writes
 *           records that build on each other and does not want to wait for each answer.
 * Breaks:   every request that was not answered is told so, in order, with whether a byte of it may have reached the
 *           server. Nothing is sent twice: what that means only the caller knows. The next request connects anew.
 * Threads:  the loop thread. done() is never called from inside da_http_lane_send().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_LANE_H
#define DA_NET_HTTP_LANE_H

#include "http_client.h"

typedef struct da_http_lane da_http_lane;

typedef struct da_http_lane_options {
  struct uv_loop_s *loop;
  da_slice url;          /* "http://host:port" or https, and perhaps a path: every request goes to it. Copied */
  const char *unix_path; /* as of http_client.h */
  size_t in_flight_max;  /* sent and not answered; more wait. 0, here as below: the default */
  size_t answer_max;     /* bytes of a body */
  int64_t connect_ms;    /* to resolve, connect and shake hands */
  int64_t request_ms; /* from when one is written, or the one before it was answered, to the last byte of its answer */
} da_http_lane_options;

typedef struct da_http_lane_end {
  const da_http_reply *reply; /* borrowed; NULL: there is none, and err */
  bool maybe_done;            /* without a reply: the server may have it */
  const da_err *err;
} da_http_lane_end;

/* DA_EINVAL: the URL cannot be used; err says why. */
da_status DA_MUST_USE da_http_lane_new(const da_http_lane_options *options, da_http_lane **out, da_err *err);
/* A POST with these fields (Content-Type among them, if wanted; Host and Content-Length are set here). All is copied.
 */
void da_http_lane_send(da_http_lane *lane, const da_http_field *fields, size_t field_count, da_slice body,
                       void (*done)(void *user, const da_http_lane_end *end), void *user);
/* Given, and not told yet. */
size_t da_http_lane_waiting(const da_http_lane *lane);
/* Tells what was not answered, closes; closed() is told when no handle is left. */
void da_http_lane_delete(da_http_lane *lane, void (*closed)(void *user), void *user);

/* ---- an answer that does not end ----------------------------------------------------------------------- */

/* One GET whose body is told as it comes: an event stream. Ends once: by the server, by silence, by an error, or by an
 * answer other than 200, whose body (its first 8 KB) is told with the end. */
typedef struct da_http_stream da_http_stream;

typedef struct da_http_stream_options {
  struct uv_loop_s *loop;
  da_slice url; /* with the path. Copied */
  const char *unix_path;
  const da_http_field *fields; /* copied */
  size_t field_count;
  int64_t connect_ms; /* to the answer's head */
  int64_t silence_ms; /* without a byte it is taken for dead; 0: never */
  void (*opened)(void *user);
  void (*data)(void *user, da_slice bytes); /* pieces as they come */
  /* status 0: no answer came, or the stream broke; err says why. The stream is gone. */
  void (*ended)(void *user, int status, da_slice body, const da_err *err);
  void *user;
} da_http_stream_options;

da_status DA_MUST_USE da_http_stream_open(const da_http_stream_options *options, da_http_stream **out, da_err *err);
/* ended() is not called any more; closed() is, when no handle is left. */
void da_http_stream_close(da_http_stream *stream, void (*closed)(void *user), void *user);
/* Reads no more until it is told to: the server's buffer fills up. */
void da_http_stream_pause(da_http_stream *stream, bool paused);

#endif
