/* machine.h - the machine that the model runs on: one shared access at a time, by replay, and every choice tried.
 *
 * The segment is an array of 16-bit words. A participant is a plain C function that touches the segment only through
 *
 *     load(p)          a load that others may race with
 *     own(p)           a load of what only the caller may write now (its own words, or those of a dead one it recovers): no step
 *     store(p, v)      a store that others may see
 *     keep(p, v)       a store of what nobody but its writer reads, and after his death his recoverer (journal, log, F bits)
 *     swap(p, a, b)    compare-and-swap
 *     raise(p, v)      the kernel commits memory up to v
 *     AWAIT(c)         sleep until c, which may look at anything
 *
 * One step is one such access. Between any two steps any other participant may run; before any step that is no load, a
 * participant may be killed, recoverers included, as often as the scenario allows. States are searched depth first and
 * remembered by a 64-bit hash. What a participant knows privately is the list of what it has read in its present operation
 * (OP): a step runs the operation again over that list, and then makes one access more.
 *
 * Reduction: before a keep() nobody else runs (he could not tell), but the participant may die there. Once the scenario's
 * deaths are used up this leaves nothing out. Before that it leaves out only that others find the participant alive, and then
 * it dies before that very store; `soak` runs without it.
 *
 * Memory is sequentially consistent here. Sleeping and waking (waiters, bell, membarrier) are AWAIT: the mutex's own
 * test is elsewhere. Two hashes may collide: each variant has a table of its own, and with ten
 * million states in it the chance that one was missed is below 1 in 10^5. */
#ifndef MODEL_MACHINE_H
#define MODEL_MACHINE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "faults.h"

typedef uint16_t W;

enum {
    RECORDS = 5, /* participant records; the last is the judge's, who looks at the end of each run */
    JUDGE = RECORDS - 1,
    THREADS = 4,
    SPANS = 3,
    PER = 2,              /* spans, blocks a span */
    BLOCKS = SPANS * PER, /* numbered from 1; a ref is a block's number */
    BLOCK_WORDS = 4,      /* word 0 is a mutex, or an extent's next; word 1 what it is worth */
    SLOTS = 4,
    LOG = 4, /* of a record; a log extent adds BLOCK_WORDS - 1 */
    LOCKS = 3,
    CELLS = 3,
    ALL_LOCKS = LOCKS + BLOCKS + 1,
    MOST_READS = 700,
    MOST_DEPTH = 4000
};

/* ---- the segment: docs/crash-core.md, 'Words' ---- */
struct record {
    W live; /* thread + 1; the kernel clears it at death */
    W byte; /* the byte lock: thread + 1; the kernel clears it at death, or some time after */
    W state, generation, recoverer;
    W journal, intent, swap_old, epoch;
    W slots_used, waits, waits_count, log_more;
    W slot[SLOTS], log[LOG];
};
struct span {
    W word, f, r[PER]; /* f: F bits; r: R bytes */
};
struct segment {
    W null, epoch;
    W committed, side, backed; /* spans published; spans whose side table, whose data the backing has committed */
    W lock[LOCKS];
    W cell[CELLS];    /* cell[i] is guarded by lock[i] unless a scenario says otherwise: a value, or a ref */
    W link, pair[2];  /* a map's bucket (lock[0]): its sibling and CLEANING; the values of keys 0 and 1 */
    W next[3], moves; /* a list (lock[0]): who comes after its head, and after members 1 and 2 (3: its end); how often one that was in it came in */
    struct span span[SPANS];
    W block[BLOCKS + 1][BLOCK_WORDS];
    struct record record[RECORDS];
};

/* ---- what is right: the code under test cannot see it. ghost.c ---- */
struct ghost {
    W want[CELLS], key[2];              /* as of the last commit */
    W how[ALL_LOCKS], owner[ALL_LOCKS]; /* enum how; thread + 1 */
    W dirty[ALL_LOCKS], mend[ALL_LOCKS];
    W pending[THREADS + 1], pend[THREADS + 1][12]; /* words that an open section wrote: {where, value} */
    W reading[THREADS + 1];                        /* the block that a pinned reader holds */
    W told[THREADS + 1];                           /* what find_or_make said */
    W recovering[RECORDS];                         /* thread + 1 who puts this record right */
    W cycle[THREADS + 1]; /* a circle of waiters was real during this thread's walk */
    W claimed[RECORDS];   /* newest generation that somebody had, plus 1 */
    W holder[RECORDS];    /* thread + 1 that claimed it and has not left */
    W most_committed;
};

/* ---- a participant's private memory that outlives an operation ---- */
struct vars {
    W pc, record, id, depth, doomed, frees, in_recovery;
    W mine; /* bits: spans it owns, and whose table it has seen to */
    W safe; /* what epoch_advance returned last */
    W aged[SPANS], aged_at[SPANS];
    W b;
};
enum access { LOAD, STORE, KEEP, WAIT };
struct thread {
    struct vars vars;
    W status, next, in_recovery, nreads;
    W reads[MOST_READS];
};
enum { RUNS, DONE, DEAD, FRESH };
struct state {
    struct segment seg;
    struct ghost ghost;
    W deaths, recoverer_deaths, last, switches;
    struct thread thread[THREADS];
};

struct scenario {
    const char *name;
    int threads, deaths;
    int variants[2];   /* in check, in soak */
    int switches[2];   /* away from who could go on; 0: as many as there are */
    int blocks[SPANS]; /* usable in each span, at the start F = 1; -1: the span is nobody's */
    unsigned options;  /* enum option */
    unsigned daemons;  /* bits: threads that may wait for ever */
    void (*program[THREADS])(void);
};
enum option {
    LATE_BYTE = 1, /* the byte lock falls some time after the liveness word */
    FINE_FATE = 2, /* a fate is read word by word */
    WALKS = 4,     /* waiters in sections look for circles */
    ADOPTS = 8,
    CLAIMS = 16,  /* who finds no free block adopts spans, claims spans */
    PRELUDE = 32, /* threads 1, 2, 0 do their first operation before the search begins */
    MAP = 1 << 16 /* lock[0] guards a bucket */
};
extern const struct scenario scenarios[];
extern const int nscenarios;
void scenario_start(int variant); /* what differs from the common beginning */

/* ---- the running participant ---- */
extern struct state *S;
extern struct vars V;
extern int me, variant, scenario_no;
extern int bug;
#define G (&S->seg)
#define GH (&S->ghost)
#define R (&G->record[V.record])
#define OFF(p) ((W)((const W *)(p) - (const W *)G))
#define CELL(off) ((W *)G + (off))
#define BUG(name) (bug == FAULT_##name)
static inline unsigned option(unsigned o)
{
    return scenarios[scenario_no].options & o;
}

W load(W *p);
W own(W *p);
void store(W *p, W v);
void keep(W *p, W v);
bool swap(W *p, W expected, W v);
void raise_to(W *p, W v);
W observe(W (*look)(W), W argument); /* one atomic look at several words */
bool caught_up(void); /* what was read before has been replayed: once or twice between two steps */

/* Code of the ghost, in the same step as the store before it (if that was a compare-and-swap: if it won). */
extern bool fresh;
#define GHOST(...)                                                                                           \
    do {                                                                                                     \
        if (fresh) {                                                                                         \
            fresh = false;                                                                                   \
            __VA_ARGS__;                                                                                     \
        }                                                                                                    \
    } while (0)

bool await_begin(void);
bool await_ready(bool condition);
#define AWAIT(condition)                                                                                     \
    do {                                                                                                     \
        if (await_begin())                                                                                   \
            await_ready(condition);                                                                          \
    } while (0)

/* An operation: what a participant has read in it is forgotten at its end. */
void op_end(void);
#define OP(n, ...)                                                                                           \
    do {                                                                                                     \
        if (V.pc == (n)) {                                                                                   \
            __VA_ARGS__;                                                                                     \
            V.pc = (W)(V.pc + (V.pc == (n)));                                                                \
            op_end();                                                                                        \
        }                                                                                                    \
    } while (0)

void bad(const char *why);
long totals_violations(void);

/* ---- core.c: the code under test ---- */
enum fate { GONE, ALIVE, FALLEN };
#define ID_DIRTY 0x8000u
enum {
    WANT = 1,
    DEFER = 2,
    SECTION = 4,
    INNER = 8,
    MEND = 16, /* of slots: offset of lock << 5 | flags */
    TIMED = 32,
    UNPIN = 64
}; /* of lock() only */
enum { IDLE, OPEN, COMMITTED };
#define JOURNAL(state, words) ((W)((words) << 2 | (state)))
enum {
    LOG_ALLOC = 8,
    LOG_FREE,
    LOG_RETIRE,
    LOG_COUNT
}; /* entry: offset or block | kind << 12; a kind below 8: words saved */
enum { INTENT_ALLOC = 1, INTENT_FREE, INTENT_RETIRE, INTENT_SWAP, INTENT_HAND };
enum { SPAN_INIT = 1, SPAN_SMALL, SPAN_RUN, SPAN_REST };
#define SPAN_WORD(id, argument, state) ((W)((id) | (state) << 9 | (argument) << 12))
#define SPAN_OWNER(w) ((w)&0x1ffu)
#define SPAN_STATE(w) ((w) >> 9 & 7u)
#define SPAN_ARGUMENT(w) ((w) >> 12)
#define RETIRED 0x80u
#define CLEANING 0x4000u
#define REF(w) ((w)&0xffu)
#define MAKE_ID(record, generation) ((W)((generation) << 3 | ((record) + 1)))

enum fate fate_now(W id);
static inline int span_of(W b)
{
    return (b - 1) / PER;
}
static inline W bit_of(W b)
{
    return (W)(1u << (b - 1) % PER);
}
static inline W *r_of(W b)
{
    return &G->span[span_of(b)].r[(b - 1) % PER];
}
void begin(void);
int save(W *p);
int log_count(W *p); /* its undo adds 1 to the word */
int write_word(W *p, W v);
int commit(void);
void abort_section(void);
int lock(W *l, unsigned flags); /* 0, ID_DIRTY, -1 circle, -2 gave up */
void unlock(W *l);
void consistent(W *l);
W alloc(void);
int free_block(W b, W kind);
int alloc_into(W *place, W value); /* value: what word 1 of the block becomes */
int free_from(W *place, W kind);
int replace(W *place, W value);
W pick(W value);
void publish(W b, W *place, W word);
void take(W b);
int claim_span(void);
W claim_run(void);
void take_apart(int first);
int run_into(W *place);
int run_longer(W b);
int run_shorter(W b);
void reap(int s);
void adopt(int s);
W epoch_advance(void);
int grow(void);
void read_begin(void);
void read_end(void);
void recover(W id);
int claim_record(int r);
int claim_spare(int r); /* also where its last user died */
void leave(void);

/* ---- map.c: a bucket that splits; also under test ---- */
void map_lock(void);
int map_put(W key, W v);
void map_split(void);
void map_settle(void);
W map_get(void); /* key 1, without a lock */

/* ---- ghost.c ---- */
enum how { FREE_LOCK, IN_LOCK, OUTSIDE, IN_SECTION, SECTION_PUT_OFF, OUTSIDE_PUT_OFF, INNER_HELD };
int lock_number(W off);
void ghost_take(W off, W owner);
void ghost_held(W off, unsigned flags);
void ghost_release(W off);
void ghost_end(bool committed);
void ghost_write(W where, W v); /* in the open section */
void ghost_set(W where, W v);   /* at once */
void ghost_death(int t);
void ghost_fill(W b);
void ghost_step(void); /* after every step */
void ghost_recovering(W id, bool on);
void ghost_claim(int r, W generation);
bool ghost_circle(void);
void ghost_told(W b);
void judge(struct state *s);
extern bool absent[BLOCKS + 1]; /* blocks that this variant does without */

#endif
