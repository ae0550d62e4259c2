# Writes a C file with the contents of a file as an array. Called by Embed.cmake.
#
#   cmake -D INPUT=… -D OUTPUT=….c -D SYMBOL=embedded_name -D HEADER=http/api/embedded.h -P EmbedFile.cmake
#
# Defines `const char SYMBOL[]`, terminated, and `const size_t SYMBOL_length` without the terminator.
# INPUT may be a list "A;B"; the files are joined.

set(bytes "")
foreach(file IN LISTS INPUT)
  file(READ "${file}" part HEX)
  string(APPEND bytes "${part}")
endforeach()
string(LENGTH "${bytes}" digits)
math(EXPR length "${digits} / 2")
# Sixteen bytes per line, as character constants, which are correct for signed and unsigned char.
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," array "${bytes}")
string(REPEAT "......." 16 line)
string(REGEX REPLACE "(${line})" "\\1\n    " array "${array}")

file(WRITE "${OUTPUT}" "// Generated from ${SYMBOL}'s source file; do not edit.
#include \"${HEADER}\"

const char ${SYMBOL}[] = {
    ${array}'\\0'};
const size_t ${SYMBOL}_length = ${length};
")
