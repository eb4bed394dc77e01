# sonar_test(NAME label SOURCES... LIBRARIES...): one GoogleTest executable, each test a CTest test.
# Labels: unit, end_to_end, error, fuzz, performance.
find_package(GTest REQUIRED)
include(GoogleTest)

function(sonar_test name label)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE SONAR_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                             SONAR_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Listing the tests loads LibTorch, which takes longer than the usual 5 s from a cold disk.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}."
                       PROPERTIES LABELS ${label} TIMEOUT ${ARG_TIMEOUT})
endfunction()
