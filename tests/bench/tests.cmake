# Measurements; how to run them stands in README.md beside. Only the short form of the simulations is a test.
add_executable(stats_bench ${CMAKE_CURRENT_SOURCE_DIR}/bench/stats_bench.c)
target_link_libraries(stats_bench PRIVATE gates warnings)

add_executable(validity ${CMAKE_CURRENT_SOURCE_DIR}/bench/validity.c ${CMAKE_CURRENT_SOURCE_DIR}/bench/validity/analysis.c
  ${CMAKE_CURRENT_SOURCE_DIR}/bench/validity/kernels.c ${CMAKE_CURRENT_SOURCE_DIR}/bench/validity/report.c)
target_link_libraries(validity PRIVATE gates warnings)
add_test(NAME bench.validity COMMAND validity --runs 500)
set_tests_properties(bench.validity PROPERTIES LABELS bench TIMEOUT 600)
