# sonar_test(NAME label SOURCES... LIBRARIES... [ALONE FILTER] [TIMEOUT s]): one GoogleTest executable, each test a CTest
# test. Labels: unit, end_to_end, error, fuzz, performance.
# Under `ctest -j` (scripts/test) each test has a core: end_to_end and error tests are told which (tests/command.h). Those
# that match ALONE (a GoogleTest filter) run beside no other: they compare times, need two cores, or mount disks.
find_package(GTest REQUIRED)
include(GoogleTest)

function(sonar_test name label)
  cmake_parse_arguments(ARG "" "TIMEOUT;ALONE" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE SONAR_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                             SONAR_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Listing the tests loads LibTorch, which takes longer than the usual 5 s from a cold disk.
  set(discovery DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}.")
  set(properties LABELS ${label} TIMEOUT ${ARG_TIMEOUT})
  if(NOT ARG_ALONE STREQUAL "*")
    gtest_discover_tests(${name} ${discovery} TEST_FILTER "*-${ARG_ALONE}" PROPERTIES ${properties} RESOURCE_GROUPS cores:1)
  endif()
  if(ARG_ALONE)
    gtest_discover_tests(${name} ${discovery} TEST_FILTER "${ARG_ALONE}" PROPERTIES ${properties} RUN_SERIAL TRUE)
  endif()
endfunction()
