# Warnings and hardening that every file of Penstock is compiled with.
add_library(warnings INTERFACE)
target_compile_options(warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -fno-strict-aliasing -fno-common)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(warnings INTERFACE -Wjump-misses-init)
endif()
if(PENSTOCK_WERROR)
  target_compile_options(warnings INTERFACE -Werror)
endif()
target_compile_definitions(warnings INTERFACE _GNU_SOURCE)
target_include_directories(warnings INTERFACE ${CMAKE_SOURCE_DIR})
# Unbounded and locale-bound functions do not compile anywhere in the project.
target_compile_options(warnings INTERFACE -include ${CMAKE_SOURCE_DIR}/base/banned.h)
if(PENSTOCK_SANITIZE)
  target_compile_options(warnings INTERFACE -fsanitize=${PENSTOCK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(warnings INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
endif()
