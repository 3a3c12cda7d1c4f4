# Programs that need real parts beside ours: HAProxy, bubblewrap, python3.
add_executable(integration_process_target ${CMAKE_CURRENT_SOURCE_DIR}/integration/process_target_test.c ${CMAKE_CURRENT_SOURCE_DIR}/integration/process_rig.c)
target_link_libraries(integration_process_target PRIVATE test_support deployers warnings)
target_compile_definitions(integration_process_target PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                           LEADER_PATH="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/penstock-leader")
if(TARGET penstock-leader)
  add_dependencies(integration_process_target penstock-leader)
endif()
add_test(NAME integration.process_target COMMAND integration_process_target)
set_tests_properties(integration.process_target PROPERTIES LABELS integration TIMEOUT 300)
