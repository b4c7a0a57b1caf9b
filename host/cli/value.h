/* value.h - what is typed on a command line as values of the runtime, and back.
 *
 * Here:     ARG to JSON, the canonical text of JSON, the error object of a rejection, results as one line.
 * How:      through the codec of bindings in a Lua state of its own, so that a value typed here has the very bytes it
 *           would have had coming from a script.
 * Threads:  any; each call has its own state.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_VALUE_H
#define DA_CLI_VALUE_H

#include "../base/bytes.h"
#include "../engine/record.h"

/* Appends the words as a JSON array of arguments. A word is JSON if it parses as JSON, but a number only if it is
 * written as one would be printed ("007", "1e3", "123e4567" are strings), else a string; text: all are strings.
 * DA_EINVAL: err names the word. */
da_status DA_MUST_USE cli_value_args(const char *const *words, size_t count, bool text, da_buf *out, da_err *err);
/* The same for one word, as a value. */
da_status DA_MUST_USE cli_value_word(const char *word, bool text, da_buf *out, da_err *err);
/* Appends the canonical text of a JSON value; `array`: it must be an array, of arguments. */
da_status DA_MUST_USE cli_value_canonical(da_slice json, bool array, da_buf *out, da_err *err);
/* Appends the error object that a rejection holds: JSON null or empty: code `code` alone; a string: its message; an
 * object: its code, message and fields. */
da_status DA_MUST_USE cli_value_error(da_slice json, const char *code, da_buf *out, da_err *err);

/* Appends the results of a resolved promise as JSON: its data (null if it has none), or, if it has further results, an
 * array of all. Data that is not JSON becomes a JSON string. */
void cli_value_results(const da_value *value, da_buf *out);
/* Appends the data of a value as JSON; false, with nothing appended, if it has none. */
bool cli_value_data(const da_value *value, da_buf *out);

/* The parts of a recorded call {"args":[...],"func":...}: appends the canonical arguments. False if it is none. */
bool cli_value_call(const da_value *param, da_buf *func, da_buf *args);

/* "[code] message" and the traceback, for people; `json` is the data of a rejection. code is the error's name. */
void cli_value_error_text(da_slice json, da_buf *text, da_buf *code);

#endif
