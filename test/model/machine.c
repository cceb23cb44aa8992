/* machine.c - accesses by replay, deaths, and the search. See machine.h.
 *
 * dfs() is the whole of it: in a state, each participant that can make a step does, in turn, in a copy; each that stands before a
 * store dies, in another copy. A state met before is not entered again. Where nobody can go on, the judge looks (ghost.c). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "search.h"

struct state *S;
struct vars V;
int me, variant, scenario_no, bug;
bool fresh;
struct totals totals;

static struct thread *T, judge_thread;
static jmp_buf leave_step;
static unsigned position;
static bool stepped, direct;
static long judged; /* accesses of the judge, in this end */
enum { STOP = 1, BLOCKED, BROKEN };

static struct {
    W thread;
    char kind;
} path[MOST_DEPTH];
static int path_length;
static bool quiet;

void bad(const char *why)
{
    if (totals.violations++)
        return;
    totals.first = why;
    if (quiet)
        return;
    printf("  VIOLATION scenario %d variant %d: %s\n   ", scenario_no, variant, why);
    for (int i = 0; i < path_length; i++)
        printf(" %c%d", path[i].kind, path[i].thread);
    printf("\n");
    fflush(stdout);
}

long totals_violations(void)
{
    return totals.violations;
}

/* ---- accesses ---- */
static void note(W v)
{
    if (T->nreads >= MOST_READS) {
        bad("C12: goes round for ever");
        longjmp(leave_step, BROKEN);
    }
    T->reads[T->nreads++] = v;
    position++;
}
static bool replaying(void)
{
    return position < T->nreads;
}
bool caught_up(void)
{
    return !direct && !replaying();
}

/* Is the access to be made now? False: it was, and is replayed. A second one stops the step. */
static bool now(enum access kind)
{
    fresh = false;
    if (direct) {
        if (++judged > 20000) {
            bad("C12: the judge goes round for ever");
            longjmp(leave_step, BROKEN);
        }
        return true;
    }
    if (replaying())
        return false;
    if (stepped) {
        T->next = kind;
        T->in_recovery = V.in_recovery;
        longjmp(leave_step, STOP);
    }
    stepped = true;
    return true;
}
/* Memory that the backing has not committed is SIGBUS. */
static void touch(const W *p)
{
    for (int s = G->side; s < SPANS; s++)
        if (p >= &G->span[s].word && p < &G->span[s].word + sizeof(struct span) / sizeof(W))
            bad("C11: side table of an uncommitted span touched");
    if (G->backed < SPANS && p >= G->block[1] && p < G->block[BLOCKS] + BLOCK_WORDS)
        if ((p - G->block[1]) / (BLOCK_WORDS * PER) >= G->backed)
            bad("C11: uncommitted data touched");
}
static W read_now(const W *p)
{
    touch(p);
    if (!direct)
        note(*p);
    return *p;
}
W load(W *p)
{
    return now(LOAD) ? read_now(p) : T->reads[position++];
}
W own(W *p)
{
    if (direct || !replaying())
        return read_now(p);
    return T->reads[position++];
}
static void put(W *p, W v, enum access kind)
{
    if (!now(kind)) {
        position++;
        return;
    }
    touch(p);
    *p = v;
    if (!direct) {
        note(0);
        fresh = true;
    }
}
void store(W *p, W v)
{
    put(p, v, STORE);
}
void keep(W *p, W v)
{
    put(p, v, KEEP);
}
bool swap(W *p, W expected, W v)
{
    if (!now(STORE))
        return T->reads[position++];
    touch(p);
    bool won = *p == expected;
    if (won)
        *p = v;
    if (!direct) {
        note(won);
        fresh = won;
    }
    return won;
}
void raise_to(W *p, W v)
{
    if (!now(STORE)) {
        position++;
        return;
    }
    if (*p < v)
        *p = v;
    if (!direct)
        note(0);
}
W observe(W (*look)(W), W argument)
{
    if (!now(LOAD))
        return T->reads[position++];
    W v = look(argument);
    if (!direct)
        note(v);
    return v;
}
bool await_begin(void)
{
    fresh = false;
    if (direct)
        return true;
    if (replaying()) {
        position++;
        return false;
    }
    if (stepped) {
        T->next = WAIT;
        T->in_recovery = V.in_recovery;
        longjmp(leave_step, STOP);
    }
    return true;
}
bool await_ready(bool condition)
{
    if (direct) {
        if (!condition) {
            bad("C12: the judge waits");
            longjmp(leave_step, BROKEN);
        }
        return true;
    }
    if (!condition)
        longjmp(leave_step, BLOCKED);
    stepped = true;
    note(0);
    return true;
}
void op_end(void)
{
    T->vars = V;
    T->nreads = 0;
    position = 0;
}

/* ---- steps and deaths ---- */
static bool step(struct state *s, int i)
{
    S = s;
    me = i;
    T = &s->thread[i];
    V = T->vars;
    position = 0;
    fresh = false;
    stepped = T->status == FRESH; /* its first step only finds out what its first access is */
    if (T->status == FRESH)
        T->status = RUNS;
    int r = setjmp(leave_step);
    if (r == 0) {
        scenarios[scenario_no].program[i]();
        T->status = DONE;
    }
    if (r != BLOCKED)
        ghost_step();
    return r != BLOCKED;
}
static void die(struct state *s, int i)
{
    S = s;
    s->thread[i].status = DEAD;
    s->thread[i].nreads = 0;
    memset(&s->thread[i].vars, 0, sizeof s->thread[i].vars);
    for (int r = 0; r < RECORDS; r++) {
        if (s->seg.record[r].live == i + 1)
            s->seg.record[r].live = 0;
        if (s->seg.record[r].byte == i + 1 && !option(LATE_BYTE))
            s->seg.record[r].byte = 0;
    }
    ghost_death(i);
    s->deaths++;
}
/* The kernel gives up the byte locks of a dead process, in its own time. */
static bool byte_falls(struct state *s, int i)
{
    bool fell = false;
    for (int r = 0; r < RECORDS; r++)
        if (s->seg.record[r].byte == i + 1) {
            s->seg.record[r].byte = 0;
            fell = true;
        }
    return fell;
}

/* ---- states seen: an open table of hashes, doubled when it fills ---- */
static uint64_t *seen, seed;
static size_t seen_size, seen_count, seen_most;

static void seen_clear(void)
{
    if (!seen_size)
        seen = calloc(seen_size = 1u << 16, sizeof *seen);
    else if (seen_count)
        memset(seen, 0, seen_size * sizeof *seen);
    seen_count = 0;
}
static bool seen_put(uint64_t h)
{
    size_t i = h >> 8 & (seen_size - 1);
    for (; seen[i]; i = (i + 1) & (seen_size - 1))
        if (seen[i] == h)
            return false;
    seen[i] = h;
    seen_count++;
    return true;
}
static void seen_double(void)
{
    uint64_t *old = seen;
    size_t n = seen_size;
    if (seen_size * 2 > seen_most) {
        printf("more states than %zu MiB hold\n", seen_most >> 17);
        exit(2);
    }
    if (!(seen = calloc(seen_size *= 2, sizeof *seen))) {
        printf("no memory for the table of states\n");
        exit(2);
    }
    seen_count = 0;
    for (size_t i = 0; i < n; i++)
        if (old[i])
            seen_put(old[i]);
    free(old);
}
static uint64_t mix(uint64_t h, const void *p, size_t bytes)
{
    const unsigned char *c = p;
    uint64_t w;
    for (; bytes >= 8; bytes -= 8, c += 8) {
        memcpy(&w, c, 8);
        h = (h ^ w) * 0x9E3779B97F4A7C15ull;
        h ^= h >> 29;
    }
    if (bytes) {
        w = 0;
        memcpy(&w, c, bytes);
        h = (h ^ w) * 0x9E3779B97F4A7C15ull;
        h ^= h >> 29;
    }
    return h;
}
static bool visit(const struct state *s, int limit)
{
    uint64_t h = mix(seed, &s->seg, sizeof s->seg);
    h = mix(h, &s->ghost, sizeof s->ghost);
    h = mix(h, &s->deaths, (limit ? 4 : 2) * sizeof(W));
    for (int i = 0; i < scenarios[scenario_no].threads; i++) {
        const struct thread *t = &s->thread[i];
        h = mix(h, &t->vars, sizeof t->vars);
        h = mix(h, &t->status, sizeof t->status);
        h = mix(h, &t->nreads, sizeof(W) * (1u + t->nreads));
    }
    h ^= h >> 32;
    h |= 1;
    if (seen_count > seen_size / 8 * 5)
        seen_double();
    return seen_put(h);
}

/* ---- search ---- */
static struct state *stack;
static int limit; /* of switches, plus 1; 0: none */
static bool reduce;

static void copy(struct state *to, const struct state *from)
{
    memcpy(to, from, offsetof(struct state, thread));
    for (int i = 0; i < scenarios[scenario_no].threads; i++)
        memcpy(&to->thread[i], &from->thread[i],
               offsetof(struct thread, reads) + sizeof(W) * from->thread[i].nreads);
}
static void end(const struct state *p, struct state *c)
{
    totals.ends++;
    copy(c, p);
    S = c;
    T = &judge_thread;
    me = THREADS;
    memset(&V, 0, sizeof V);
    V.record = JUDGE;
    V.id = MAKE_ID(JUDGE, 0);
    direct = true;
    judged = 0;
    fresh = false;
    if (setjmp(leave_step) == 0)
        judge(c);
    direct = false;
}
static void dfs(int depth)
{
    struct state *p = &stack[depth], *c = p + 1;
    const struct scenario *sc = &scenarios[scenario_no];
    bool moved = false, last_runs = false;
    if (depth + 2 >= MOST_DEPTH) {
        bad("C12: too deep");
        return;
    }
    if ((bug && totals.violations) || !visit(p, limit))
        return;
    totals.states++;
    bool spare = p->deaths < sc->deaths;
    int only = -1; /* he stands before a store that only he reads */
    if (reduce || !spare)
        for (int i = 0; i < sc->threads && only < 0; i++)
            if (p->thread[i].status == RUNS && p->thread[i].next == KEEP)
                only = i;
    for (int n = 0, i = p->last; n < sc->threads; n++, i = (i + 1) % sc->threads) {
        if (only >= 0 && i != only)
            continue;
        if (p->thread[i].status == DEAD && (sc->options & LATE_BYTE)) {
            copy(c, p);
            path[depth].thread = (W)i;
            path[depth].kind = 'b';
            if (byte_falls(c, i)) {
                moved = true;
                dfs(depth + 1);
            }
        }
        if (p->thread[i].status != RUNS)
            continue;
        copy(c, p);
        path[depth].thread = (W)i;
        path[depth].kind = 's';
        path_length = depth + 1;
        if (step(c, i)) {
            moved = true;
            if (n == 0)
                last_runs = true;
            c->last = (W)i;
            if (only < 0)
                c->switches = (W)(c->switches + (n && last_runs));
            if (!limit || c->switches < limit)
                dfs(depth + 1);
        }
        path_length = depth + 1;
        if (p->thread[i].next != LOAD && spare) {
            if (!p->thread[i].in_recovery)
                totals.points++;
            else if (!p->recoverer_deaths)
                totals.in_recovery++;
            else
                totals.in_its_recovery++;
            copy(c, p);
            path[depth].kind = 'K';
            if (p->thread[i].in_recovery)
                c->recoverer_deaths++;
            die(c, i);
            dfs(depth + 1);
        }
    }
    path_length = depth;
    if (!moved && only < 0)
        end(p, c);
}

/* The common beginning: who has a program takes part, with a record; spans belong to thread 0, 1, 2 in turn. */
static void start(int v)
{
    struct state *s = &stack[0];
    const struct scenario *sc = &scenarios[scenario_no];
    memset(s, 0, sizeof *s);
    memset(absent, 0, sizeof absent);
    S = s;
    variant = v;
    G->epoch = 1;
    G->committed = G->side = G->backed = GH->most_committed = SPANS;
    for (int r = 0; r < RECORDS; r++)
        if (r == JUDGE || r < sc->threads) {
            G->record[r].state = GH->claimed[r] = 1;
            GH->holder[r] = r == JUDGE ? 0 : (W)(r + 1);
            G->record[r].live = G->record[r].byte = (W)(r + 1);
        }
    for (int i = 0; i < SPANS; i++) {
        if (sc->blocks[i] < 0)
            continue;
        int owner = i % sc->threads;
        G->span[i].word = SPAN_WORD(MAKE_ID(owner, 0), 0, SPAN_SMALL);
        s->thread[owner].vars.mine |= (W)(1u << i);
        for (int k = 0; k < PER; k++) {
            if (k < sc->blocks[i])
                G->span[i].f |= (W)(1u << k);
            else
                absent[i * PER + k + 1] = true;
        }
    }
    for (int i = 0; i < sc->threads; i++) {
        s->thread[i].vars.record = (W)i;
        s->thread[i].vars.id = MAKE_ID(i, 0);
        s->thread[i].status = FRESH;
    }
    scenario_start(v);
    path_length = 0;
    for (int i = 0; i < sc->threads; i++)
        step(s, i);
    for (int n = 0; n < sc->threads && option(PRELUDE); n++)
        for (int i = (n + 1) % sc->threads; s->thread[i].vars.pc == 0;)
            step(s, i);
}
static void run_variant(int v)
{
    seen_clear();
    start(v);
    seed = (uint64_t)(scenario_no * 1000 + v + 1) * 0xD1342543DE82EF95ull;
    dfs(0);
}
void search(int number, int fault, bool full, bool silent)
{
    const struct scenario *sc = &scenarios[number];
    int variants = sc->variants[full], switches = sc->switches[full];
    memset(&totals, 0, sizeof totals);
    if (!stack && !(stack = calloc(MOST_DEPTH, sizeof *stack)))
        exit(2);
    scenario_no = number;
    bug = fault;
    quiet = silent;
    reduce = !full;
    seen_most = (size_t)1 << (full ? 28 : 26); /* entries of 8 bytes; doubling needs half as much again */
    if (!fault) {
        limit = switches ? switches + 1 : 0;
        for (int v = 0; v < variants; v++)
            run_variant(v);
        return;
    }
    /* a planted fault: few switches first, which finds most of them at once; the few that need more get what soak has */
    int most = switches ? (sc->switches[1] ? sc->switches[1] : switches) + 1 : 4;
    for (limit = 1; !totals.violations && limit <= most; limit++)
        for (int v = 0; v < variants && !totals.violations; v++)
            run_variant(v);
    limit = 0;
    for (int v = 0; !switches && v < variants && !totals.violations; v++)
        run_variant(v);
}
