/* answer.h - the envelope around a request of the protocol, and that around its answer, as text.
 *
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_ANSWER_H
#define DA_CLI_ANSWER_H

#include "../base/bytes.h"

typedef struct cli_answer {
  int status;    /* of the protocol */
  da_slice data; /* JSON; in `text` */
  da_buf text;   /* owned */
} cli_answer;    /* {0} before the first use; may be used again */

/* Appends a whole request. token may be empty. */
void cli_envelope_text(da_buf *out, const char *kind, da_slice corr_id, da_slice token, da_slice data);
/* Takes an answer apart, once text holds it. DA_EINVAL: err says what it lacks. kind, corr_id: of the request. */
da_status DA_MUST_USE cli_answer_read(cli_answer *answer, const char *kind, da_slice corr_id, da_err *err);

#endif
