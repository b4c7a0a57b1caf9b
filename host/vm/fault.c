/* fault.c - errors as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

/* Length of the UTF-8 sequence at p, 0 if it is none (overlong, a surrogate, beyond U+10FFFF, cut short). */
static size_t utf8_len(const uint8_t *p, size_t left)
{
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (*p < 0x80) return 1;
  size_t len = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : 2;
  if (*p < 0xC2 || *p > 0xF4 || len > left) return 0;
  uint32_t code = *p & (0x7Fu >> len);
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
    code = code << 6 | (p[i] & 0x3Fu);
  }
  return code < least[len] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? 0 : len;
}

void da_fault_string(da_buf *out, da_slice text)
{
  const uint8_t *p = (const uint8_t *)text.ptr;
  da_buf_add_byte(out, '"');
  for (size_t left = text.len, len; left > 0; p += len, left -= len) {
    len = utf8_len(p, left);
    if (len == 0) {
      da_buf_add_slice(out, DA_LIT("\xEF\xBF\xBD"));
      len = 1;
    } else if (*p == '"' || *p == '\\') {
      da_buf_addf(out, "\\%c", *p);
    } else if (*p == '\n') {
      da_buf_addf(out, "\\n");
    } else if (*p < 0x20) {
      da_buf_addf(out, "\\u%04x", *p);
    } else {
      da_buf_add(out, p, len);
    }
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
