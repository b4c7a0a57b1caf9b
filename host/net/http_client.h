/* http_client.h - HTTP/1.1 requests on a loop: for pushes, and for the command line as a client.
 *
 * Here:     resolving names, connections kept alive and shared, TLS with the system's certificates (or those that
 *           SSL_CERT_FILE and SSL_CERT_DIR name), one deadline each, bounds on the answer. Redirections are answers
 *           like any other: a 300 of the protocol is one.
 * Threads:  the loop thread. done() is never called from inside da_http_client_send().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_CLIENT_H
#define DA_NET_HTTP_CLIENT_H

#include "http_server.h"

typedef struct da_http_client da_http_client;

typedef struct da_http_client_options {
  struct uv_loop_s *loop;
  size_t connections_max; /* at work at a time; more calls wait, hosts taking turns. 0, here as below: the default */
  size_t origin_max;      /* of them to one host and port; the default: all */
  size_t answer_max;      /* bytes of a body */
  int64_t connect_ms;     /* to resolve a name, connect and shake hands */
  int64_t request_ms;     /* all of it, from when the call leaves the queue to the last byte of the answer */
  const char *unix_path;  /* every call goes to this socket, whatever its host. NULL: none. Borrowed. An option and no
                             URL, since URLs come from strangers, and the sockets of this machine are not for these */
} da_http_client_options;

typedef struct da_http_reply {
  int status;
  const da_http_field *fields;
  size_t field_count;
  da_slice body;
} da_http_reply; /* borrowed until done() returns */

da_http_client *da_http_client_new(const da_http_client_options *options);
/* method "POST", url "http://host:port/path" or https. Everything is copied. done: reply NULL and err, or the answer,
 * whatever its status. A call that went out on a kept connection which ended before a byte of the answer came is sent
 * once more on a new one. Nothing is sent after da_http_client_delete(). */
void da_http_client_send(da_http_client *client, const char *method, da_slice url, const da_http_field *fields,
                         size_t field_count, da_slice body,
                         void (*done)(void *user, const da_http_reply *reply, const da_err *err), void *user);
/* Fails what is under way (done() is told), closes everything; closed() is told when no handle is left. */
void da_http_client_delete(da_http_client *client, void (*closed)(void *user), void *user);

#endif
