# library.cmake - libdahost: every room but the network and the command line, for programs that embed it.
#
# libdahost.a does not contain Lua; who links it statically with liblua5.4.a, -no-pie and -Wl,--wrap=luaS_hash has
# what the program `dahost` has. libdahost.so uses the shared Lua: isolates have no seed of our choice and no images.
# SPDX-License-Identifier: Apache-2.0
set(DA_LIBRARY_ROOMS da_base da_engine da_store da_sched da_vm da_lua da_bindings)
set(DA_LIBRARY_OBJECTS "")
foreach(room ${DA_LIBRARY_ROOMS})
  list(APPEND DA_LIBRARY_OBJECTS $<TARGET_OBJECTS:${room}>)
endforeach()
set(DA_LIBRARY_NEEDS dep_lmdb dep_uv dep_cjson dep_xxhash m Threads::Threads)

add_library(dahost_static STATIC ${DA_LIBRARY_OBJECTS})
target_link_libraries(dahost_static INTERFACE ${DA_LIBRARY_NEEDS})

add_library(dahost_shared SHARED ${DA_LIBRARY_OBJECTS})
# Debian's libuv_a.a is not position independent, so a shared library takes the shared ones of all.
target_link_libraries(dahost_shared PRIVATE da_flags m Threads::Threads
  dep_lmdb_shared dep_uv_shared dep_cjson_shared dep_xxhash_shared dep_lua_shared)
set_target_properties(dahost_static dahost_shared PROPERTIES OUTPUT_NAME dahost LINKER_LANGUAGE C)
set_target_properties(dahost_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})

install(TARGETS dahost_static dahost_shared ARCHIVE DESTINATION lib LIBRARY DESTINATION lib)
# The doors, at the same distances from each other as in the tree.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/host/base ${PROJECT_SOURCE_DIR}/host/engine ${PROJECT_SOURCE_DIR}/host/store
  ${PROJECT_SOURCE_DIR}/host/sched ${PROJECT_SOURCE_DIR}/host/vm DESTINATION include/dahost/host FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_SOURCE_DIR}/bindings/bind.h DESTINATION include/dahost/bindings)
