# The kernels: tools/kernelgen makes a table with their sources, and a C++ file of each for the host driver, which takes
# clang 17 or newer.  Without one, `--device host` says so and everything else is as it was.  docs/kernels.md.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_program(VMT_KERNEL_CLANG NAMES clang++-19 clang-19 clang++-20 clang-20 clang++-18 clang-18 clang++-17 clang-17
  clang++ clang DOC "compiles kernels for the host driver; clang 17 or newer")
set(VMT_HAS_HOST_KERNELS OFF)
if(VMT_KERNEL_CLANG AND NOT APPLE)
  execute_process(COMMAND ${VMT_KERNEL_CLANG} -dumpversion OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(version VERSION_GREATER_EQUAL 17)
    set(VMT_HAS_HOST_KERNELS ON)
  endif()
endif()
if(NOT VMT_HAS_HOST_KERNELS)
  message(STATUS "no clang 17 or newer: the host driver, which tests the GPU's kernels on the CPU, is left out")
endif()

# A sanitizer sees plain pointers only; other builds have the compiler check address spaces.
set(VMT_KERNEL_FLAGS -std=c++17 -O2 -g1 -fPIC -fno-exceptions -fno-rtti -nostdinc++ -fno-math-errno -ffp-contract=off
  -fsigned-char -fno-strict-aliasing -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-parameter
  -Wno-unused-const-variable -Wno-pass-failed -I${CMAKE_SOURCE_DIR}/src)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  list(APPEND VMT_KERNEL_FLAGS -mavx2 -mfma -mf16c)
endif()
if(VMT_SANITIZE)
  list(APPEND VMT_KERNEL_FLAGS -fsanitize=${VMT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    -fno-sanitize=function,vptr -O1)
else()
  list(APPEND VMT_KERNEL_FLAGS -DVMT_ADDRESS_SPACES)
endif()

# vmt_kernels(table out_sources out_objects [embed...] FILES files...): vmt_<table>[] and the objects of the host.
function(vmt_kernels table out_sources out_objects)
  cmake_parse_arguments(ARG "" "" "EMBED;FILES" ${ARGN})
  set(dir ${CMAKE_BINARY_DIR}/kernels)
  set(made ${dir}/${table}.c)
  set(objects)
  foreach(file ${ARG_FILES})
    get_filename_component(stem ${file} NAME_WE)
    list(APPEND made ${dir}/${stem}.host.cpp)
  endforeach()
  set(embed)
  foreach(text ${ARG_EMBED})
    list(APPEND embed --embed ${text})
  endforeach()
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/*.h ${CMAKE_SOURCE_DIR}/src/backend/cuda/*.h
    ${CMAKE_SOURCE_DIR}/src/backend/*kargs.h)
  add_custom_command(OUTPUT ${made}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/kernelgen --out ${dir} --table ${table}
      --cc ${CMAKE_C_COMPILER} --include ${CMAKE_SOURCE_DIR}/src/kernels --include ${CMAKE_SOURCE_DIR}/src/backend
      --cuda-include ${CMAKE_SOURCE_DIR}/src/backend/cuda ${embed} ${ARG_FILES}
    DEPENDS ${CMAKE_SOURCE_DIR}/tools/kernelgen ${headers} ${ARG_FILES}
    COMMENT "kernels: ${table}" VERBATIM)
  if(VMT_HAS_HOST_KERNELS)
    foreach(file ${ARG_FILES})
      get_filename_component(stem ${file} NAME_WE)
      add_custom_command(OUTPUT ${dir}/${stem}.host.o
        COMMAND ${VMT_KERNEL_CLANG} ${VMT_KERNEL_FLAGS} -c ${dir}/${stem}.host.cpp -o ${dir}/${stem}.host.o
        DEPENDS ${dir}/${stem}.host.cpp ${CMAKE_SOURCE_DIR}/src/backend/host/shim.h
          ${CMAKE_SOURCE_DIR}/src/backend/host/lane.h
        COMMENT "kernels: ${stem} for the host" VERBATIM)
      list(APPEND objects ${dir}/${stem}.host.o)
    endforeach()
    set_source_files_properties(${dir}/${table}.c PROPERTIES COMPILE_DEFINITIONS VMT_HOST_KERNELS)
  endif()
  set(${out_sources} ${dir}/${table}.c PARENT_SCOPE)
  set(${out_objects} ${objects} PARENT_SCOPE)
endfunction()

file(GLOB VMT_METAL_FILES CONFIGURE_DEPENDS src/kernels/*.metal)
vmt_kernels(kernel_table VMT_KERNEL_SOURCES VMT_KERNEL_OBJECTS
  EMBED vmt_cuda_shim=${CMAKE_SOURCE_DIR}/src/backend/cuda/shim.h FILES ${VMT_METAL_FILES})
if(VMT_TESTS)
  vmt_kernels(test_kernels VMT_TEST_KERNEL_SOURCES VMT_TEST_KERNEL_OBJECTS
    FILES ${CMAKE_SOURCE_DIR}/src/backend/test_kernels.metal ${CMAKE_SOURCE_DIR}/src/backend/fault_kernels.metal)
endif()
