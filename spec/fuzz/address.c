/* address.c - fuzz target: addresses that messages may go to.
 *
 * What is taken has a scheme, no blank and no control byte, and a host where the scheme wants one; adding to its end
 * what may stand anywhere changes nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../../host/engine/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_scheme(da_slice s)
{
  bool good = s.len > 0;
  for (size_t i = 0; i < s.len; i++) {
    char c = s.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    good = good && (letter || (i > 0 && ((c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-')));
  }
  return good;
}

static void check(da_slice address)
{
  bool good = da_rule_address_ok(address);
  ptrdiff_t colon = da_slice_find(address, ':');
  bool scheme = colon > 0 && is_scheme(da_slice_make(address.ptr, (size_t)colon));
  bool plain = true;
  for (size_t i = 0; i < address.len; i++)
    plain = plain && (unsigned char)address.ptr[i] > ' ' && address.ptr[i] != 0x7f;
  if (!scheme || !plain) DA_ASSERT(!good);
  if (!good) return;
  da_buf longer = {0};
  da_buf_add_slice(&longer, address);
  da_buf_addf(&longer, "/x");
  DA_ASSERT(da_rule_address_ok(da_buf_slice(&longer)));
  longer.ptr[longer.len - 1] = ' ';
  DA_ASSERT(!da_rule_address_ok(da_buf_slice(&longer)));
  da_buf_free(&longer);
}

/* As it is, and behind each scheme that a transport has. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const char *const begins[] = {"", "http://", "https://", "poll://any@", "poll://uni@", "a:"};
  for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
    da_buf text = {0};
    da_buf_addf(&text, "%s", begins[i]);
    da_buf_add(&text, data, size);
    check(da_buf_slice(&text));
    da_buf_free(&text);
  }
  return 0;
}
