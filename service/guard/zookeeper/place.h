// Who stands where in a queue of sequential nodes.
#pragma once

struct String_vector;

#define ZOOKEEPER_TAG_LENGTH 33 // an owner of 32 characters, and the attempt
#define ZOOKEEPER_NODE_MAX 56   // tag, a dash, and a sequence number

// Among the children of a queue: the node with this tag, "" if it is not there, and the one right
// before it, "" if it is the first. Both of ZOOKEEPER_NODE_MAX bytes. Foreign names are passed
// over.
void zookeeper_find_place(const struct String_vector *children, const char *tag, char *ret_own,
                          char *ret_ahead);
