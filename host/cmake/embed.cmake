# embed.cmake - da_embed(OUT_VAR SYMBOL FILES...): files of the tree as bytes of the program (.incbin), with a table of names.
# Lua files are stripped first (strip_lua.cmake). The generated C defines `const da_embedded SYMBOL[]`, ended by a NULL name; see host/base/embed.h.
# SPDX-License-Identifier: Apache-2.0
function(da_embed out symbol)
  cmake_parse_arguments(E "" "ROOT" "FILES" ${ARGN})
  set(asm "  .section .rodata\n")
  set(table "#include \"${PROJECT_SOURCE_DIR}/host/base/embed.h\"\n")
  set(rows "")
  set(depends "")
  set(i 0)
  foreach(file ${E_FILES})
    set(strip ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/strip_lua.cmake)
    set(path ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.d/${file})
    add_custom_command(OUTPUT ${path} DEPENDS ${E_ROOT}/${file} ${strip} VERBATIM
      COMMAND ${CMAKE_COMMAND} -DFROM=${E_ROOT}/${file} -DTO=${path} -P ${strip})
    list(APPEND depends ${path})
    string(APPEND asm "  .global ${symbol}_${i}\n  .global ${symbol}_${i}_end\n${symbol}_${i}:\n  .incbin \"${path}\"\n${symbol}_${i}_end:\n  .byte 0\n")
    string(APPEND table "extern const char ${symbol}_${i}[], ${symbol}_${i}_end[];\n")
    string(APPEND rows "  {\"${file}\", ${symbol}_${i}, ${symbol}_${i}_end},\n")
    math(EXPR i "${i} + 1")
  endforeach()
  string(APPEND asm "  .section .note.GNU-stack,\"\",@progbits\n")
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.S CONTENT "${asm}" @ONLY)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c
    CONTENT "${table}extern const da_embedded ${symbol}[];\nconst da_embedded ${symbol}[] = {\n${rows}  {0, 0, 0}};\n" @ONLY)
  set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/${symbol}.S PROPERTIES OBJECT_DEPENDS "${depends}")
  set(${out} ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.S ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c ${depends} PARENT_SCOPE)
endfunction()
