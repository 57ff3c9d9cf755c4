# CMake toolchain of the chain's GCC for one target; toolchain-<arch>.cmake sets CROSS_TRIPLET and includes this.
#
# CROSS_PREFIX, in the environment, lists folders (by colon) with more of the target: what was built for it before.
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR "${CROSS_TRIPLET}")
get_filename_component(CROSS_GCC "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
set(CMAKE_C_COMPILER "${CROSS_GCC}/bin/${CROSS_TRIPLET}-gcc")
set(CMAKE_CXX_COMPILER "${CROSS_GCC}/bin/${CROSS_TRIPLET}-g++")
set(CMAKE_ASM_COMPILER "${CMAKE_C_COMPILER}")
foreach(tool STRIP OBJCOPY OBJDUMP READELF)
    string(TOLOWER "${tool}" name)
    set(CMAKE_${tool} "${CROSS_GCC}/bin/${CROSS_TRIPLET}-${name}")
endforeach()
# Those of GCC, which know the objects of link-time optimisation.
set(CMAKE_AR "${CROSS_GCC}/bin/${CROSS_TRIPLET}-gcc-ar")
set(CMAKE_NM "${CROSS_GCC}/bin/${CROSS_TRIPLET}-gcc-nm")
set(CMAKE_RANLIB "${CROSS_GCC}/bin/${CROSS_TRIPLET}-gcc-ranlib")
set(CMAKE_LINKER "${CROSS_GCC}/bin/${CROSS_TRIPLET}-ld")
set(CMAKE_LIBRARY_ARCHITECTURE "${CROSS_TRIPLET}")
set(PKG_CONFIG_EXECUTABLE "${CROSS_GCC}/bin/${CROSS_TRIPLET}-pkg-config")

# Programs run here; everything else must be the target's, never what the build image happens to have.
string(REPLACE ":" ";" CMAKE_FIND_ROOT_PATH "${CROSS_GCC}/${CROSS_TRIPLET}:$ENV{CROSS_PREFIX}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
