/* control.h - the socket in the data directory through which other processes speak to the one that holds the store.
 *
 * Frames: one request is one line of bytes ending in LF; an answer is any number of lines, then a line holding a single
 * '.', or the end of the stream. What the lines say is the business of the handler (cli/). The socket lies at
 * <dir>/sock, mode 0600, bound and connected through /proc/self/fd/<dirfd>/sock because sun_path ends at 108 bytes.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SCHED_CONTROL_H
#define DA_SCHED_CONTROL_H

#include "sched.h"

typedef struct da_control da_control;
typedef struct da_control_conn da_control_conn;

/* Called per request line. The handler may answer now or later with da_control_write() any number of times and must end
 * with da_control_end(). If the peer goes away first, gone() of the handler is called once and conn must not be used.
 */
typedef struct da_control_handler {
  void (*request)(void *user, da_control_conn *conn, da_slice line);
  void (*gone)(void *user, da_control_conn *conn);
  void *user;
} da_control_handler;

da_status DA_MUST_USE da_control_listen(da_sched *sched, const char *dir, const da_control_handler *handler,
                                        da_control **out, da_err *err);
void da_control_close(da_control *control);
void da_control_write(da_control_conn *conn, da_slice line); /* a LF is added */
void da_control_end(da_control_conn *conn);

/* The client's side, blocking, for the command line: connects, sends one line, calls `line` for each answer line until
 * the end. Returns DA_ENOTFOUND if nobody listens, DA_ECLOSED if the stream ended without the closing '.'. `line`
 * returns false to stop early. */
da_status DA_MUST_USE da_control_call(const char *dir, da_slice request, bool (*line)(void *user, da_slice line),
                                      void *user, da_err *err);

#endif
