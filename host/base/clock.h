/* clock.h - what time it is, in milliseconds since the Unix epoch.
 *
 * The real clock never goes back (it keeps max(last, wall)); DAHOST_TIME_FACTOR=N makes it run N times as fast from
 * the moment the process starts, for tests with long sleeps. Specs use a fake one. The engine never reads a clock:
 * `now` is given to it.
 * Threads: any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_CLOCK_H
#define DA_BASE_CLOCK_H

#include "bytes.h"

int64_t da_clock_now_ms(void);
/* How long to wait, in real milliseconds, until the clock shows at_ms; 0 if it already does. Rounded up. */
int64_t da_clock_wait_ms(int64_t at_ms);
/* Monotonic nanoseconds for measuring, never for records. */
uint64_t da_clock_mono_ns(void);

#endif
