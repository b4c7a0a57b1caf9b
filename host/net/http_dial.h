/* http_dial.h - from a URL to a connection that takes and gives bytes, plain or through TLS: for http_lane.c and
 * http_stream.c.
 *
 * Life:     open --> resolving --> connecting, one address after the other --> (TLS handshake) --> ready() -->
 * data()...
 *           --> gone(), once, from wherever it got to. Then it is closed by its owner, who may do so at any time.
 * May not:  know HTTP.
 * Threads:  the loop thread. Nothing is told from inside a call of this file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_DIAL_H
#define DA_NET_HTTP_DIAL_H

#include "../base/bytes.h"
#include "http_url.h"

struct uv_loop_s;
typedef struct da_http_dial da_http_dial;

typedef struct da_http_dial_options {
  struct uv_loop_s *loop;
  const da_http_url *url; /* borrowed as long as the dial lives */
  const char *unix_path;  /* NULL: none; borrowed */
  int64_t connect_ms;     /* all of it until ready() */
  void (*ready)(void *user);
  void (*data)(void *user, da_slice bytes);
  /* err names the server and says why; ended: the peer closed in order. */
  void (*gone)(void *user, bool ended, const da_err *err);
  void *user;
} da_http_dial_options;

da_http_dial *da_http_dial_new(const da_http_dial_options *options);
/* Takes the bytes over. Once it is ready. */
void da_http_dial_write(da_http_dial *dial, da_buf *bytes);
void da_http_dial_pause(da_http_dial *dial, bool paused); /* reads no more for now */
/* Nothing is told any more but closed(), which may be NULL: no handle of it is left. */
void da_http_dial_close(da_http_dial *dial, void (*closed)(void *user), void *user);

#endif
