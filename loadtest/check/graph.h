// A directed graph of millions of nodes, and the search for its cycles in linear time.
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graph {
    uint32_t n_nodes;
    uint32_t *first; // of each node: the first of its edges, which end where the next node's begin
    uint32_t *targets; // of the edges; NULL while the edges are counted
};

// Adds every edge by graph_add. It is called twice, to count them and to keep them, and must add
// the same edges both times.
typedef void graph_edges(void *arg, struct graph *graph);

// False: out of memory, or more than 2^32 - 2 nodes or edges.
MUST_CHECK bool graph_init(struct graph *graph, size_t n_nodes, graph_edges *edges, void *arg);
void graph_release(struct graph *graph); // a zeroed one is fine

// An edge from a node to itself is not added.
void graph_add(struct graph *graph, uint32_t from, uint32_t to);

// A cycle: each node has an edge to the next one, and the last one to the first. Borrowed.
typedef void graph_cycle(void *arg, const uint32_t *nodes, size_t n);

// Calls `found` with one cycle of each part of the graph in which every node reaches every other.
// The cycle is a short one: the shortest through one of the part's nodes, or through several of
// them as long as the search stays linear in the graph. Its length counts the nodes below
// `n_counted` only, and one of them is in every cycle. False: out of memory.
MUST_CHECK bool graph_find_cycles(const struct graph *graph, uint32_t n_counted, graph_cycle *found,
                                  void *arg);
