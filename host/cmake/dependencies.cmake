# dependencies.cmake - the given libraries, each behind one INTERFACE target that carries its own link order.
# SPDX-License-Identifier: Apache-2.0
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# da_dependency(NAME PKG module... ARCHIVE name...): headers from pkg-config (as system headers), the static archive by name
# when there is one, else what pkg-config says. NAME_shared is what pkg-config says in any case.
function(da_dependency target)
  cmake_parse_arguments(D "" "PKG" "ARCHIVES;EXTRA" ${ARGN})
  pkg_check_modules(${target}_PC REQUIRED IMPORTED_TARGET ${D_PKG})
  add_library(${target} INTERFACE)
  target_include_directories(${target} SYSTEM INTERFACE ${${target}_PC_INCLUDE_DIRS})
  add_library(${target}_shared INTERFACE)
  target_link_libraries(${target}_shared INTERFACE PkgConfig::${target}_PC)
  find_library(${target}_ARCHIVE NAMES ${D_ARCHIVES} HINTS ${${target}_PC_LIBRARY_DIRS})
  if(${target}_ARCHIVE)
    target_link_libraries(${target} INTERFACE ${${target}_ARCHIVE} ${D_EXTRA})
  else()
    target_link_libraries(${target} INTERFACE PkgConfig::${target}_PC ${D_EXTRA})
  endif()
endfunction()

da_dependency(dep_lua PKG lua5.4 ARCHIVES liblua5.4.a EXTRA m ${CMAKE_DL_LIBS})
da_dependency(dep_lmdb PKG lmdb ARCHIVES liblmdb.a EXTRA Threads::Threads)
da_dependency(dep_uv PKG libuv ARCHIVES libuv_a.a libuv.a EXTRA Threads::Threads ${CMAKE_DL_LIBS} rt)
da_dependency(dep_cjson PKG libcjson ARCHIVES libcjson.a EXTRA m)
da_dependency(dep_xxhash PKG libxxhash ARCHIVES libxxhash.a)
da_dependency(dep_lz4 PKG liblz4 ARCHIVES liblz4.a)

# The Lua headers alone, for code that is loaded into an interpreter which brings the symbols.
add_library(dep_lua_headers INTERFACE)
target_include_directories(dep_lua_headers SYSTEM INTERFACE ${dep_lua_PC_INCLUDE_DIRS})

include(${CMAKE_CURRENT_LIST_DIR}/llhttp.cmake)

# OpenSSL is loaded when it is first needed, by host/net/openssl.c, since linking libssl and libcrypto costs every start of the
# program 2 ms and 2 MB. So only the headers are used here, and a function of OpenSSL is called through the table of
# host/net/openssl.h; to use one more, add its name there.
pkg_check_modules(dep_openssl_PC REQUIRED openssl>=3.0)
add_library(dep_openssl_headers INTERFACE)
target_include_directories(dep_openssl_headers SYSTEM INTERFACE ${dep_openssl_PC_INCLUDE_DIRS})
