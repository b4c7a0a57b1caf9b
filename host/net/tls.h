/* tls.h - TLS (1.2 and 1.3) between bytes and bytes: what came from the wire in, what it says and what has to be sent
 * out.
 *
 * Here:     a server's certificate and key, a client's trust in the system's certificates, one session per connection.
 *           No renegotiation, no compression; the certificate of a server is checked, and that it is for its host.
 * May not:  touch a socket. Its owner reads, sends, and keeps time and bounds.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_TLS_H
#define DA_NET_TLS_H

#include "../base/bytes.h"

typedef struct da_tls da_tls; /* of a side; sessions share it, and must end before it */
typedef struct da_tls_session da_tls_session;

/* Paths of PEM files: the certificate (with those that lead to its root behind it), and its key. */
da_status DA_MUST_USE da_tls_server_new(const char *certificate, const char *key, da_tls **out, da_err *err);
/* Reads both files of a server's side again: sessions made from then on show what is there now, those that exist go on
 * with what they have. On failure all is as it was. */
da_status DA_MUST_USE da_tls_reload(da_tls *tls, da_err *err);
/* Trusts what the system trusts (SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL has them). */
da_status DA_MUST_USE da_tls_client_new(da_tls **out, da_err *err);
void da_tls_delete(da_tls *tls); /* NULL is allowed */

/* host: the name, or the address, that the server's certificate must be for; of a server: NULL. */
da_status DA_MUST_USE da_tls_session_new(da_tls *tls, const char *host, da_tls_session **out, da_err *err);
void da_tls_session_delete(da_tls_session *session); /* NULL is allowed */
/* What came from the wire. Appends what it says to *plain and what has to be sent to *wire; both also if it fails. A
 * client calls it first with nothing, to begin. DA_ECLOSED: the peer has ended the session in order. */
da_status DA_MUST_USE da_tls_session_read(da_tls_session *session, da_slice in, da_buf *plain, da_buf *wire,
                                          da_err *err);
/* Appends to *wire what says `plain`. Before the session is ready it is kept, and comes out of a later read. */
da_status DA_MUST_USE da_tls_session_write(da_tls_session *session, da_slice plain, da_buf *wire, da_err *err);
bool da_tls_session_is_ready(const da_tls_session *session);    /* the handshake is over */
void da_tls_session_end(da_tls_session *session, da_buf *wire); /* tells the peer that nothing more will come */

#endif
