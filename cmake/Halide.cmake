# Halide's own CMake package asks for CMake 3.28; Debian 12 has 3.25. The unpacked wheel is declared by hand.
set(HALIDE_ROOT ${PROJECT_SOURCE_DIR}/third_party/halide CACHE PATH "folder with include/Halide.h and lib64/libHalide.so")
if(NOT EXISTS ${HALIDE_ROOT}/include/Halide.h)
  message(FATAL_ERROR "Halide is not in ${HALIDE_ROOT}; run scripts/setup, or set HALIDE_ROOT")
endif()
add_library(Halide::Halide SHARED IMPORTED)
set_target_properties(Halide::Halide PROPERTIES
  IMPORTED_LOCATION ${HALIDE_ROOT}/lib64/libHalide.so
  INTERFACE_INCLUDE_DIRECTORIES ${HALIDE_ROOT}/include)
