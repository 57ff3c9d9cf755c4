# CMake toolchain: the chain's own GCC for one target. Reads GCC_VERSION and TARGET_TRIPLET from the
# environment.
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR "$ENV{TARGET_TRIPLET}")
set(gcc "/opt/gcc-$ENV{GCC_VERSION}")
set(CMAKE_C_COMPILER "${gcc}/bin/$ENV{TARGET_TRIPLET}-gcc")
set(CMAKE_CXX_COMPILER "${gcc}/bin/$ENV{TARGET_TRIPLET}-g++")
set(CMAKE_ASM_COMPILER "${CMAKE_C_COMPILER}")
foreach(tool AR RANLIB STRIP NM OBJCOPY OBJDUMP READELF)
    string(TOLOWER "${tool}" name)
    set(CMAKE_${tool} "${gcc}/bin/$ENV{TARGET_TRIPLET}-${name}")
endforeach()
set(CMAKE_LINKER "${gcc}/bin/$ENV{TARGET_TRIPLET}-ld")
set(CMAKE_LIBRARY_ARCHITECTURE "$ENV{TARGET_TRIPLET}")

# Programs run here; everything else must be the target's, never what the build host happens to have.
set(CMAKE_FIND_ROOT_PATH "${gcc}/$ENV{TARGET_TRIPLET}" "$ENV{VULKAN_PREFIX}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
