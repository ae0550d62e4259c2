# Writes a C file with every migration, so that the program contains its own schema.
#
#   cmake -D SOURCE=migrations -D OUTPUT=migrations.c -P EmbedMigrations.cmake
#
# It must run again whenever a file in migrations/ or migrations/lab/ changes.
include(${CMAKE_CURRENT_LIST_DIR}/EmbedBytes.cmake)

function(embed folder list ret_code)
    file(GLOB files LIST_DIRECTORIES false "${folder}/*.sql")
    list(SORT files)
    set(arrays "")
    set(entries "")
    set(last 0)
    foreach(file IN LISTS files)
        get_filename_component(name "${file}" NAME_WE)
        if(NOT name MATCHES "^([0-9][0-9][0-9][0-9])_[a-z0-9_]+$")
            message(FATAL_ERROR "${file}: expected NNNN_name.sql")
        endif()
        string(REGEX REPLACE "^0+" "" version "${CMAKE_MATCH_1}")
        if(NOT version GREATER last)
            message(FATAL_ERROR "${file}: version ${version} is a duplicate, or is 0")
        endif()
        set(last "${version}")
        foreach(part up down)
            file(STRINGS "${file}" mark REGEX "^-- ${part}$")
            if(NOT mark STREQUAL "-- ${part}")
                message(FATAL_ERROR "${file}: expected one line `-- ${part}`")
            endif()
        endforeach()

        file(READ "${file}" bytes HEX)
        holdfast_bytes("${bytes}" bytes length)
        string(APPEND arrays "static const char ${list}_${name}[] = {\n    ${bytes}'\\0'};\n\n")
        string(APPEND entries "    {${version}, \"${name}\", ${list}_${name}},\n")
    endforeach()
    set(${ret_code}
        "${arrays}const struct migration ${list}[] = {\n${entries}    {0, NULL, NULL},\n};\n"
        PARENT_SCOPE)
endfunction()

embed("${SOURCE}" migrations core)
embed("${SOURCE}/lab" lab_migrations lab)
file(WRITE "${OUTPUT}" "// Generated from migrations/ by cmake/EmbedMigrations.cmake.
#include \"store/migrate/migrate.h\"

#include <stddef.h>

${core}
${lab}")
