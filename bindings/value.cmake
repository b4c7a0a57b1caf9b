# value.cmake - the value codec, its errors, and the module through which specs reach both from a stock lua5.4.
# SPDX-License-Identifier: Apache-2.0
set(DA_BIND_VALUE_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/bind_error.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_value.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_value_encode.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_encode_table.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_encode_words.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_value_decode.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_decode_scalar.c)

# The interpreter brings Lua's symbols, so only its headers are used.
add_library(da_valueprobe MODULE ${DA_BIND_VALUE_SOURCES} ${CMAKE_CURRENT_LIST_DIR}/bind_valueprobe.c)
target_link_libraries(da_valueprobe PRIVATE da_flags da_base dep_lua_headers)
set_target_properties(da_valueprobe PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/spec)
