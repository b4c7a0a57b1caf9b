/* http_listen.c - sockets that listen: addresses, accepting, and what happens when there is no room.
 *
 * Accepting is done here and not by libuv, which turns connections away without a word when descriptors have run out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../base/log.h"
#include "http_conn.h"

enum {
  BACKLOG = 1024,
  ACCEPTS = 64,       /* in one turn of the loop */
  FULL_MAX = 64,      /* connections over connections_max that are told so; more are closed without a word */
  ADDRESSES_MAX = 8,  /* that one name stands for */
  COMPLAIN_MS = 1000, /* between two lines of the log about a lack of room */
};

typedef union any_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  struct sockaddr_un un;
  struct sockaddr_storage storage;
} any_address;

/* "127.0.0.1:80", "[::1]:80", "unix:/path" */
static void add_address(da_buf *out, const any_address *address, socklen_t len)
{
  char text[INET6_ADDRSTRLEN];
  if (address->any.sa_family == AF_INET && inet_ntop(AF_INET, &address->v4.sin_addr, text, sizeof text) != NULL)
    da_buf_addf(out, "%s:%d", text, ntohs(address->v4.sin_port));
  else if (address->any.sa_family == AF_INET6 && inet_ntop(AF_INET6, &address->v6.sin6_addr, text, sizeof text) != NULL)
    da_buf_addf(out, "[%s]:%d", text, ntohs(address->v6.sin6_port));
  else
    da_buf_addf(out, "unix:%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path)), address->un.sun_path);
}

/* ---- accepting ----------------------------------------------------------------------------------------- */

static void complain(da_http_server *server, const char *why)
{
  uint64_t now = uv_now(server->options.loop);
  server->turned_away++;
  server->stats.refused++;
  if (server->complained_at != 0 && now - server->complained_at < COMPLAIN_MS) return;
  da_log(DA_LOG_ERROR, "http.full", "why=\"%s\" connections=%zu turned_away=%zu", why, server->stats.connections,
         server->turned_away);
  server->complained_at = now != 0 ? now : 1;
  server->turned_away = 0;
}

/* The connection stays in the queue, so the socket would be readable for ever: it is looked at again after a sweep. */
static void pause_listener(http_listener *listener)
{
  listener->paused = true;
  (void)uv_poll_stop(&listener->poll);
  http_server_watch(listener->server);
}

/* No descriptor is left: the one in reserve accepts a connection, to close it. */
static void turn_away(http_listener *listener)
{
  static const char words[] = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
                              "content-length: 21\r\nconnection: close\r\n\r\ntoo many connections\n";
  da_http_server *server = listener->server;
  complain(server, "no descriptor is left (ulimit -n)");
  if (server->reserve_fd < 0) {
    pause_listener(listener);
    return;
  }
  (void)close(server->reserve_fd);
  int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    if (server->options.tls == NULL) (void)send(fd, words, sizeof words - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
  }
  server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || server->reserve_fd < 0) pause_listener(listener);
}

static void take_socket(http_listener *listener, int fd, const any_address *address, socklen_t len)
{
  da_http_server *server = listener->server;
  bool full = server->open >= server->options.connections_max;
  if (full) complain(server, "connections_max is reached");
  if (full && server->stats.connections >= server->options.connections_max + FULL_MAX) {
    (void)close(fd);
    return;
  }
  da_buf peer = {0};
  if (listener->is_unix)
    da_buf_add_slice(&peer, DA_LIT("unix"));
  else
    add_address(&peer, address, len);
  da_buf_add_byte(&peer, '\0');
  http_conn_new(server, fd, listener->is_unix, peer.ptr, full);
  da_buf_free(&peer);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
  (void)status;
  (void)events;
  http_listener *listener = poll->data;
  for (int i = 0; i < ACCEPTS && !listener->paused; i++) {
    any_address address;
    socklen_t len = sizeof address;
    int fd = accept4(listener->fd, &address.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      take_socket(listener, fd, &address, len);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno == EMFILE || errno == ENFILE) {
      turn_away(listener);
    } else if (errno == ENOBUFS || errno == ENOMEM) {
      complain(listener->server, strerror(errno));
      pause_listener(listener);
    } /* else: that one peer has gone already (accept(2), Error handling) */
  }
}

void http_listeners_resume(da_http_server *server)
{
  for (http_listener *each = server->listeners; each != NULL; each = each->next) {
    if (!each->paused) continue;
    each->paused = false;
    (void)uv_poll_start(&each->poll, UV_READABLE, on_poll);
  }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static da_status add_listener(da_http_server *server, int fd, da_buf *bound, const char *unlink_path, da_err *err)
{
  any_address address = {0};
  socklen_t len = sizeof address;
  if (getsockname(fd, &address.any, &len) != 0) return da_fail(err, DA_EIO, "descriptor %d: %s", fd, strerror(errno));
  http_listener *listener = da_xcalloc(1, sizeof *listener);
  int fault = uv_poll_init(server->options.loop, &listener->poll, fd);
  if (fault != 0) {
    free(listener);
    return da_fail(err, DA_EIO, "cannot listen on descriptor %d: %s", fd, uv_strerror(fault));
  }
  listener->poll.data = listener;
  listener->server = server;
  listener->fd = fd;
  listener->is_unix = address.any.sa_family == AF_UNIX;
  listener->unlink_path = unlink_path != NULL ? da_xstrndup(da_slice_of(unlink_path)) : NULL;
  listener->next = server->listeners;
  server->listeners = listener;
  server->handles++;
  (void)uv_poll_start(&listener->poll, UV_READABLE, on_poll);
  if (bound != NULL) {
    da_buf_clear(bound);
    add_address(bound, &address, len);
  }
  return DA_OK;
}

static void on_closed(uv_handle_t *handle)
{
  http_listener *listener = handle->data;
  da_http_server *server = listener->server;
  (void)close(listener->fd);
  free(listener->unlink_path);
  free(listener);
  http_server_handle_closed(server);
}

void http_listeners_close(da_http_server *server)
{
  while (server->listeners != NULL) {
    http_listener *listener = server->listeners;
    server->listeners = listener->next;
    (void)uv_poll_stop(&listener->poll);
    if (listener->unlink_path != NULL) (void)unlink(listener->unlink_path);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
  }
}

/* ---- addresses ----------------------------------------------------------------------------------------- */

/* A socket that is bound and listens, or -1 with errno. */
static int open_listener(const struct sockaddr *address, socklen_t len)
{
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int on = 1;
  if (address->sa_family != AF_UNIX) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  /* "[::]:80" beside "0.0.0.0:80" must be possible. */
  if (address->sa_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, address, len) == 0 && listen(fd, BACKLOG) == 0) return fd;
  int why = errno;
  (void)close(fd);
  errno = why;
  return -1;
}

static da_status cannot_listen(const char *address, da_err *err)
{
  if (errno == EADDRINUSE) return da_fail(err, DA_EBUSY, "cannot listen on %s: another process does", address);
  if (errno == EACCES) return da_fail(err, DA_EACCES, "cannot listen on %s: permission denied", address);
  return da_fail(err, DA_EIO, "cannot listen on %s: %s", address, strerror(errno));
}

/* A socket whose process has died is left as a file; nobody answers there. */
static bool is_left_behind(const struct sockaddr_un *address)
{
  struct stat st;
  if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool dead = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
  (void)close(fd);
  return dead;
}

static da_status listen_unix(da_http_server *server, const char *address, da_buf *bound, da_err *err)
{
  const char *path = address + strlen("unix:");
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  size_t len = strlen(path);
  if (len == 0 || len >= sizeof un.sun_path)
    return da_fail(err, DA_EINVAL, "%s: the path of a socket has 1 to %zu bytes", address, sizeof un.sun_path - 1);
  memcpy(un.sun_path, path, len);
  if (is_left_behind(&un)) (void)unlink(path);
  int fd = open_listener((const struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1));
  if (fd < 0 && errno == EADDRINUSE)
    return da_fail(err, DA_EBUSY, "cannot listen on %s: something is there already", address);
  if (fd < 0) return cannot_listen(address, err);
  da_status status = add_listener(server, fd, bound, path, err);
  if (status != DA_OK) (void)close(fd);
  if (status == DA_OK && bound != NULL) {
    da_buf_clear(bound);
    da_buf_add_slice(bound, da_slice_of(address));
  }
  return status;
}

/* The two parts of "host:port" and "[v6]:port"; no host means every address. */
static da_status split_address(const char *address, char **host, char **port, da_err *err)
{
  const char *colon = strrchr(address, ':');
  bool bracketed = address[0] == '[';
  const char *host_end = colon;
  if (colon != NULL && bracketed && (colon == address || colon[-1] != ']')) colon = NULL;
  if (colon != NULL && !bracketed && strchr(address, ':') != colon)
    return da_fail(err, DA_EINVAL, "%s: an IPv6 address stands in brackets: [::1]:8001", address);
  size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
  if (colon == NULL || digits == 0 || colon[1 + digits] != '\0' || digits > 5 || strtol(colon + 1, NULL, 10) > 65535)
    return da_fail(err, DA_EINVAL, "%s is no address to listen on; use HOST:PORT, [V6]:PORT, :PORT or unix:/PATH",
                   address);
  if (bracketed) host_end--;
  const char *begin = address + bracketed;
  *host = da_xstrndup(da_slice_make(begin, (size_t)(host_end - begin)));
  *port = da_xstrndup(da_slice_of(colon + 1));
  return DA_OK;
}

static void set_port(any_address *address, in_port_t port)
{
  if (address->any.sa_family == AF_INET) address->v4.sin_port = port;
  if (address->any.sa_family == AF_INET6) address->v6.sin6_port = port;
}

static da_status listen_found(da_http_server *server, const char *address, const struct addrinfo *found, da_buf *bound,
                              da_err *err)
{
  in_port_t port = 0; /* that the system chose for the first, so that all addresses of a name have one */
  size_t listening = 0;
  for (const struct addrinfo *each = found; each != NULL && listening < ADDRESSES_MAX; each = each->ai_next) {
    any_address to = {0};
    if (each->ai_addrlen > sizeof to) continue;
    memcpy(&to, each->ai_addr, each->ai_addrlen);
    if (port != 0) set_port(&to, port);
    int fd = open_listener(&to.any, each->ai_addrlen);
    /* A name may stand for an address of IPv6 on a machine that has none. */
    if (fd < 0 && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT) && (listening > 0 || each->ai_next != NULL))
      continue;
    if (fd < 0) return cannot_listen(address, err);
    da_status status = add_listener(server, fd, listening == 0 ? bound : NULL, NULL, err);
    if (status != DA_OK) {
      (void)close(fd);
      return status;
    }
    socklen_t len = sizeof to;
    if (listening++ == 0 && getsockname(fd, &to.any, &len) == 0)
      port = to.any.sa_family == AF_INET ? to.v4.sin_port : to.v6.sin6_port;
  }
  return listening > 0 ? DA_OK : da_fail(err, DA_EIO, "cannot listen on %s: no address of it is here", address);
}

da_status da_http_server_listen(da_http_server *server, const char *address, da_buf *bound, da_err *err)
{
  if (strncmp(address, "unix:", 5) == 0) return listen_unix(server, address, bound, err);
  char *host = NULL;
  char *port = NULL;
  da_status status = split_address(address, &host, &port, err);
  if (status != DA_OK) return status;
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  int fault = getaddrinfo(host != NULL && host[0] != '\0' ? host : NULL, port, &hints, &found);
  if (fault != 0)
    status = da_fail(err, DA_EINVAL, "cannot listen on %s: %s", address, gai_strerror(fault));
  else
    status = listen_found(server, address, found, bound, err);
  if (found != NULL) freeaddrinfo(found);
  free(host);
  free(port);
  return status;
}

da_status da_http_server_adopt(da_http_server *server, int fd, da_buf *bound, da_err *err)
{
  int listens = 0;
  socklen_t len = sizeof listens;
  int type = 0;
  socklen_t type_len = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 ||
      getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) != 0)
    return da_fail(err, DA_EINVAL, "the inherited descriptor %d is no socket: %s", fd, strerror(errno));
  if (listens == 0 || type != SOCK_STREAM)
    return da_fail(err, DA_EINVAL, "the inherited descriptor %d is no stream socket that listens", fd);
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return da_fail(err, DA_EIO, "the inherited descriptor %d: %s", fd, strerror(errno));
  return add_listener(server, fd, bound, NULL, err);
}
