/* zone_file.h - the system's zone files, by name.
 *
 * Here:     finding and reading one below TZDIR, or /usr/share/zoneinfo; the part of it that a schedule keeps.
 * Threads:  any. May block on disk.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_ZONE_FILE_H
#define DA_BASE_ZONE_FILE_H

#include "bytes.h"

/* Appends the bytes of the zone `name` (Europe/Vienna) to out, as da_zone_read() takes them, without what lies before
 * 2020. UTC appends none. err names the file, and the mend. */
da_status DA_MUST_USE da_zone_load(da_slice name, da_buf *out, da_err *err);

#endif
