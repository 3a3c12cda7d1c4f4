# The measurement of switching under load; README.md beside says how to run it. Not a test: it takes minutes and the whole machine.
add_executable(switching_server ${CMAKE_CURRENT_LIST_DIR}/server.c)
target_link_libraries(switching_server PRIVATE warnings)

add_executable(switching_driver ${CMAKE_CURRENT_LIST_DIR}/driver.c)
target_link_libraries(switching_driver PRIVATE deployers warnings)
add_dependencies(switching_driver switching_server penstock-leader)
