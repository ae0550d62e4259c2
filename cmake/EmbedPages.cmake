# Writes a C file with a table of files that the service serves to browsers. Called by Embed.cmake.
#
#   cmake -D "INPUT=A;B" -D OUTPUT=….c -D SYMBOL=embedded_pages -D CMARK=… -D TEMPLATE=guide.html
#         -P EmbedPages.cmake
#
# The name decides about the address: index.html is served at /, lab.html at /lab, README.md at /guide,
# lost-update.md at /guide/lost-update, redis_lock.c at /guide/redis_lock, and everything else at
# /web/NAME. Of a C file the page is the essay that it begins with. Markdown becomes HTML, by cmark-gfm,
# and is put into TEMPLATE, whose @title@, @name@ and @article@ are replaced.
include(${CMAKE_CURRENT_LIST_DIR}/EmbedBytes.cmake)

set(type_.html "text/html; charset=utf-8")
set(type_.md "text/html; charset=utf-8")
set(type_.c "text/html; charset=utf-8")
set(type_.css "text/css; charset=utf-8")
set(type_.js "text/javascript; charset=utf-8")
set(type_.mjs "text/javascript; charset=utf-8")
set(type_.txt "text/plain; charset=utf-8")

# Puts each table into a region that scrolls and that the keyboard can reach. Each has another name.
function(wrap_tables article ret_article)
  set(done "")
  set(n 0)
  string(FIND "${article}" "<table>" at)
  while(NOT at EQUAL -1)
    math(EXPR n "${n} + 1")
    string(SUBSTRING "${article}" 0 ${at} before)
    math(EXPR at "${at} + 7")
    string(SUBSTRING "${article}" ${at} -1 article)
    string(APPEND done "${before}<div class=\"wide\" role=\"region\" aria-label=\"Table ${n}\" tabindex=\"0\"><table>")
    string(FIND "${article}" "<table>" at)
  endwhile()
  string(REPLACE "</table>" "</table></div>" article "${article}")
  set(${ret_article} "${done}${article}" PARENT_SCOPE)
endfunction()

# The essay at the beginning of a strategy's file as Markdown: a line that an indented one follows is a
# heading.
function(write_essay file markdown)
  file(READ "${file}" text)
  string(REGEX MATCH "^(//[^\n]*\n)+" text "${text}")
  string(REGEX REPLACE "\n// ?" "\n" text "\n${text}")
  string(REGEX REPLACE "\n([A-Z][^\n]*)\n  " "\n## \\1\n\n  " text "${text}")
  string(REGEX REPLACE "\n  ([^ ])" "\n\\1" text "${text}")
  string(REGEX REPLACE "^\n([a-z-]+): " "# \\1\n\n`\\1`: " text "${text}")
  file(WRITE "${markdown}" "${text}")
endfunction()

# Links between guide pages become addresses of the service. A link to a file of the repository, which
# the service does not have, becomes its text.
function(render file name ret_html)
  execute_process(COMMAND "${CMARK}" --extension table --to html "${file}"
    OUTPUT_VARIABLE article RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${file}: ${CMARK} has failed: ${result}")
  endif()
  if(NOT article MATCHES "<h1>(([^<]|<code>|</code>)*)</h1>")
    message(FATAL_ERROR "${file}: expected a heading of the first level")
  endif()
  string(REGEX REPLACE "</?code>" "" title "${CMAKE_MATCH_1}")
  string(REGEX REPLACE "href=\"README\\.md" "href=\"/guide" article "${article}")
  string(REGEX REPLACE "href=\"([a-z0-9-]+)\\.md" "href=\"/guide/\\1" article "${article}")
  string(REGEX REPLACE "href=\"\\.\\./service/guard/strategy/([a-z_]+)\\.c\"" "href=\"/guide/\\1\"" article "${article}")
  string(REGEX REPLACE "<a href=\"\\.\\./[^\"]*\">(([^<]|<code>|</code>)*)</a>" "\\1" article "${article}")
  string(REPLACE "<th></th>" "<td></td>" article "${article}")
  wrap_tables("${article}" article)
  string(REPLACE "<pre>" "<pre tabindex=\"0\">" article "${article}")
  file(READ "${TEMPLATE}" html)
  string(REPLACE "@title@" "${title}" html "${html}")
  string(REPLACE "@name@" "${name}" html "${html}")
  string(REPLACE "@article@" "${article}" html "${html}")
  set(${ret_html} "${html}" PARENT_SCOPE)
endfunction()

set(arrays "")
set(entries "")
set(n 0)
foreach(file IN LISTS INPUT)
  get_filename_component(base "${file}" NAME)
  get_filename_component(name "${file}" NAME_WLE)
  get_filename_component(suffix "${file}" LAST_EXT)
  if(NOT DEFINED type_${suffix})
    message(FATAL_ERROR "${file}: which media type has ${suffix}?")
  endif()
  set(path "/web/${base}")
  if(base STREQUAL "index.html")
    set(path "/")
  elseif(base STREQUAL "README.md")
    set(path "/guide")
  elseif(suffix STREQUAL ".html")
    set(path "/${name}")
  elseif(suffix STREQUAL ".md" OR suffix STREQUAL ".c")
    set(path "/guide/${name}")
  endif()
  if(suffix STREQUAL ".md")
    string(REPLACE "README" "" name "${name}")
    render("${file}" "${name}" html)
    string(HEX "${html}" digits)
  elseif(suffix STREQUAL ".c")
    write_essay("${file}" "${OUTPUT}.md")
    render("${OUTPUT}.md" "" html)
    string(HEX "${html}" digits)
  else()
    file(READ "${file}" digits HEX)
  endif()
  string(SHA256 tag "${digits}")
  string(SUBSTRING "${tag}" 0 15 tag)
  holdfast_bytes("${digits}" array length)
  math(EXPR n "${n} + 1")
  string(APPEND arrays "static const char page_${n}[] = { // ${path}\n    ${array}'\\0'};\n\n")
  string(APPEND entries "    {\"${path}\", \"${type_${suffix}}\", {page_${n}, ${length}}, 0x${tag}},\n")
endforeach()

file(WRITE "${OUTPUT}" "// Generated by cmake/EmbedPages.cmake; do not edit.
#include \"http/api/embedded.h\"

${arrays}const struct embedded_page ${SYMBOL}[] = {
${entries}    {NULL, NULL, {NULL, 0}, 0},
};
")
