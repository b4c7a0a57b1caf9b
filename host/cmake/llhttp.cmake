# llhttp.cmake - dep_llhttp: the parser of HTTP/1.1 messages, from its generated C files.
#
# They come, in this order, from -DDA_LLHTTP=DIR, from an installed node-llhttp, or out of that package, which is then
# downloaded and unpacked into the build folder (llhttp.sh).
# SPDX-License-Identifier: Apache-2.0
set(DA_LLHTTP "" CACHE PATH "folder that holds llhttp.c, api.c, http.c and llhttp.h; empty: Debian's node-llhttp")

# Builds of the tree itself share one copy.
set(llhttp_unpacked ${PROJECT_BINARY_DIR}/llhttp)
string(FIND "${PROJECT_BINARY_DIR}" "${PROJECT_SOURCE_DIR}/build/" llhttp_inside)
if(llhttp_inside EQUAL 0)
  set(llhttp_unpacked ${PROJECT_SOURCE_DIR}/build/llhttp)
endif()

# A folder of ours may not hide behind a file of the same name elsewhere: each place is looked at alone.
set(llhttp_places ${DA_LLHTTP} ${DA_LLHTTP}/src ${DA_LLHTTP}/include)
if(NOT DA_LLHTTP AND EXISTS /usr/share/llhttp/llhttp.c)
  set(llhttp_places /usr/share/llhttp /usr/share/include/llhttp)
elseif(NOT DA_LLHTTP)
  set(llhttp_places ${llhttp_unpacked})
  if(NOT EXISTS ${llhttp_unpacked}/llhttp.c)
    message(STATUS "llhttp: unpacking Debian's node-llhttp into ${llhttp_unpacked}")
    execute_process(COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/llhttp.sh ${llhttp_unpacked} ERROR_VARIABLE llhttp_words)
  endif()
endif()

set(llhttp_files "")
foreach(name llhttp.c api.c http.c llhttp.h)
  unset(llhttp_found)
  foreach(place ${llhttp_places})
    if(EXISTS ${place}/${name} AND NOT llhttp_found)
      set(llhttp_found ${place}/${name})
    endif()
  endforeach()
  if(NOT llhttp_found AND DA_LLHTTP)
    message(FATAL_ERROR "DA_LLHTTP=${DA_LLHTTP} holds no ${name}; it must hold llhttp.c, api.c, http.c and llhttp.h, "
      "as a release of llhttp does (there in src and include)")
  elseif(NOT llhttp_found)
    message(FATAL_ERROR "no llhttp. `apt-get download node-llhttp` failed:\n${llhttp_words}\n"
      "Either give this machine package lists (apt-get update) and a network once, or unpack a release of llhttp and say "
      "-DDA_LLHTTP=DIR; DIR holds llhttp.c, api.c, http.c and llhttp.h.")
  endif()
  list(APPEND llhttp_files ${llhttp_found})
endforeach()

list(POP_BACK llhttp_files llhttp_header)
get_filename_component(llhttp_include ${llhttp_header} DIRECTORY)
add_library(dep_llhttp STATIC ${llhttp_files})
target_include_directories(dep_llhttp SYSTEM PUBLIC ${llhttp_include})
# Without it, versions below 9 take a chunk that no CRLF follows.
target_compile_definitions(dep_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_compile_options(dep_llhttp PRIVATE -w $<$<CONFIG:Release>:-fno-asynchronous-unwind-tables>)
