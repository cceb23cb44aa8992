/* sync/who.c - who waits for whom: for people and tools. Without locks, bounded, whatever the bytes; the quick look of a wait that may close a circle is
 * in wait.c. */
#include <errno.h>
#include <stdlib.h>

#include "segment/guard.h"
#include "sync/sync.h"

int tarn_set_deadlock(tarn *seg, int on)
{
    if (seg->readonly)
        return fail(-EROFS, "tarn_set_deadlock: nobody waits on a read-only attachment");
    if (on != 0 && on != 1)
        return fail(-EINVAL, "tarn_set_deadlock: %d: 1 or 0", on);
    __atomic_store_n(&seg->finds_deadlocks, on == 1, __ATOMIC_RELAXED);
    return 0;
}

static const char *kind_of(uint64_t what)
{
    switch (WAITS_KIND(what)) {
    case WAITS_OWNER: return "mutex or rwlock";
    case WAITS_READERS: return "readers";
    case WAITS_UNITS: return "units";
    case WAITS_MEMBERS: return "members";
    default: return "act";
    }
}

/* Private memory: the graph as it was read. Strongly connected components, by Tarjan's algorithm, without recursion. */
struct edge {
    uint32_t from, to, holder; /* indexes; the holder's identity, 0: nobody in particular */
    uint64_t what;
};
struct graph {
    struct edge *edge;
    uint32_t edges, room, nodes;
    uint32_t *first;                 /* of a node's edges: they are in order */
    uint32_t *number, *low, *at;     /* 0: not visited yet; the next edge to look at */
    uint32_t *stack, *path, *circle; /* visited and not yet in a component; under way; the circle's number */
    bool *on_stack;
};

static bool add_edge(struct graph *g, struct edge e)
{
    if (g->edges == g->room) {
        uint32_t room = g->room ? 2 * g->room : 256;
        struct edge *more = realloc(g->edge, room * sizeof *more);
        if (!more)
            return false;
        g->edge = more;
        g->room = room;
    }
    g->edge[g->edges++] = e;
    return true;
}

static bool read_graph(struct tarn *seg, struct graph *g)
{
    bool done = true;
    guard_lift(seg); /* locks are read, wherever they lie */
    for (uint32_t i = 0; i < g->nodes && done; i++) {
        struct record *r = record_at(seg, i);
        uint64_t what = load64(&r->waits);
        uint32_t at = 0, id, n = 0;
        g->first[i] = g->edges;
        if (load32(&r->state) == RECORD_FREE || !what)
            continue;
        while (done && (id = waited_for(seg, what, &at))) {
            n++;
            done = add_edge(g, (struct edge){i, ID_INDEX(id), id, what});
        }
        if (!n)
            done = add_edge(g, (struct edge){i, i, 0, what});
    }
    guard_lower(seg);
    g->first[g->nodes] = g->edges;
    return done;
}

static void find_circles(struct graph *g)
{
    uint32_t count = 0, circles = 0, stacked = 0;
    for (uint32_t root = 0; root < g->nodes; root++) {
        uint32_t depth = 0;
        if (g->number[root] || g->first[root] == g->first[root + 1])
            continue;
        g->path[depth++] = root;
        while (depth) {
            uint32_t v = g->path[depth - 1];
            if (!g->number[v]) {
                g->number[v] = g->low[v] = ++count;
                g->at[v] = g->first[v];
                g->stack[stacked++] = v;
                g->on_stack[v] = true;
            }
            if (g->at[v] < g->first[v + 1]) {
                const struct edge *e = &g->edge[g->at[v]++];
                if (!e->holder)
                    continue;
                if (!g->number[e->to])
                    g->path[depth++] = e->to;
                else if (g->on_stack[e->to] && g->number[e->to] < g->low[v])
                    g->low[v] = g->number[e->to];
                continue;
            }
            depth--;
            if (depth && g->low[v] < g->low[g->path[depth - 1]])
                g->low[g->path[depth - 1]] = g->low[v];
            if (g->low[v] == g->number[v]) {
                bool alone = g->stack[stacked - 1] == v;
                uint32_t w;
                circles += !alone;
                do {
                    w = g->stack[--stacked];
                    g->on_stack[w] = false;
                    g->circle[w] = alone ? 0 : circles;
                } while (w != v);
            }
        }
    }
}

static int tell(struct tarn *seg, const struct graph *g, int (*each)(const struct tarn_waiting *, void *), void *arg)
{
    for (uint32_t i = 0; i < g->edges; i++) {
        const struct edge *e = &g->edge[i];
        const struct record *r = record_at(seg, e->from);
        struct tarn_waiting w = {.id = ID_MAKE(load32(&r->generation), e->from),
                                 .pid = r->pid,
                                 .tid = r->tid,
                                 .timed = e->what & 1,
                                 .what = kind_of(e->what),
                                 .ref = e->what & SLOT_OFFSET,
                                 .holder = e->holder};
        int result;
        if (e->holder) {
            w.dead = fate_of(seg, e->holder) == FALLEN;
            w.circle = g->circle[e->from] == g->circle[e->to] ? g->circle[e->from] : 0;
        }
        result = each(&w, arg);
        if (result)
            return result;
    }
    return 0;
}

int tarn_who_waits(tarn *seg, int (*each)(const struct tarn_waiting *waiting, void *arg), void *arg)
{
    uint32_t n = seg->geometry.records;
    struct graph g = {.nodes = n};
    uint32_t *words = calloc(7ul * n + 1, sizeof *words);
    int e;
    g.on_stack = calloc(n, sizeof *g.on_stack);
    if (words && g.on_stack) {
        g.first = words;
        g.number = words + n + 1;
        g.low = g.number + n;
        g.at = g.low + n;
        g.stack = g.at + n;
        g.path = g.stack + n;
        g.circle = g.path + n;
    }
    if (!words || !g.on_stack || !read_graph(seg, &g))
        e = fail(-ENOMEM, "tarn_who_waits: no memory for a graph of %u participants", n);
    else {
        find_circles(&g);
        e = tell(seg, &g, each, arg);
    }
    free(words);
    free(g.on_stack);
    free(g.edge);
    return e;
}
