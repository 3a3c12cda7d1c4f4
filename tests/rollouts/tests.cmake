# The rollout controller with a real process target: HAProxy, bubblewrap, python3, real requests.
add_executable(rollouts_process ${CMAKE_CURRENT_SOURCE_DIR}/rollouts/rollouts_process_test.c ${CMAKE_CURRENT_SOURCE_DIR}/integration/process_rig.c)
target_link_libraries(rollouts_process PRIVATE test_support runner warnings)
target_compile_definitions(rollouts_process PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}" LEADER_PATH="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/penstock-leader")
if(TARGET penstock-leader)
  add_dependencies(rollouts_process penstock-leader)
endif()
add_test(NAME integration.rollouts_process COMMAND rollouts_process)
set_tests_properties(integration.rollouts_process PROPERTIES LABELS integration TIMEOUT 300)
