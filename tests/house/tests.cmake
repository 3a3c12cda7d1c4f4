find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME house.imports COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/house/imports.py ${CMAKE_SOURCE_DIR})
set(header_flags ${MHD_CFLAGS} ${GIT2_CFLAGS} ${CURL_CFLAGS} ${ARCHIVE_CFLAGS})
add_test(NAME house.headers COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/house/headers.sh ${CMAKE_SOURCE_DIR} ${CMAKE_C_COMPILER} ${header_flags})
