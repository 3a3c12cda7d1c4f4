# Scenarios: the real daemon, real git, HAProxy and HTTP on loopback. Each file is one test; harness.py is what they share.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
file(GLOB scenarios CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/*.py)
list(REMOVE_ITEM scenarios ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/harness.py ${CMAKE_CURRENT_SOURCE_DIR}/scenarios/puppet.py)
foreach(file ${scenarios})
  get_filename_component(name ${file} NAME_WE)
  add_test(NAME scenario.${name} COMMAND ${Python3_EXECUTABLE} -B ${file} $<TARGET_FILE:penstock>)
  set_tests_properties(scenario.${name} PROPERTIES LABELS scenario TIMEOUT 300)
endforeach()
