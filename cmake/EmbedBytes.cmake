# Included by the scripts that write C files: turns hexadecimal digits into the elements of an array.
#
#   holdfast_bytes(DIGITS RET_ARRAY RET_LENGTH)
#
# Sixteen bytes per line, as character constants, which are correct for signed and unsigned char. No
# quote, backslash or limit of a string literal's length matters. The caller adds a terminator.
cmake_minimum_required(VERSION 3.18)

function(holdfast_bytes digits ret_array ret_length)
  string(LENGTH "${digits}" length)
  math(EXPR length "${length} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," array "${digits}")
  string(REPEAT "......." 16 line)
  string(REGEX REPLACE "(${line})" "\\1\n    " array "${array}")
  set(${ret_array} "${array}" PARENT_SCOPE)
  set(${ret_length} "${length}" PARENT_SCOPE)
endfunction()
