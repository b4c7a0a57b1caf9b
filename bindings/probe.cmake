# probe.cmake - the engine and the store as a module for a stock lua5.4: what the specs drive in process.
# SPDX-License-Identifier: Apache-2.0

# The interpreter brings Lua's symbols, so only its headers are used.
add_library(da_probe MODULE
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_auth.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_base.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_check.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_client.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_envelope.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_http.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_image.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_queue.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_read.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_show.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_store.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_tls.c
  ${CMAKE_CURRENT_LIST_DIR}/bind_probe_raw.c)
# The archive of LMDB is not made for shared objects, so the store comes in as objects and LMDB as the shared library.
find_library(DA_LMDB_SHARED NAMES liblmdb.so lmdb REQUIRED)
target_sources(da_probe PRIVATE $<TARGET_OBJECTS:da_store>)
# Of net, whose libuv is no such archive either, what needs none.
set(net ${CMAKE_CURRENT_LIST_DIR}/../host/net)
target_sources(da_probe PRIVATE
  ${net}/answer_read.c
  ${net}/auth.c
  ${net}/auth_key.c
  ${net}/envelope_read.c
  ${net}/envelope_write.c
  ${net}/http_parse.c
  ${net}/jwt.c
  ${net}/openssl.c
  ${net}/request_write.c
  ${net}/tls.c)
target_link_libraries(da_probe PRIVATE dep_llhttp dep_openssl_headers)
target_link_libraries(da_probe PRIVATE da_flags da_engine da_base dep_lua_headers ${DA_LMDB_SHARED})
set_target_properties(da_probe PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/spec)
