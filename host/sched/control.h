/* control.h - the socket in the data directory through which other processes speak to the one that holds the store.
 *
 * Frames: one request is one line of bytes ending in LF; an answer is any number of lines, then a line holding a single
 * '.', or the end of the stream; an answer line that begins with '.' is sent with one '.' more. What the lines say is
 * the business of the handler (cli/). The socket lies at <dir>/sock, mode 0600, bound and connected through
 * /proc/self/fd/<dirfd>/sock because sun_path ends at 108 bytes.
 * One request of a connection at a time: the next line is handed on when the answer before it has ended.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SCHED_CONTROL_H
#define DA_SCHED_CONTROL_H

#include "sched.h"

typedef struct da_control da_control;
typedef struct da_control_conn da_control_conn;

/* Called per request line (borrowed until request() returns, without its LF). The handler may answer now or later with
 * da_control_write() any number of times and must end with da_control_end(); after that conn must not be used. If the
 * peer goes away first (the end of its stream counts as that), gone() is called once, from the loop and never from
 * inside a call of the handler, and conn must not be used any more; until then it may be, and what is written is lost.
 */
typedef struct da_control_handler {
  void (*request)(void *user, da_control_conn *conn, da_slice line);
  void (*gone)(void *user, da_control_conn *conn);
  void *user;
} da_control_handler;

/* The handler is copied. The caller holds the lock of the store in dir: a socket left there by a dead process is
 * replaced. */
da_status DA_MUST_USE da_control_listen(da_sched *sched, const char *dir, const da_control_handler *handler,
                                        da_control **out, da_err *err);
/* Calls gone() for what is being answered, before it returns; no callback comes later. Its handles are closed by the
 * loop's next turn (da_sched_delete() makes one). NULL is allowed. */
void da_control_close(da_control *control);
void da_control_write(da_control_conn *conn, da_slice line); /* a LF is added; none may be in it */
void da_control_end(da_control_conn *conn);

/* The client's side, blocking, for the command line: connects, sends one line, calls `line` for each answer line until
 * the end, and once with an empty one if nothing has come for DA_CONTROL_SILENCE_MS. Returns DA_ENOTFOUND if nobody
 * listens, DA_ECLOSED if the stream ended without the closing '.'. `line` returns false to stop early. */
enum { DA_CONTROL_SILENCE_MS = 2000 };
da_status DA_MUST_USE da_control_call(const char *dir, da_slice request, bool (*line)(void *user, da_slice line),
                                      void *user, da_err *err);

#endif
