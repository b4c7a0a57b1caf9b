# room.cmake - what every room is compiled with.
# SPDX-License-Identifier: Apache-2.0
add_library(da_flags INTERFACE)
target_compile_definitions(da_flags INTERFACE _GNU_SOURCE)
target_compile_options(da_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wwrite-strings -Wcast-qual -Wpointer-arith -Wformat=2 -Wvla -Wdouble-promotion
  $<$<BOOL:${DA_WERROR}>:-Werror>)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT DA_ASAN AND NOT DA_TSAN)
  target_compile_options(da_flags INTERFACE -Wnull-dereference)
endif()
# 50 KB less of program, and none of the benches is slower. A room may say otherwise for itself.
string(REPLACE "-O3" "-O2" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
# 80 KB of tables for unwinding, which nothing in C does; a build with -g has them among its debugging data.
target_compile_options(da_flags INTERFACE $<$<CONFIG:Release>:-fno-asynchronous-unwind-tables>)
if(DA_CHECK)
  target_compile_definitions(da_flags INTERFACE DA_CHECK=1)
endif()
if(DA_ASAN)
  target_compile_options(da_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(da_flags INTERFACE -fsanitize=address,undefined)
endif()
if(DA_FUZZ)
  target_compile_options(da_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  target_link_options(da_flags INTERFACE -fsanitize=address,undefined)
  target_compile_options(dep_llhttp PRIVATE -fsanitize=fuzzer-no-link,address)
endif()
if(DA_TSAN)
  target_compile_options(da_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(da_flags INTERFACE -fsanitize=thread)
endif()

# da_room(NAME SOURCES file... LINK target...): a room is one static library.
function(da_room name)
  cmake_parse_arguments(R "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${R_SOURCES})
  target_link_libraries(${name} PUBLIC ${R_LINK} PRIVATE da_flags)
endfunction()
