/* control.c - the socket in the data directory, both ends.
 *
 * A connection asks one thing at a time: its next line is handed on when the answer to the last one has ended. Answer
 * lines that begin with '.' are sent with one more (as in RFC 5321, 4.5.2), so that no text can look like the end.
 * Bounds: DA_CONTROL_LINE_MAX per request, DA_CONTROL_QUEUE_MAX unread answer bytes, DA_CONTROL_CONNS_MAX peers; who
 * passes one is dropped. End of stream from the peer means that it is gone, also while it is being answered: a watcher
 * that was closed must not be served for ever.
 * May not:  know what a line says.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "../base/limits.h"
#include "../base/log.h"

static const char socket_name[] = "sock";
enum { BACKLOG = 64, READ_STEP = 64 * 1024 };

/* ---- addresses ----------------------------------------------------------------------------------------- */

/* sun_path ends at 108 bytes (unix(7)), a path at 4096: the way leads through the descriptor of the directory. */
static void address_of(int dirfd, struct sockaddr_un *address)
{
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  (void)snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", dirfd, socket_name);
}

static int open_dir(const char *dir)
{
  return open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* ---- the server's side --------------------------------------------------------------------------------- */

struct da_control {
  uv_pipe_t listener;
  da_control_handler handler;
  int dirfd;
  bool listening; /* the listener's handle is open */
  bool closed;    /* by its owner: no callback any more */
  size_t count;
  da_control_conn *conns; /* a list, for da_control_close() */
};

/* OPEN --end of stream while idle--> ENDING (answers on their way) --sent--> CLOSING --handle closed--> freed
 *   +--end of stream while answering, fault, bound passed, da_control_close()--> CLOSING
 * `answering` goes on and off within OPEN; a conn that closes while it is on tells gone(). */
typedef enum conn_state { CONN_OPEN, CONN_ENDING, CONN_CLOSING } conn_state;

struct da_control_conn {
  uv_pipe_t pipe;
  uv_shutdown_t shutdown;
  da_control *control;
  conn_state state;
  bool answering; /* the handler holds it */
  bool feeding;   /* feed() is on the stack */
  da_buf in;
  size_t seen; /* bytes of `in` known to hold no LF */
  da_control_conn *next;
  da_control_conn **slot; /* what points to it */
};

typedef struct write_job {
  uv_write_t uv;
  size_t len;
  char bytes[];
} write_job;

static void drop_control(da_control *control)
{
  if (control->listening || control->count > 0) return;
  free(control);
}

static void on_conn_closed(uv_handle_t *handle)
{
  da_control_conn *conn = handle->data;
  da_control *control = conn->control;
  if (conn->answering && !control->closed) control->handler.gone(control->handler.user, conn);
  *conn->slot = conn->next;
  if (conn->next != NULL) conn->next->slot = conn->slot;
  control->count--;
  da_buf_free(&conn->in);
  free(conn);
  drop_control(control);
}

/* gone() comes with the close callback, never from inside a call of the handler. */
static void close_conn(da_control_conn *conn)
{
  if (conn->state == CONN_CLOSING) return;
  conn->state = CONN_CLOSING;
  uv_close((uv_handle_t *)&conn->pipe, on_conn_closed);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
  (void)status;
  close_conn(shutdown->data);
}

static void feed(da_control_conn *conn);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
  (void)suggested;
  da_control_conn *conn = handle->data;
  da_buf_reserve(&conn->in, READ_STEP);
  *buf = uv_buf_init(conn->in.ptr + conn->in.len, READ_STEP);
}

/* What is still on its way to a peer that closed its end only for writing gets there first. */
static void end_of_stream(da_control_conn *conn)
{
  if (conn->state != CONN_OPEN) return;
  (void)uv_read_stop((uv_stream_t *)&conn->pipe);
  conn->shutdown.data = conn;
  if (conn->answering || uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->pipe, on_shutdown) != 0)
    close_conn(conn);
  else
    conn->state = CONN_ENDING;
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
  (void)buf;
  da_control_conn *conn = stream->data;
  if (len < 0) {
    end_of_stream(conn);
    return;
  }
  conn->in.len += (size_t)len;
  feed(conn);
}

/* Hands on the lines that are there, one after the other; a handler may end its answer at once. */
static void feed(da_control_conn *conn)
{
  da_control *control = conn->control;
  if (conn->feeding) return;
  conn->feeding = true;
  while (conn->state == CONN_OPEN && !conn->answering && conn->seen < conn->in.len) {
    ptrdiff_t at = da_slice_find(da_slice_make(conn->in.ptr + conn->seen, conn->in.len - conn->seen), '\n');
    if (at < 0) {
      conn->seen = conn->in.len;
      break;
    }
    size_t len = conn->seen + (size_t)at;
    conn->answering = true;
    control->handler.request(control->handler.user, conn, da_slice_make(conn->in.ptr, len));
    conn->in.len -= len + 1;
    memmove(conn->in.ptr, conn->in.ptr + len + 1, conn->in.len);
    conn->seen = 0;
  }
  conn->feeding = false;
  if (conn->state == CONN_OPEN && conn->in.len > DA_CONTROL_LINE_MAX) {
    da_log(DA_LOG_WARN, "control.dropped", "why=\"request line too long\" max=%d", (int)DA_CONTROL_LINE_MAX);
    close_conn(conn);
  }
}

static void on_connection(uv_stream_t *listener, int status)
{
  da_control *control = listener->data;
  if (status < 0) {
    da_log(DA_LOG_WARN, "control.accept", "error=%s", uv_err_name(status));
    return;
  }
  da_control_conn *conn = da_xcalloc(1, sizeof *conn);
  (void)uv_pipe_init(listener->loop, &conn->pipe, 0); /* cannot fail: it only fills the struct */
  conn->pipe.data = conn;
  conn->control = control;
  conn->next = control->conns;
  conn->slot = &control->conns;
  if (conn->next != NULL) conn->next->slot = &conn->next;
  control->conns = conn;
  control->count++;
  bool full = control->count > DA_CONTROL_CONNS_MAX; /* accepted all the same: else it would be offered for ever */
  if (full) da_log(DA_LOG_WARN, "control.dropped", "why=\"too many connections\" max=%d", (int)DA_CONTROL_CONNS_MAX);
  if (uv_accept(listener, (uv_stream_t *)&conn->pipe) != 0 || full ||
      uv_read_start((uv_stream_t *)&conn->pipe, on_alloc, on_read) != 0)
    close_conn(conn);
}

/* A socket bound and listening, or -1 with errno. The mode is set before the name appears, so nobody else ever sees a
 * wider one. A name that is there is left from a dead process: the caller holds the lock of the store. */
static int bind_socket(int dirfd)
{
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct sockaddr_un address;
  address_of(dirfd, &address);
  if (unlinkat(dirfd, socket_name, 0) != 0 && errno != ENOENT) goto fail;
  if (fchmod(fd, 0600) != 0) goto fail;
  if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) goto fail;
  return fd;
fail:;
  int why = errno;
  (void)close(fd);
  errno = why;
  return -1;
}

static void on_listener_closed(uv_handle_t *handle)
{
  da_control *control = handle->data;
  control->listening = false;
  drop_control(control);
}

da_status da_control_listen(da_sched *sched, const char *dir, const da_control_handler *handler, da_control **out,
                            da_err *err)
{
  *out = NULL;
  int dirfd = open_dir(dir);
  if (dirfd < 0) return da_fail(err, DA_EIO, "cannot open the data directory %s: %s", dir, strerror(errno));
  int fd = bind_socket(dirfd);
  if (fd < 0) {
    da_status status =
        da_fail(err, DA_EIO, "cannot make the control socket %s/%s: %s", dir, socket_name, strerror(errno));
    (void)close(dirfd);
    return status;
  }
  da_control *control = da_xcalloc(1, sizeof *control);
  control->handler = *handler;
  control->dirfd = dirfd;
  control->listening = true;
  (void)uv_pipe_init(da_sched_loop(sched), &control->listener, 0);
  control->listener.data = control;
  int fault = uv_pipe_open(&control->listener, fd);
  if (fault != 0) (void)close(fd);
  if (fault == 0) fault = uv_listen((uv_stream_t *)&control->listener, BACKLOG, on_connection);
  if (fault != 0) {
    da_control_close(control);
    return da_fail(err, DA_EIO, "cannot listen on the control socket %s/%s: %s", dir, socket_name, uv_strerror(fault));
  }
  *out = control;
  return DA_OK;
}

void da_control_close(da_control *control)
{
  if (control == NULL) return;
  for (da_control_conn *conn = control->conns; conn != NULL; conn = conn->next) {
    if (conn->answering) control->handler.gone(control->handler.user, conn);
    close_conn(conn);
  }
  control->closed = true;
  (void)unlinkat(control->dirfd, socket_name, 0);
  (void)close(control->dirfd);
  uv_close((uv_handle_t *)&control->listener, on_listener_closed);
}

static void on_written(uv_write_t *uv, int status)
{
  da_control_conn *conn = uv->data;
  free(uv); /* the first member of its job */
  if (status < 0 && status != UV_ECANCELED) close_conn(conn);
}

static void send_job(da_control_conn *conn, write_job *job)
{
  uv_buf_t buf = uv_buf_init(job->bytes, (unsigned)job->len);
  job->uv.data = conn;
  int fault = uv_write(&job->uv, (uv_stream_t *)&conn->pipe, &buf, 1, on_written);
  if (fault != 0) {
    free(job);
    close_conn(conn);
  } else if (uv_stream_get_write_queue_size((uv_stream_t *)&conn->pipe) > DA_CONTROL_QUEUE_MAX) {
    da_log(DA_LOG_WARN, "control.dropped", "why=\"the reader is too slow\" max=%d", (int)DA_CONTROL_QUEUE_MAX);
    close_conn(conn);
  }
}

void da_control_write(da_control_conn *conn, da_slice line)
{
  DA_ASSERT(conn->answering);
  if (conn->state != CONN_OPEN) return;
  bool dot = line.len > 0 && line.ptr[0] == '.';
  write_job *job = da_xmalloc(sizeof *job + line.len + 2);
  job->bytes[0] = '.';
  if (line.len > 0) memcpy(job->bytes + dot, line.ptr, line.len);
  job->bytes[line.len + dot] = '\n';
  job->len = line.len + dot + 1;
  send_job(conn, job);
}

void da_control_end(da_control_conn *conn)
{
  DA_ASSERT(conn->answering);
  conn->answering = false;
  if (conn->state != CONN_OPEN) return;
  write_job *job = da_xmalloc(sizeof *job + 2);
  memcpy(job->bytes, ".\n", 2);
  job->len = 2;
  send_job(conn, job);
  feed(conn);
}

/* ---- the client's side --------------------------------------------------------------------------------- */

static da_status connect_to(const char *dir, int *out, da_err *err)
{
  int dirfd = open_dir(dir);
  if (dirfd < 0)
    return da_fail(err, errno == EACCES ? DA_EACCES : DA_ENOTFOUND, "cannot open the data directory %s: %s", dir,
                   strerror(errno));
  struct sockaddr_un address;
  address_of(dirfd, &address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int why = 0;
  if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) why = errno;
  (void)close(dirfd);
  if (why == 0) {
    *out = fd;
    return DA_OK;
  }
  if (fd >= 0) (void)close(fd);
  if (why == ENOENT || why == ECONNREFUSED) return da_fail(err, DA_ENOTFOUND, "no process serves %s", dir);
  return da_fail(err, why == EACCES ? DA_EACCES : DA_EIO, "cannot reach the process that serves %s: %s", dir,
                 strerror(why));
}

static bool send_bytes(int fd, da_slice bytes)
{
  while (bytes.len > 0) {
    ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes = da_slice_make(bytes.ptr + sent, bytes.len - (size_t)sent);
  }
  return true;
}

/* Tells the whole lines of `in` and keeps the rest. True: the answer is over, or nobody wants more of it. */
static bool tell_lines(da_buf *in, size_t *seen, bool (*line)(void *user, da_slice line), void *user)
{
  size_t begin = 0;
  bool over = false;
  while (!over) {
    ptrdiff_t at = da_slice_find(da_slice_make(in->ptr + *seen, in->len - *seen), '\n');
    if (at < 0) break;
    da_slice text = da_slice_make(in->ptr + begin, *seen + (size_t)at - begin);
    begin = *seen = *seen + (size_t)at + 1;
    over = da_slice_eq(text, DA_LIT("."));
    if (!over && text.len > 0 && text.ptr[0] == '.') text = da_slice_make(text.ptr + 1, text.len - 1);
    if (!over) over = !line(user, text);
  }
  in->len -= begin;
  if (in->len > 0 && begin > 0) memmove(in->ptr, in->ptr + begin, in->len);
  *seen = in->len;
  return over;
}

/* How long a read waits; 0: for ever. */
static void wait_at_most(int fd, int ms)
{
  struct timeval time = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

da_status da_control_call(const char *dir, da_slice request, bool (*line)(void *user, da_slice line), void *user,
                          da_err *err)
{
  if (da_slice_find(request, '\n') >= 0) return da_fail(err, DA_EINVAL, "a request is one line");
  if (request.len > DA_CONTROL_LINE_MAX)
    return da_fail(err, DA_ETOOBIG, "a request of %zu bytes; at most %d", request.len, (int)DA_CONTROL_LINE_MAX);
  int fd = -1;
  da_status status = connect_to(dir, &fd, err);
  if (status != DA_OK) return status;
  da_buf in = {0};
  size_t seen = 0;
  bool over = false;
  bool up = send_bytes(fd, request) && send_bytes(fd, DA_LIT("\n"));
  wait_at_most(fd, DA_CONTROL_SILENCE_MS);
  while (up && !over) {
    da_buf_reserve(&in, READ_STEP);
    ssize_t got = recv(fd, in.ptr + in.len, READ_STEP, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      wait_at_most(fd, 0);
      over = !line(user, DA_NONE);
      continue;
    }
    up = got > 0;
    if (!up) break;
    in.len += (size_t)got;
    over = tell_lines(&in, &seen, line, user);
  }
  if (!over) status = da_fail(err, DA_ECLOSED, "the process that serves %s went away before its answer ended", dir);
  da_buf_free(&in);
  (void)close(fd);
  return status;
}
