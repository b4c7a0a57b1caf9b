# isolate.cmake - the isolates and the determinism library, as sources of the room vm (host/vm/CMakeLists.txt).
# The program that links a static liblua adds DA_VM_ISOLATE_LINK, so that isolates have a hash seed of our choice.
# SPDX-License-Identifier: Apache-2.0
set(DA_VM_ISOLATE_SOURCES
  image_dump.c isolate.c isolate_image.c isolate_load.c isolate_memory.c pristine.c region.c slot_alloc.c
  lib.c lib_base.c lib_control.c lib_coroutine.c lib_debug.c lib_math.c lib_os.c lib_pairs.c lib_string.c lib_table.c)
set(DA_VM_ISOLATE_LINK -Wl,--wrap=luaS_hash)
