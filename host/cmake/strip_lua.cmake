# strip_lua.cmake - cmake -DFROM=FILE -DTO=FILE -P: a Lua file without its comment lines and indentation, which is a fifth
# of its bytes. Lines keep their numbers. A long string could hold either, so none may be there.
# SPDX-License-Identifier: Apache-2.0
file(READ "${FROM}" text)
if(text MATCHES "\\[=*\\[")
  message(FATAL_ERROR "${FROM}: a long string, or a long comment, in a file that is embedded")
endif()
string(REGEX REPLACE "\n +" "\n" text "\n${text}")
string(REGEX REPLACE "\n--[^\n]*" "\n" text "${text}")
string(SUBSTRING "${text}" 1 -1 text)
file(WRITE "${TO}" "${text}")
