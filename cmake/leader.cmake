# penstock-leader: its own source list, libc only, static, never sanitized (it must start in any sandbox and outlive anything).
file(GLOB leader_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/base/attempt/leader*.c)
add_executable(penstock-leader ${leader_sources} base/attempt/record.c base/attempt/mask.c base/attempt/mask_variants.c)
target_include_directories(penstock-leader PRIVATE ${CMAKE_SOURCE_DIR})
target_compile_definitions(penstock-leader PRIVATE _GNU_SOURCE)
target_compile_options(penstock-leader PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wvla -Os
  -include ${CMAKE_SOURCE_DIR}/base/banned.h)
target_link_options(penstock-leader PRIVATE -static)
