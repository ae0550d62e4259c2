// The rule `order-across-counters`: all changes and readings have one order, which agrees with the
// versions of every counter and with real time (strict serializability).
//
// The operations are the nodes of a graph. An edge says "before". Along each counter the change to
// v has an edge to each reading of v, and these to the change to v + 1. For real time there is a
// chain of moments, one for each answer: an operation has an edge to the moment of its answer, and
// the last moment before an operation was sent has an edge to it. So there are a few edges for each
// operation, and a path exactly from what was answered to what was sent afterwards. An order exists
// if the graph has no cycle.
//
// A refusal that names several counters tells the state of each at a moment of its own: it was
// right for each of them, and has changed none.
//
// A cycle on one counter is for real-time-order; this rule then says that it proves nothing. Of a
// version that exists twice only the first row is used; versions-without-gap reports it.
#include "check/finding.h"
#include "check/graph.h"
#include "check/rules.h"

#include "base/text.h"

#include <stdlib.h>

#define CLAUSES_MAX_BYTES 180 // of a sentence; then one more clause still fits

// The nodes are numbered: operations, then readings, then moments.
struct order {
    struct check *check;
    const struct evidence *evidence;
    uint32_t first_reading, first_moment;
    int64_t *moments; // ascending
    size_t n_moments;
    int64_t looked_at;
    bool one_counter; // a cycle was left to real-time-order
    bool failed;      // out of memory
};

// ---- the edges ----------------------------------------------------------------------------------

// How many answers came before this time.
static size_t count_moments(const struct order *order, int64_t ns)
{
    size_t from = 0, end = order->n_moments;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (order->moments[middle] < ns)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

// What is done with each operation and each reading.
typedef void node_visit(struct order *order, struct graph *graph, uint32_t node, int64_t begin_ns,
                        int64_t finish_ns);

static void for_each_node(struct order *order, struct graph *graph, node_visit *visit)
{
    const struct evidence *evidence = order->evidence;
    for (size_t i = 0; i < evidence->n_operations; i++) {
        const struct operation *operation = &evidence->operations[i];
        if (evidence_has_effect(evidence, operation))
            visit(order, graph, (uint32_t)i, evidence_begin_ns(evidence, operation),
                  evidence_finish_ns(evidence, operation));
    }
    for (size_t i = 0; i < evidence->n_readings; i++) {
        uint32_t attempt = evidence->readings[i].attempt;
        const struct attempt *told = &evidence->history->attempts[attempt];
        visit(order, graph, order->first_reading + (uint32_t)i, told->invoke_ns, told->complete_ns);
    }
}

static void collect_moment(struct order *order, struct graph *graph, uint32_t node,
                           int64_t begin_ns, int64_t finish_ns)
{
    (void)graph, (void)node, (void)begin_ns;
    order->looked_at++;
    if (finish_ns != HISTORY_NEVER)
        order->moments[order->n_moments++] = finish_ns;
}

static void add_times(struct order *order, struct graph *graph, uint32_t node, int64_t begin_ns,
                      int64_t finish_ns)
{
    size_t before = count_moments(order, begin_ns);
    if (before > 0)
        graph_add(graph, order->first_moment + (uint32_t)before - 1, node);
    if (finish_ns != HISTORY_NEVER)
        graph_add(graph, node, order->first_moment + (uint32_t)count_moments(order, finish_ns));
}

// The operation of the first of these rows that has one, or NOTHING: an administrator's change has
// no node, so what surrounds it stays unordered.
static uint32_t operation_of(const struct evidence *evidence, uint32_t from, uint32_t end)
{
    uint32_t operation = NOTHING;
    for (uint32_t at = from; at < end && operation == NOTHING; at++)
        operation = evidence->operation_of_row[evidence->rows[at]];
    return operation;
}

static void add_versions(const struct order *order, struct graph *graph, size_t counter)
{
    const struct evidence *evidence = order->evidence;
    const struct reading *readings = evidence->readings;
    struct range rows = evidence_rows_above(evidence, counter);
    struct range all = evidence_readings(evidence, counter);
    int64_t version = evidence->baselines[counter];
    uint32_t place = rows.from, at = all.from, change = NOTHING;
    while (at < all.end && readings[at].version < version)
        at++;
    uint32_t first = at; // the first reading since the change
    for (;;) {
        for (; at < all.end && readings[at].version == version; at++) {
            if (change != NOTHING)
                graph_add(graph, change, order->first_reading + at);
        }
        if (place == rows.end)
            return;
        version = evidence_row(evidence, place)->version;
        uint32_t end = evidence_version_end(evidence, place, rows.end);
        uint32_t next = operation_of(evidence, place, end);
        place = end;
        if (next != NOTHING) {
            if (change != NOTHING)
                graph_add(graph, change, next);
            for (; first < at; first++)
                graph_add(graph, order->first_reading + first, next);
            change = next;
        }
        // A version that does not exist: readings-true reports it.
        while (at < all.end && readings[at].version < version)
            at++;
        first = next != NOTHING ? at : first;
    }
}

static void add_edges(void *arg, struct graph *graph)
{
    struct order *order = arg;
    for_each_node(order, graph, add_times);
    for (uint32_t i = 1; i < order->n_moments; i++)
        graph_add(graph, order->first_moment + i - 1, order->first_moment + i);
    for (size_t i = 0; i < order->evidence->history->head.n_counters; i++)
        add_versions(order, graph, i);
}

// ---- the report ---------------------------------------------------------------------------------

// A counter that an operation changed or a reading read.
struct state {
    size_t counter;
    int64_t version;
    uint32_t row; // NOTHING: a reading
};

// Why a node of a cycle comes before the next one.
struct step {
    uint32_t node, next;
    bool in_time; // by real time; if not, by the versions of one counter:
    struct state from, to;
};

// The attempt of a reading's node.
static uint32_t attempt_of(const struct order *order, uint32_t node)
{
    return order->evidence->readings[node - order->first_reading].attempt;
}

// The node's i-th state. False: it has fewer.
static bool get_state(const struct order *order, uint32_t node, uint32_t i, struct state *ret_state)
{
    const struct evidence *evidence = order->evidence;
    if (node < order->first_reading) {
        uint32_t place = evidence->operations[node].effects.from + i;
        if (place >= evidence->operations[node].effects.end)
            return false;
        const struct ledger_row *row = evidence_effect(evidence, place);
        *ret_state = (struct state){row->counter, row->version, evidence->effects[place]};
        return true;
    }
    const struct reading *reading = &evidence->readings[node - order->first_reading];
    *ret_state = (struct state){reading->counter, reading->version, NOTHING};
    return i == 0;
}

// Whether `one` is before `two` by the versions of their counter. Readings of one version have no
// order.
static bool is_before(const struct state *one, const struct state *two)
{
    return one->counter == two->counter && one->counter != SIZE_MAX &&
           (one->version < two->version ||
            (one->version == two->version && one->row != NOTHING && two->row == NOTHING));
}

// Whether the node has a state behind this one, on the same counter.
static bool find_behind(const struct order *order, const struct state *from, uint32_t node,
                        struct state *ret_to)
{
    for (uint32_t i = 0; get_state(order, node, i, ret_to); i++) {
        if (is_before(from, ret_to))
            return true;
    }
    return false;
}

// The operations and readings of a cycle, without its moments.
struct walk {
    const struct order *order;
    uint32_t *nodes;
    bool *in_time; // whether a moment stands between the node and the next one
    size_t n;
    size_t counter; // of the first step by versions; SIZE_MAX: none yet
    bool several;   // the steps lead over more than one counter
};

// Fills in the longest step by versions from node `at`: the order of one counter's versions is
// transitive, so the nodes between need not be shown. Returns where it ends.
static size_t step_far(struct walk *walk, size_t at, struct step *step)
{
    size_t best = at;
    struct state from, to, end = {0};
    for (uint32_t i = 0; get_state(walk->order, walk->nodes[at], i, &from); i++) {
        size_t reached = at;
        while (reached < walk->n && !walk->in_time[reached] &&
               find_behind(walk->order, &from, walk->nodes[(reached + 1) % walk->n], &to)) {
            end = to;
            reached++;
        }
        if (reached > best || (reached == best && reached > at && from.counter == walk->counter)) {
            best = reached;
            step->from = from;
            step->to = end;
        }
    }
    walk->several |= walk->counter != SIZE_MAX && walk->counter != step->from.counter;
    walk->counter = walk->counter == SIZE_MAX ? step->from.counter : walk->counter;
    return best;
}

// Fills in the steps of the whole cycle. Returns how many.
static size_t find_steps(struct walk *walk, struct step *steps)
{
    size_t n_steps = 0;
    for (size_t at = 0; at < walk->n;) {
        struct step *step = &steps[n_steps++];
        *step = (struct step){.node = walk->nodes[at], .in_time = walk->in_time[at]};
        step->from.row = step->to.row = NOTHING;
        at = step->in_time ? at + 1 : step_far(walk, at, step);
        step->next = walk->nodes[at % walk->n];
    }
    struct step *first = &steps[0], *last = &steps[n_steps - 1];
    if (n_steps > 2 && !first->in_time && !last->in_time &&
        first->from.counter == last->from.counter) { // the cycle began in the middle of a step
        first->node = last->node;
        first->from = last->from;
        n_steps--;
    }
    return n_steps;
}

static void name(const struct order *order, uint32_t node, struct buffer *out)
{
    const struct evidence *evidence = order->evidence;
    if (node < order->first_reading) {
        buffer_append_text(out, evidence->operations[node].key);
        return;
    }
    const struct attempt *attempt = &evidence->history->attempts[attempt_of(order, node)];
    buffer_format(out, "%s %lld", attempt->kind == KIND_READ ? "reading" : "refusal",
                  (long long)attempt->op);
}

static void describe(const struct order *order, const struct step *step, struct buffer *out)
{
    buffer_append_text(out, out->length > 0 ? "; " : "");
    name(order, step->node, out);
    if (step->in_time) {
        buffer_append_text(out, " was answered before ");
        name(order, step->next, out);
        buffer_append_text(out, " was sent");
        return;
    }
    buffer_append_text(out, " is before ");
    name(order, step->next, out);
    buffer_format(out, " on %s (versions %s, %s)",
                  finding_counter(order->check, step->from.counter),
                  number(step->from.version).text, number(step->to.version).text);
}

// Adds the attempts that make the times of the step before and of this one.
static void add_attempts(const struct order *order, struct violation *violation,
                         const struct step *before, const struct step *step)
{
    if (step->node >= order->first_reading) {
        finding_attempt(order->check, violation, attempt_of(order, step->node));
        return;
    }
    const struct operation *operation = &order->evidence->operations[step->node];
    uint32_t begin = before->in_time ? operation->begin : NOTHING;
    uint32_t finish = step->in_time ? operation->finish : NOTHING;
    if (begin == NOTHING && finish == NOTHING)
        begin = operation->witness != NOTHING ? operation->witness : operation->begin;
    finding_attempt(order->check, violation, begin);
    if (finish != begin)
        finding_attempt(order->check, violation, finish);
}

static void show(const struct order *order, const struct step *steps, size_t n)
{
    struct buffer text CLEANUP(buffer_release) = {0};
    size_t described = 0;
    while (described < n && text.length <= CLAUSES_MAX_BYTES)
        describe(order, &steps[described++], &text);
    buffer_append_text(&text, described < n ? "; ..." : "");
    struct violation *violation =
        finding_add(order->check, "%zu operations have no common order: %s.", n,
                    text.data != NULL ? text.data : "");
    for (size_t i = 0; i < n; i++)
        add_attempts(order, violation, &steps[(i + n - 1) % n], &steps[i]);
    for (size_t i = 0; i < n; i++) {
        uint32_t entered = steps[(i + n - 1) % n].to.row;
        finding_row(order->check, violation, entered);
        if (steps[i].from.row != entered)
            finding_row(order->check, violation, steps[i].from.row);
    }
}

static void report(void *arg, const uint32_t *nodes, size_t n)
{
    struct order *order = arg;
    uint32_t *kept CLEANUP(free_memory) = calloc(n, sizeof *kept);
    bool *in_time CLEANUP(free_memory) = calloc(n, sizeof *in_time);
    struct step *steps CLEANUP(free_memory) = calloc(n, sizeof *steps);
    struct walk walk = {.order = order, .nodes = kept, .in_time = in_time, .counter = SIZE_MAX};
    order->failed |= kept == NULL || in_time == NULL || steps == NULL;
    for (size_t i = 0; i < n && !order->failed; i++) {
        if (nodes[i] >= order->first_moment)
            continue;
        in_time[walk.n] = nodes[(i + 1) % n] >= order->first_moment;
        kept[walk.n++] = nodes[i];
    }
    size_t n_steps = order->failed ? 0 : find_steps(&walk, steps);
    order->one_counter |= !walk.several;
    if (walk.several)
        show(order, steps, n_steps);
}

// ---- the rule -----------------------------------------------------------------------------------

static int compare_numbers(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, two = *(const int64_t *)b;
    return (one > two) - (one < two);
}

static bool search(struct order *order)
{
    size_t most = order->evidence->n_operations + order->evidence->n_readings;
    order->moments = calloc(most + 1, sizeof *order->moments);
    if (order->moments == NULL)
        return false;
    for_each_node(order, NULL, collect_moment);
    qsort(order->moments, order->n_moments, sizeof *order->moments, compare_numbers);
    struct graph graph;
    bool searched =
        graph_init(&graph, (size_t)order->first_moment + order->n_moments, add_edges, order) &&
        graph_find_cycles(&graph, order->first_moment, report, order);
    graph_release(&graph);
    return searched && !order->failed;
}

bool order_check(struct check *check)
{
    const struct evidence *evidence = check->evidence;
    size_t first_moment = evidence->n_operations + evidence->n_readings;
    struct order order = {.check = check,
                          .evidence = evidence,
                          .first_reading = (uint32_t)evidence->n_operations,
                          .first_moment = (uint32_t)first_moment};
    finding_open(check, "order-across-counters");
    bool searched = first_moment < NOTHING && search(&order);
    free(order.moments);
    if (order.one_counter && check->invariant->violations == 0)
        order.looked_at = 0;
    finding_close(check, order.looked_at,
                  "All changes and readings have one order, in real time and on every counter:"
                  " operations %s.",
                  number(order.looked_at).text);
    return searched;
}
