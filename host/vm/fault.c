/* fault.c - errors as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

void da_fault_string(da_buf *out, da_slice text)
{
  da_buf_add_byte(out, '"');
  for (size_t i = 0; i < text.len; i++) {
    uint8_t c = (uint8_t)text.ptr[i];
    if (c == '"' || c == '\\')
      da_buf_addf(out, "\\%c", c);
    else if (c == '\n')
      da_buf_addf(out, "\\n");
    else if (c < 0x20)
      da_buf_addf(out, "\\u%04x", c);
    else
      da_buf_add_byte(out, c);
  }
  da_buf_add_byte(out, '"');
}

void da_fault_json(da_buf *out, const char *code, da_slice message)
{
  da_buf_addf(out, "{\"__type\":\"error\",\"message\":");
  da_fault_string(out, message);
  da_buf_addf(out, ",\"name\":");
  da_fault_string(out, da_slice_of(code));
  da_buf_addf(out, "}");
}
