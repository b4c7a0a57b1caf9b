/* fault.h - errors as the JSON that a record keeps, for faults that no Lua code raised.
 *
 * Shape: {"__type":"error","message":...,"name":code} - that of the published Resonate SDKs, keys sorted.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_FAULT_H
#define DA_VM_FAULT_H

#include "../base/bytes.h"

void da_fault_json(da_buf *out, const char *code, da_slice message);
/* Appends text as a JSON string; bytes that are no UTF-8 become U+FFFD, since a record must be readable. */
void da_fault_string(da_buf *out, da_slice text);

#endif
