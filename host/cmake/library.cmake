# library.cmake - libdahost: every room but the network and the command line, for programs that embed it.
#
# Its interface is bindings/dahost.h. libdahost.a does not contain Lua; who links it statically with liblua5.4.a, -no-pie
# and -Wl,--wrap=luaS_hash (`pkg-config dahost-static`) has what the program `dahost` has. libdahost.so uses the shared
# Lua: isolates have no seed of our choice and no images.
# SPDX-License-Identifier: Apache-2.0
set(DA_LIBRARY_ROOMS da_base da_engine da_store da_sched da_vm da_lua da_bindings)
set(DA_LIBRARY_OBJECTS "")
foreach(room ${DA_LIBRARY_ROOMS})
  list(APPEND DA_LIBRARY_OBJECTS $<TARGET_OBJECTS:${room}>)
endforeach()
set(DA_LIBRARY_NEEDS dep_lmdb dep_uv dep_cjson dep_xxhash dep_lz4 m Threads::Threads)

add_library(dahost_static STATIC ${DA_LIBRARY_OBJECTS})
target_link_libraries(dahost_static INTERFACE ${DA_LIBRARY_NEEDS})

add_library(dahost_shared SHARED ${DA_LIBRARY_OBJECTS})
# Debian's libuv_a.a is not position independent, so a shared library takes the shared ones of all.
target_link_libraries(dahost_shared PRIVATE da_flags m Threads::Threads
  dep_lmdb_shared dep_uv_shared dep_cjson_shared dep_xxhash_shared dep_lz4_shared dep_lua_shared)
set_target_properties(dahost_static dahost_shared PROPERTIES OUTPUT_NAME dahost LINKER_LANGUAGE C)
set_target_properties(dahost_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})

# What it shows is dahost.h.
set(DA_LIBRARY_EXPORTS ${CMAKE_CURRENT_LIST_DIR}/library_exports.txt)
target_link_options(dahost_shared PRIVATE -Wl,--version-script=${DA_LIBRARY_EXPORTS})
set_target_properties(dahost_shared PROPERTIES LINK_DEPENDS ${DA_LIBRARY_EXPORTS})

install(TARGETS dahost_static dahost_shared ARCHIVE DESTINATION lib LIBRARY DESTINATION lib)
install(FILES ${PROJECT_SOURCE_DIR}/bindings/dahost.h DESTINATION include)

# For pkg-config (dahost, dahost-static) and find_package(dahost) (dahost::dahost, dahost::static). Places are told from
# that of the file, so that the installed tree can be moved.
set(DA_STATIC_NEEDS "-llmdb -luv -lcjson -lxxhash -llz4 -lm -ldl -lpthread")
if(dep_lua_ARCHIVE)
  set(DA_STATIC_LUA "-Wl,--wrap=luaS_hash -Wl,--start-group \${libdir}/libdahost.a ${dep_lua_ARCHIVE} -Wl,--end-group")
  configure_file(${CMAKE_CURRENT_LIST_DIR}/dahost-static.pc.in ${CMAKE_BINARY_DIR}/package/dahost-static.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/package/dahost-static.pc DESTINATION lib/pkgconfig)
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/dahost.pc.in ${CMAKE_BINARY_DIR}/package/dahost.pc @ONLY)
configure_file(${CMAKE_CURRENT_LIST_DIR}/dahostConfig.cmake.in ${CMAKE_BINARY_DIR}/package/dahostConfig.cmake @ONLY)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/dahostConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/dahost.pc DESTINATION lib/pkgconfig)
install(FILES ${CMAKE_BINARY_DIR}/package/dahostConfig.cmake ${CMAKE_BINARY_DIR}/package/dahostConfigVersion.cmake
  DESTINATION lib/cmake/dahost)
