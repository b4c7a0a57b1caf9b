/* openssl.h - OpenSSL, loaded when it is first needed.
 *
 * Here:     the functions of libssl and libcrypto that the room uses, by name, in one table. Linking the two would cost
 *           every start of the program 2 ms and 2 MB, also of those that never speak TLS nor check a token.
 * Use:      const da_openssl *o = da_openssl_load(&err); o->SSL_new(...). OpenSSL's own macros call functions by name,
 *           so what they stand for is called (SSL_CTX_set_mode() is o->SSL_CTX_ctrl()).
 * To add a function: its name in one of the lists. Its header must declare it and it must be no macro.
 * Threads:  da_openssl_load(): one at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_OPENSSL_H
#define DA_NET_OPENSSL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "../base/status.h"

#define DA_OPENSSL_CRYPTO(X)          \
  X(BIO_ctrl)                         \
  X(BIO_free)                         \
  X(BIO_new)                          \
  X(BIO_new_mem_buf)                  \
  X(BIO_read)                         \
  X(BIO_s_mem)                        \
  X(BIO_write)                        \
  X(CRYPTO_memcmp)                    \
  X(ERR_clear_error)                  \
  X(ERR_peek_last_error)              \
  X(ERR_reason_error_string)          \
  X(EVP_DigestVerify)                 \
  X(EVP_DigestVerifyInit_ex)          \
  X(EVP_MD_CTX_free)                  \
  X(EVP_MD_CTX_new)                   \
  X(EVP_PKEY_CTX_set_rsa_padding)     \
  X(EVP_PKEY_CTX_set_rsa_pss_saltlen) \
  X(EVP_PKEY_free)                    \
  X(EVP_PKEY_get_base_id)             \
  X(EVP_PKEY_get_bits)                \
  X(EVP_PKEY_get_group_name)          \
  X(EVP_Q_mac)                        \
  X(OPENSSL_cleanse)                  \
  X(PEM_read_bio_PUBKEY)              \
  X(X509_VERIFY_PARAM_set1_ip_asc)    \
  X(X509_verify_cert_error_string)

#define DA_OPENSSL_SSL(X)                   \
  X(SSL_CTX_check_private_key)              \
  X(SSL_CTX_ctrl)                           \
  X(SSL_CTX_free)                           \
  X(SSL_CTX_new)                            \
  X(SSL_CTX_set_default_passwd_cb)          \
  X(SSL_CTX_set_default_passwd_cb_userdata) \
  X(SSL_CTX_set_default_verify_paths)       \
  X(SSL_CTX_set_options)                    \
  X(SSL_CTX_set_verify)                     \
  X(SSL_CTX_use_PrivateKey_file)            \
  X(SSL_CTX_use_certificate_chain_file)     \
  X(SSL_ctrl)                               \
  X(SSL_do_handshake)                       \
  X(SSL_free)                               \
  X(SSL_get0_param)                         \
  X(SSL_get_error)                          \
  X(SSL_get_verify_result)                  \
  X(SSL_is_init_finished)                   \
  X(SSL_new)                                \
  X(SSL_read)                               \
  X(SSL_set1_host)                          \
  X(SSL_set_accept_state)                   \
  X(SSL_set_bio)                            \
  X(SSL_set_connect_state)                  \
  X(SSL_set_hostflags)                      \
  X(SSL_shutdown)                           \
  X(SSL_write)                              \
  X(TLS_client_method)                      \
  X(TLS_server_method)

typedef struct da_openssl {
#define X(name) __typeof__(name) *(name);
  DA_OPENSSL_CRYPTO(X)
  DA_OPENSSL_SSL(X)
#undef X
} da_openssl;

/* NULL if the libraries are not there; err says which package has them. */
const da_openssl *da_openssl_load(da_err *err);
/* The newest error of OpenSSL's queue in words, or "no reason given"; the queue is empty afterwards. Static, until the
 * next call. */
const char *da_openssl_reason(const da_openssl *o);

#endif
