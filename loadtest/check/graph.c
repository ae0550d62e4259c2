// Finds the cycles of a large graph: Tarjan's algorithm without recursion, because a chain of a
// million nodes would exhaust the stack. It finds each part in which every node reaches every
// other; a part of one node is no cycle. A breadth-first search within a part then finds a cycle to
// show.
#include "check/graph.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define ROOM_FOR_SMALL_PARTS 4096 // nodes: a small part of a small graph is searched from each

bool graph_init(struct graph *graph, size_t n_nodes, graph_edges *edges, void *arg)
{
    *graph = (struct graph){.n_nodes = (uint32_t)n_nodes};
    if (n_nodes >= NONE)
        return false;
    graph->first = calloc(n_nodes + 1, sizeof *graph->first);
    if (graph->first == NULL)
        return false;
    edges(arg, graph);
    size_t n_edges = 0; // first[i] becomes the end of node i's edges, and then their beginning
    for (size_t i = 0; i < n_nodes; i++) {
        n_edges += graph->first[i];
        graph->first[i] = (uint32_t)n_edges;
    }
    graph->first[n_nodes] = (uint32_t)n_edges;
    if (n_edges < NONE)
        graph->targets = calloc(n_edges + 1, sizeof *graph->targets);
    if (graph->targets == NULL) {
        graph_release(graph);
        return false;
    }
    edges(arg, graph);
    return true;
}

void graph_release(struct graph *graph)
{
    free(graph->first);
    free(graph->targets);
    *graph = (struct graph){0};
}

void graph_add(struct graph *graph, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    if (graph->targets == NULL)
        graph->first[from]++;
    else
        graph->targets[--graph->first[from]] = to;
}

// ---- the parts ----------------------------------------------------------------------------------

// A node whose edges are being followed.
struct frame {
    uint32_t node, edge; // the next edge
};

struct search {
    const struct graph *graph;
    uint32_t n_counted;
    graph_cycle *found;
    void *arg;
    uint32_t *order; // of discovery, from 1; 0: not yet discovered; NONE: its part is complete
    uint32_t *low;   // the first node that is known to be reachable; of a complete part: its first
    uint32_t *open;  // nodes whose parts are not complete, in the order of discovery
    struct frame *frames;
    size_t n_open, n_frames;
    uint32_t discovered;
    // For the breadth-first search.
    uint32_t *before; // the node from which it was reached; NONE: not reached
    uint32_t *nodes, *next;
    size_t budget; // nodes that may still be visited to find shorter cycles
};

static void discover(struct search *search, uint32_t node)
{
    search->order[node] = search->low[node] = ++search->discovered;
    search->open[search->n_open++] = node;
    search->frames[search->n_frames++] = (struct frame){node, search->graph->first[node]};
}

static void lower(struct search *search, uint32_t node, uint32_t order)
{
    if (order < search->low[node])
        search->low[node] = order;
}

static void show_cycle(struct search *search, const uint32_t *part, size_t n);

// Takes the nodes of a complete part off the list of open ones. `root` was discovered first.
static void complete(struct search *search, uint32_t root)
{
    size_t from = search->n_open, number = search->order[root];
    do {
        uint32_t node = search->open[--from];
        search->order[node] = NONE;
        search->low[node] = (uint32_t)number;
    } while (search->open[from] != root);
    if (search->n_open - from > 1)
        show_cycle(search, search->open + from, search->n_open - from);
    search->n_open = from;
}

static void follow(struct search *search, uint32_t start)
{
    const struct graph *graph = search->graph;
    discover(search, start);
    while (search->n_frames > 0) {
        struct frame *frame = &search->frames[search->n_frames - 1];
        uint32_t node = frame->node;
        if (frame->edge < graph->first[node + 1]) {
            uint32_t target = graph->targets[frame->edge++];
            if (search->order[target] == 0)
                discover(search, target);
            else
                lower(search, node, search->order[target]);
            continue;
        }
        search->n_frames--;
        bool is_root = search->low[node] == search->order[node];
        if (search->n_frames > 0)
            lower(search, search->frames[search->n_frames - 1].node, search->low[node]);
        if (is_root)
            complete(search, node);
    }
}

// ---- a short cycle ------------------------------------------------------------------------------

// Searches a cycle through `start` within its part. Returns how many counted nodes it has.
// ret_last: the node before `start`, from which `before` leads back to it.
static size_t find_cycle(struct search *search, const uint32_t *part, size_t n, uint32_t start,
                         uint32_t *ret_last)
{
    const struct graph *graph = search->graph;
    size_t n_nodes = 1, n_next = 0;
    for (size_t i = 0; i < n; i++)
        search->before[part[i]] = NONE;
    search->nodes[0] = start;
    for (size_t length = 1;; length++) {
        for (size_t i = 0; i < n_nodes; i++) {
            uint32_t node = search->nodes[i];
            for (uint32_t at = graph->first[node]; at < graph->first[node + 1]; at++) {
                uint32_t target = graph->targets[at];
                if (target == start) {
                    *ret_last = node;
                    return length;
                }
                if (search->order[target] != NONE || search->low[target] != search->low[start] ||
                    search->before[target] != NONE)
                    continue;
                search->before[target] = node;
                if (target < search->n_counted)
                    search->next[n_next++] = target;
                else
                    search->nodes[n_nodes++] = target;
            }
        }
        uint32_t *swapped = search->nodes;
        search->nodes = search->next;
        search->next = swapped;
        n_nodes = n_next;
        n_next = 0;
    }
}

static void show_cycle(struct search *search, const uint32_t *part, size_t n)
{
    uint32_t last = NONE, best = NONE;
    size_t shortest = SIZE_MAX;
    for (size_t i = 0; i < n && shortest > 2; i++) {
        if (part[i] >= search->n_counted)
            continue;
        if (best != NONE && search->budget < n)
            break;
        search->budget -= best != NONE ? n : 0;
        size_t length = find_cycle(search, part, n, part[i], &last);
        if (length < shortest) {
            shortest = length;
            best = part[i];
        }
    }
    (void)find_cycle(search, part, n, best, &last);
    size_t at = n;
    for (uint32_t node = last; node != best; node = search->before[node])
        search->next[--at] = node;
    search->next[--at] = best;
    search->found(search->arg, search->next + at, n - at);
}

static void *array(size_t n, size_t size)
{
    return calloc(n > 0 ? n : 1, size);
}

bool graph_find_cycles(const struct graph *graph, uint32_t n_counted, graph_cycle *found, void *arg)
{
    size_t n = graph->n_nodes;
    struct search search = {
        .graph = graph,
        .n_counted = n_counted,
        .found = found,
        .arg = arg,
        .order = array(n, sizeof *search.order),
        .low = array(n, sizeof *search.low),
        .open = array(n, sizeof *search.open),
        .frames = array(n, sizeof *search.frames),
        .before = array(n, sizeof *search.before),
        .nodes = array(n, sizeof *search.nodes),
        .next = array(n, sizeof *search.next),
        .budget = 4 * n + ROOM_FOR_SMALL_PARTS,
    };
    bool ready = search.order != NULL && search.low != NULL && search.open != NULL &&
                 search.frames != NULL && search.before != NULL && search.nodes != NULL &&
                 search.next != NULL;
    for (uint32_t i = 0; ready && i < n; i++) {
        if (search.order[i] == 0)
            follow(&search, i);
    }
    free(search.order);
    free(search.low);
    free(search.open);
    free(search.frames);
    free(search.before);
    free(search.nodes);
    free(search.next);
    return ready;
}
