# Writes a C file with the contents of a file as an array. Called by Embed.cmake.
#
#   cmake -D INPUT=… -D OUTPUT=….c -D SYMBOL=embedded_name -D HEADER=http/api/embedded.h -P EmbedFile.cmake
#
# Defines `const char SYMBOL[]`, terminated, and `const size_t SYMBOL_length` without the terminator.
# INPUT may be a list "A;B"; the files are joined.
include(${CMAKE_CURRENT_LIST_DIR}/EmbedBytes.cmake)

set(bytes "")
foreach(file IN LISTS INPUT)
  file(READ "${file}" part HEX)
  string(APPEND bytes "${part}")
endforeach()
holdfast_bytes("${bytes}" array length)

file(WRITE "${OUTPUT}" "// Generated from ${SYMBOL}'s source file; do not edit.
#include \"${HEADER}\"

const char ${SYMBOL}[] = {
    ${array}'\\0'};
const size_t ${SYMBOL}_length = ${length};
")
