# Programs that need real parts beside ours: HAProxy, bubblewrap, python3. <name>_test.c is one, process_rig.c serves them all.
function(penstock_integration_test name house)
  add_executable(integration_${name} ${CMAKE_CURRENT_SOURCE_DIR}/integration/${name}_test.c ${CMAKE_CURRENT_SOURCE_DIR}/integration/process_rig.c)
  target_link_libraries(integration_${name} PRIVATE test_support ${house} warnings)
  target_compile_definitions(integration_${name} PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}" LEADER_PATH="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/penstock-leader")
  add_dependencies(integration_${name} penstock-leader)
  add_test(NAME integration.${name} COMMAND integration_${name})
  set_tests_properties(integration.${name} PROPERTIES LABELS integration TIMEOUT 600)
endfunction()
penstock_integration_test(process_target deployers)
penstock_integration_test(process_care deployers) # copies that hang, settings that change, previews, upgrades of HAProxy
penstock_integration_test(rollouts_process runner) # the rollout controller on it: real requests while releases come and go
penstock_integration_test(haproxy_survival deployers) # HAProxy killed, reloaded, replaced under requests
penstock_integration_test(metric_sources deployers) # a real Prometheus that scrapes copies of a model server
