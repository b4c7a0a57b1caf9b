/* http_parse.h - bytes to HTTP/1.x messages (RFC 9112), requests or responses. Pure.
 *
 * Here:     llhttp in its strict mode, and a guard around it that finds the end of a head by itself, byte for byte, and
 *           refuses what two parsers could read in two ways: folded lines, a lone CR or LF, none or several Hosts, a
 *           length and a transfer coding, any coding but one `chunked`, versions but 1.0 and 1.1.
 *           A head that llhttp and the guard end at different bytes is refused.
 * May not:  do input or output, or know what an answer looks like.
 * Bounds:   da_http_limits; a body takes memory as it arrives, not as it is announced.
 * Split:    the same bytes give the same messages and the same refusal, in whatever pieces they come.
 * Walk:     feed() until it says MORE. HEAD: the message has its head, its body is to come (always said, also for a
 *           message without a body). DONE: it is whole; da_http_parser_take() it. A refused parser takes nothing more.
 * Threads:  one at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_PARSE_H
#define DA_NET_HTTP_PARSE_H

#include <llhttp.h>

#include "http_server.h"

typedef enum da_http_role { DA_HTTP_REQUESTS, DA_HTTP_RESPONSES } da_http_role;

typedef enum da_http_event {
  DA_HTTP_MORE, /* all bytes were taken */
  DA_HTTP_HEAD, /* once per message: parser->message has all but its body */
  DA_HTTP_DONE,
  DA_HTTP_REFUSED, /* parser->refused_status and parser->refused_why */
} da_http_event;

typedef struct da_http_limits {
  size_t target_max; /* bytes of a request's target, 414 */
  size_t head_max;   /* bytes of a head, and of the lines around chunks, 431 */
  size_t fields_max; /* 431 */
  size_t body_max;   /* 413 */
} da_http_limits;

typedef struct da_http_message {
  da_slice method; /* of a request */
  da_slice target; /* as sent */
  da_slice path;   /* of the target, before '?' */
  da_slice query;  /* behind it */
  int status;      /* of a response */
  int minor;       /* HTTP/1.<minor> */
  bool keep_alive; /* another message may follow on this connection */
  bool expects_continue;
  bool has_body;         /* a length above 0, chunks, or what comes until the end of the connection */
  da_http_field *fields; /* owned; what they and the slices above name lies in `head` */
  size_t field_count;
  da_buf head; /* owned */
  da_buf body; /* owned */
} da_http_message;

/* Where the guard stands in the bytes that it looks at itself. */
typedef enum da_http_part {
  DA_HTTP_BEFORE,  /* the first byte of a message is to come; empty lines may stand there (RFC 9112, 2.2) */
  DA_HTTP_IN_HEAD, /* start line and fields */
  DA_HTTP_IN_BODY, /* bytes of the body, and of the lines around its chunks */
  DA_HTTP_IN_TRAILER,
  DA_HTTP_AT_END, /* the message is whole and not yet taken */
  DA_HTTP_DEAD,   /* refused */
} da_http_part;

typedef struct da_http_parser {
  llhttp_t llhttp; /* its callbacks find the parser through `data` */
  da_http_limits limits;
  da_http_role role;
  da_http_part part;
  uint8_t last;       /* the guard's memory: the byte before */
  bool line_is_empty; /* the line under way, so far */
  bool no_body;       /* see da_http_parser_no_body() */
  bool head_ended;    /* llhttp has seen the end of the head */
  bool last_chunk;    /* llhttp has seen it */
  bool in_chunk_line; /* the line with a chunk's size is under way */
  bool in_extension;  /* in what stands there behind the size */
  bool in_quotes;     /* in a quoted string there */
  bool ended;         /* llhttp has seen the end of the message */
  size_t guarded;     /* bytes that the guard looked at in this message, against head_max */
  size_t fed;         /* bytes of a body that llhttp took, with what frames its chunks */
  size_t body_bytes;  /* of these, the body alone; also what somebody took out of message.body */
  size_t field_cap;
  da_http_message message; /* under way */
  int refused_status;      /* for a request: how to answer */
  const char *refused_why; /* static */
} da_http_parser;

/* Fills *parser, which must not move while it lives. */
void da_http_parser_create(da_http_parser *parser, da_http_role role, const da_http_limits *limits);
void da_http_parser_destroy(da_http_parser *parser);

/* Takes bytes from the front of *in, until there is something to say. After HEAD and DONE it is called again, also with
 * an empty *in. */
da_http_event da_http_parser_feed(da_http_parser *parser, da_slice *in);
/* The stream has ended: DONE if that ends a message, MORE if none was under way, else REFUSED. */
da_http_event da_http_parser_finish(da_http_parser *parser);
/* After DONE: gives the message away, and begins the next one. */
void da_http_parser_take(da_http_parser *parser, da_http_message *out);
void da_http_message_free(da_http_message *message);

/* The next response answers a HEAD request, so no body follows whatever its fields say. Before its first byte. */
void da_http_parser_no_body(da_http_parser *parser);
/* Has a byte of a message come that is not yet whole? */
bool da_http_parser_is_busy(const da_http_parser *parser);

/* The value of the first field of this name (any case), or NULL. */
const da_slice *da_http_fields_get(const da_http_field *fields, size_t count, const char *name);

#endif
