/* tls.c - TLS by OpenSSL, over a pair of buffers in memory.
 *
 * OpenSSL keeps its errors in a queue of the thread, and a call judges itself by what lies there: so it is emptied
 * before each.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "openssl.h"

enum { READ_STEP = 16 * 1024 }; /* one record of TLS */

struct da_tls {
  const da_openssl *o;
  SSL_CTX *ctx;      /* counted by OpenSSL: a session keeps the one it was made of */
  char *certificate; /* owned paths; of a client's side NULL */
  char *key;
};

struct da_tls_session {
  const da_openssl *o;
  SSL *ssl;
  BIO *in; /* owned by ssl, as is the other */
  BIO *out;
  da_buf early; /* written before the handshake was over */
};

/* ---- sides --------------------------------------------------------------------------------------------- */

/* NULL, and err says why. */
static da_tls *new_side(bool server, da_err *err)
{
  const da_openssl *o = da_openssl_load(err);
  if (o == NULL) return NULL;
  SSL_CTX *ctx = o->SSL_CTX_new(server ? o->TLS_server_method() : o->TLS_client_method());
  if (ctx == NULL) {
    (void)da_fail(err, DA_ENOMEM, "OpenSSL gives no context: %s", da_openssl_reason(o));
    return NULL;
  }
  (void)o->SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
  (void)o->SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE, NULL);
  /* Tickets hold what a later session needs, so nothing is kept here for those that never come back. */
  (void)o->SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
  (void)o->SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  da_tls *tls = da_xcalloc(1, sizeof *tls);
  *tls = (da_tls){.o = o, .ctx = ctx};
  return tls;
}

/* OpenSSL's words for a file that cannot be opened name neither. */
static da_status check_readable(const char *path, const char *what, da_err *err)
{
  if (access(path, R_OK) == 0) return DA_OK;
  return da_fail(err, errno == EACCES ? DA_EACCES : DA_ENOTFOUND, "cannot read the %s %s: %s", what, path,
                 strerror(errno));
}

/* Asked on a terminal otherwise, which a server has not. */
static int no_password(char *buffer, int size, int writing, void *user)
{
  (void)writing;
  if (size > 0) buffer[0] = '\0';
  *(bool *)user = true;
  return 0;
}

static da_status use_key(da_tls *tls, const char *key, da_err *err)
{
  bool asked = false;
  tls->o->SSL_CTX_set_default_passwd_cb(tls->ctx, no_password);
  tls->o->SSL_CTX_set_default_passwd_cb_userdata(tls->ctx, &asked);
  int done = tls->o->SSL_CTX_use_PrivateKey_file(tls->ctx, key, SSL_FILETYPE_PEM);
  tls->o->SSL_CTX_set_default_passwd_cb(tls->ctx, NULL);
  tls->o->SSL_CTX_set_default_passwd_cb_userdata(tls->ctx, NULL);
  if (done == 1) return DA_OK;
  const char *why = da_openssl_reason(tls->o);
  if (asked) return da_fail(err, DA_EINVAL, "the key %s is encrypted; it must be there without a password", key);
  /* With a certificate set, OpenSSL compares the two at once. */
  if (strstr(why, "mismatch") != NULL) return da_fail(err, DA_EINVAL, "the key %s is not that of the certificate", key);
  return da_fail(err, DA_EINVAL, "no key in PEM in %s: %s", key, why);
}

da_status da_tls_server_new(const char *certificate, const char *key, da_tls **out, da_err *err)
{
  *out = NULL;
  da_status status = check_readable(certificate, "certificate", err);
  if (status == DA_OK) status = check_readable(key, "key", err);
  if (status != DA_OK) return status;
  da_tls *tls = new_side(true, err);
  if (tls == NULL) return DA_EIO;
  tls->certificate = da_xstrndup(da_slice_of(certificate));
  tls->key = da_xstrndup(da_slice_of(key));
  tls->o->ERR_clear_error();
  if (tls->o->SSL_CTX_use_certificate_chain_file(tls->ctx, certificate) != 1)
    status = da_fail(err, DA_EINVAL, "no certificate in PEM in %s: %s", certificate, da_openssl_reason(tls->o));
  if (status == DA_OK) status = use_key(tls, key, err);
  if (status == DA_OK && tls->o->SSL_CTX_check_private_key(tls->ctx) != 1)
    status = da_fail(err, DA_EINVAL, "the key %s is not that of the certificate %s", key, certificate);
  if (status == DA_OK)
    *out = tls;
  else
    da_tls_delete(tls);
  return status;
}

da_status da_tls_reload(da_tls *tls, da_err *err)
{
  da_tls *now;
  da_status status = da_tls_server_new(tls->certificate, tls->key, &now, err);
  if (status != DA_OK) return status;
  SSL_CTX *before = tls->ctx;
  tls->ctx = now->ctx;
  now->ctx = before;
  da_tls_delete(now);
  return DA_OK;
}

da_status da_tls_client_new(da_tls **out, da_err *err)
{
  *out = NULL;
  da_tls *tls = new_side(false, err);
  if (tls == NULL) return DA_EIO;
  tls->o->SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
  if (tls->o->SSL_CTX_set_default_verify_paths(tls->ctx) == 1) {
    *out = tls;
    return DA_OK;
  }
  da_status status = da_fail(err, DA_EIO, "the system's certificates cannot be loaded: %s", da_openssl_reason(tls->o));
  da_tls_delete(tls);
  return status;
}

void da_tls_delete(da_tls *tls)
{
  if (tls == NULL) return;
  tls->o->SSL_CTX_free(tls->ctx);
  free(tls->certificate);
  free(tls->key);
  free(tls);
}

/* ---- sessions ------------------------------------------------------------------------------------------ */

/* The name goes into the greeting, so that a server of several can choose; an address does not (RFC 6066, 3). */
static bool set_host(const da_openssl *o, SSL *ssl, const char *host)
{
  struct in6_addr address;
  if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
    return o->X509_VERIFY_PARAM_set1_ip_asc(o->SSL_get0_param(ssl), host) == 1;
  o->SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  char *name = da_xstrndup(da_slice_of(host));
  bool set = o->SSL_set1_host(ssl, name) == 1 &&
             o->SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1;
  free(name);
  return set;
}

da_status da_tls_session_new(da_tls *tls, const char *host, da_tls_session **out, da_err *err)
{
  *out = NULL;
  const da_openssl *o = tls->o;
  o->ERR_clear_error();
  SSL *ssl = o->SSL_new(tls->ctx);
  BIO *in = o->BIO_new(o->BIO_s_mem());
  BIO *to = o->BIO_new(o->BIO_s_mem());
  if (ssl == NULL || in == NULL || to == NULL || (host != NULL && !set_host(o, ssl, host))) {
    da_status status = da_fail(err, DA_EINVAL, "no TLS session%s%s: %s", host != NULL ? " for " : "",
                               host != NULL ? host : "", da_openssl_reason(o));
    (void)o->BIO_free(in);
    (void)o->BIO_free(to);
    o->SSL_free(ssl);
    return status;
  }
  o->SSL_set_bio(ssl, in, to);
  if (host != NULL)
    o->SSL_set_connect_state(ssl);
  else
    o->SSL_set_accept_state(ssl);
  *out = da_xcalloc(1, sizeof **out);
  **out = (da_tls_session){.o = o, .ssl = ssl, .in = in, .out = to};
  return DA_OK;
}

void da_tls_session_delete(da_tls_session *session)
{
  if (session == NULL) return;
  session->o->SSL_free(session->ssl);
  da_buf_free(&session->early);
  free(session);
}

static void collect(da_tls_session *s, da_buf *wire)
{
  long waiting = s->o->BIO_ctrl(s->out, BIO_CTRL_PENDING, 0, NULL);
  if (waiting <= 0) return;
  da_buf_reserve(wire, (size_t)waiting);
  int got = s->o->BIO_read(s->out, wire->ptr + wire->len, (int)waiting);
  if (got > 0) wire->len += (size_t)got;
}

/* What became of a call that returned `result`: DA_OK also if it waits for more from the wire. */
static da_status judge(da_tls_session *s, int result, da_err *err)
{
  int error = s->o->SSL_get_error(s->ssl, result);
  if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return DA_OK;
  if (error == SSL_ERROR_ZERO_RETURN) return da_fail(err, DA_ECLOSED, "the peer has ended the TLS session");
  long verdict = s->o->SSL_get_verify_result(s->ssl);
  const char *why = da_openssl_reason(s->o);
  if (verdict != X509_V_OK)
    return da_fail(err, DA_EACCES, "the server's certificate is not accepted: %s",
                   s->o->X509_verify_cert_error_string(verdict));
  return da_fail(err, DA_EIO, "TLS: %s", why);
}

static da_status put(da_tls_session *s, da_slice plain, da_err *err)
{
  while (plain.len > 0) {
    s->o->ERR_clear_error();
    int len = plain.len < READ_STEP ? (int)plain.len : READ_STEP;
    int done = s->o->SSL_write(s->ssl, plain.ptr, len);
    if (done <= 0) {
      da_status status = judge(s, done, err);
      return status == DA_OK ? da_fail(err, DA_EIO, "TLS: the session does not take what is written") : status;
    }
    plain = da_slice_make(plain.ptr + done, plain.len - (size_t)done);
  }
  return DA_OK;
}

static da_status shake_hands(da_tls_session *s, da_err *err)
{
  s->o->ERR_clear_error();
  int done = s->o->SSL_do_handshake(s->ssl);
  if (done != 1) return judge(s, done, err);
  da_status status = put(s, da_buf_slice(&s->early), err);
  da_buf_free(&s->early);
  return status;
}

static da_status get(da_tls_session *s, da_buf *plain, da_err *err)
{
  for (;;) {
    da_buf_reserve(plain, READ_STEP);
    s->o->ERR_clear_error();
    int got = s->o->SSL_read(s->ssl, plain->ptr + plain->len, READ_STEP);
    if (got <= 0) return judge(s, got, err);
    plain->len += (size_t)got;
  }
}

da_status da_tls_session_read(da_tls_session *s, da_slice in, da_buf *plain, da_buf *wire, da_err *err)
{
  da_status status = DA_OK;
  if (in.len > INT32_MAX || (in.len > 0 && s->o->BIO_write(s->in, in.ptr, (int)in.len) != (int)in.len))
    return da_fail(err, DA_ENOMEM, "TLS: no room for what came");
  if (!da_tls_session_is_ready(s)) status = shake_hands(s, err);
  if (status == DA_OK && da_tls_session_is_ready(s)) status = get(s, plain, err);
  collect(s, wire);
  return status;
}

da_status da_tls_session_write(da_tls_session *s, da_slice plain, da_buf *wire, da_err *err)
{
  if (!da_tls_session_is_ready(s)) {
    da_buf_add_slice(&s->early, plain);
    return DA_OK;
  }
  da_status status = put(s, plain, err);
  collect(s, wire);
  return status;
}

bool da_tls_session_is_ready(const da_tls_session *s)
{
  return s->o->SSL_is_init_finished(s->ssl) != 0;
}

void da_tls_session_end(da_tls_session *s, da_buf *wire)
{
  if (!da_tls_session_is_ready(s)) return;
  s->o->ERR_clear_error();
  (void)s->o->SSL_shutdown(s->ssl);
  collect(s, wire);
}
