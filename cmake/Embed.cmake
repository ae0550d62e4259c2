# Embeds files into a program, so that it needs no files at run time.
#
#   holdfast_embed(TARGET INPUT SYMBOL HEADER)
#
# Compiles INPUT into TARGET as `const char SYMBOL[]`, terminated, and `const size_t SYMBOL_length`
# without the terminator. HEADER declares both. INPUT may be a list "A;B": the files are joined.
function(holdfast_embed target input symbol header)
  set(files "")
  foreach(file IN LISTS input)
    get_filename_component(file "${file}" ABSOLUTE)
    list(APPEND files "${file}")
  endforeach()
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -D "INPUT=${files}" -D OUTPUT=${output} -D SYMBOL=${symbol}
      -D HEADER=${header} -P ${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake
      ${PROJECT_SOURCE_DIR}/cmake/EmbedBytes.cmake VERBATIM)
  holdfast_generated(${target} ${output})
endfunction()

# holdfast_embed_pages(TARGET SYMBOL TEMPLATE FILES...)
#
# Compiles FILES into TARGET as `const struct embedded_page SYMBOL[]`. EmbedPages.cmake tells how. CMake
# must run again for a new or deleted file, so glob FILES with CONFIGURE_DEPENDS.
function(holdfast_embed_pages target symbol template)
  find_program(HOLDFAST_CMARK cmark-gfm REQUIRED)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -D "INPUT=${ARGN}" -D OUTPUT=${output} -D SYMBOL=${symbol}
      -D CMARK=${HOLDFAST_CMARK} -D TEMPLATE=${template}
      -P ${PROJECT_SOURCE_DIR}/cmake/EmbedPages.cmake
    DEPENDS ${ARGN} ${template} ${PROJECT_SOURCE_DIR}/cmake/EmbedPages.cmake
      ${PROJECT_SOURCE_DIR}/cmake/EmbedBytes.cmake VERBATIM)
  holdfast_generated(${target} ${output})
endfunction()

# Adds a generated source to a target of any folder. An object library of this folder compiles it,
# because before CMake 3.20 other folders do not know that the file will be generated.
function(holdfast_generated target output)
  get_filename_component(name ${output} NAME_WE)
  add_library(${target}_${name} OBJECT ${output})
  target_include_directories(${target}_${name} PRIVATE
    $<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>
    ${PROJECT_SOURCE_DIR}/service)
  target_link_libraries(${target}_${name} PRIVATE holdfast_flags)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${name}>)
endfunction()
