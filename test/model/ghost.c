/* ghost.c - what is right, and the invariants C1 to C12 of docs/crash-core.md as code.
 *
 * The ghost is changed in the same step as the store that makes a thing so. At every step it looks at C6 to C9 and C11; when
 * nobody can go on, judge() recovers all dead, and looks at the rest. */
#include <string.h>

#include "machine.h"

bool absent[BLOCKS + 1];

static bool is_ref(W v)
{
    return v && v <= BLOCKS;
}

/* ---- locks: lock[i] is number i, the lock in block b LOCKS + b ---- */
int lock_number(W off)
{
    for (int i = 0; i < LOCKS; i++)
        if (OFF(&G->lock[i]) == off)
            return i;
    return LOCKS + (off - OFF(G->block)) / BLOCK_WORDS;
}
static void look_under(int i)
{
    W s = REF(G->link);
    if (scenarios[scenario_no].options & MAP) { /* lock[0] guards a bucket */
        if (i == 0 && (G->pair[0] != GH->key[0] || (!s && G->pair[1] != GH->key[1])))
            bad("C7: bucket under its lock");
        if (s && i == LOCKS + s && G->block[s][1] != GH->key[1])
            bad("C7: sibling under its lock");
        if (i > 0)
            return;
    }
    if (i < CELLS && i < LOCKS && !GH->dirty[i] && G->cell[i] != GH->want[i])
        bad("C7: data under its lock");
}
void ghost_take(W off, W o)
{
    int i = lock_number(off);
    if (GH->owner[i])
        bad("C2: two holders");
    if (!(o & ID_DIRTY) != !GH->dirty[i])
        bad("C7: wrong news of a dead holder");
    look_under(i);
    GH->how[i] = IN_LOCK;
    GH->owner[i] = (W)(me + 1);
}
void ghost_held(W off, unsigned flags)
{
    GH->how[lock_number(off)] = flags & SECTION ? IN_SECTION : flags & INNER ? INNER_HELD : OUTSIDE;
}
void ghost_release(W off)
{
    GH->how[lock_number(off)] = GH->owner[lock_number(off)] = 0;
}

/* ---- data ---- */
static void settle(W where, W v)
{
    if (where >= OFF(G->cell) && where < OFF(G->cell + CELLS))
        GH->want[where - OFF(G->cell)] = v;
    if (where >= OFF(G->pair) && where < OFF(G->pair + 2))
        GH->key[where - OFF(G->pair)] = v;
}
void ghost_set(W where, W v)
{
    settle(where, v);
}
void ghost_write(W where, W v)
{
    if (GH->pending[me] + 2 > 12) {
        bad("model: too many writes in a section");
        return;
    }
    GH->pend[me][GH->pending[me]++] = where;
    GH->pend[me][GH->pending[me]++] = v;
}
static void forget(int t)
{
    memset(GH->pend[t], 0, sizeof GH->pend[t]);
    GH->pending[t] = 0;
}
void ghost_end(bool committed)
{
    for (int i = 0; committed && i < GH->pending[me]; i += 2)
        settle(GH->pend[me][i], GH->pend[me][i + 1]);
    forget(me);
    for (int i = 0; i < ALL_LOCKS; i++) {
        if (GH->owner[i] != me + 1)
            continue;
        if (committed && GH->mend[i])
            GH->dirty[i] = 0;
        GH->mend[i] = 0;
        if (GH->how[i] == IN_SECTION)
            GH->how[i] = OUTSIDE;
        if (GH->how[i] == SECTION_PUT_OFF || GH->how[i] == OUTSIDE_PUT_OFF)
            GH->how[i] = IN_LOCK; /* the end pass will free it */
    }
}
void ghost_death(int t)
{
    for (int i = 0; i < ALL_LOCKS; i++)
        if (GH->owner[i] == t + 1) {
            if (GH->how[i] == OUTSIDE || GH->how[i] == OUTSIDE_PUT_OFF)
                GH->dirty[i] = 1;
            GH->how[i] = GH->owner[i] = GH->mend[i] = 0;
        }
    forget(t);
    GH->reading[t] = GH->cycle[t] = 0;
}

/* ---- blocks ---- */
static bool covers(W b, W other) /* b is other, or a run in which that lies */
{
    if (b == other)
        return true;
    W w = G->span[span_of(b)].word;
    return SPAN_STATE(w) == SPAN_RUN && span_of(other) > span_of(b) &&
           span_of(other) < span_of(b) + (int)SPAN_ARGUMENT(w);
}
static int references(W b, bool through_runs)
{
    int n = 0;
    W refs[CELLS + 1 + RECORDS];
    for (int i = 0; i < CELLS; i++)
        refs[n++] = G->cell[i];
    refs[n++] = REF(G->link);
    for (int i = 0; i < RECORDS; i++)
        refs[n++] = G->record[i].log_more;
    int found = 0;
    for (int i = 0; i < n; i++)
        if (is_ref(refs[i]))
            found += refs[i] == b || (through_runs && (covers(refs[i], b) || covers(b, refs[i])));
    return found;
}
/* Somebody fills b, to hand it out: C8. */
void ghost_fill(W b)
{
    if (!(G->span[span_of(b)].f & bit_of(b)) || absent[b])
        bad("C8: block filled that is not free");
    if (references(b, true))
        bad("C5: block handed out twice");
    for (int t = 0; t < THREADS; t++)
        if (GH->reading[t] == b)
            bad("C8: block reused under a reader");
    for (int r = 0; r < RECORDS; r++)
        for (int i = 0; i < SLOTS; i++)
            if (G->record[r].slot[i] && lock_number(G->record[r].slot[i] >> 5) == LOCKS + b)
                bad("C8: block reused into which a slot points");
    GH->dirty[LOCKS + b] = 0;
    if (GH->owner[LOCKS + b])
        bad("C8: block reused with its lock held");
}
void ghost_told(W b)
{
    if (!b)
        return;
    GH->told[me] = b;
    for (int t = 0; t < THREADS; t++)
        if (GH->told[t] && GH->told[t] != b)
            bad("C9: two blocks for one name");
    if (G->block[b][1] != 0x111)
        bad("C9: a name seen half-made");
}

/* ---- recovery, growth, circles ---- */
void ghost_recovering(W id, bool on)
{
    W *who = &GH->recovering[(id & 7u) - 1];
    if (on) {
        if (*who && *who != me + 1 && S->thread[*who - 1].status == RUNS)
            bad("C6: two recover one");
        W holder = GH->holder[(id & 7u) - 1];
        if (holder && S->thread[holder - 1].status == RUNS)
            bad("C4: a living one is recovered");
        *who = (W)(me + 1);
    } else if (*who == me + 1) {
        *who = 0;
    }
}
void ghost_claim(int r, W generation)
{
    if (generation < GH->claimed[r])
        bad("C4: an identity used twice");
    GH->claimed[r] = (W)(generation + 1);
}
void ghost_step(void)
{
    if (G->committed < GH->most_committed)
        bad("C11: committed shrank");
    GH->most_committed = G->committed;
    if (G->committed > G->side || G->committed > G->backed)
        bad("C11: published before the backing committed");
}
/* Is there a circle of waits from the caller back to it, of the living, and none of the others gives up by itself? */
bool ghost_circle(void)
{
    W waits = R->waits;
    for (int n = 0; n <= RECORDS && waits; n++) {
        W o = *CELL(waits >> 1) & (W)~ID_DIRTY;
        if (!o || fate_now(o) != ALIVE)
            return false;
        if (o == V.id)
            return true;
        waits = G->record[(o & 7) - 1].waits;
        if (waits & 1)
            return false;
    }
    return false;
}

/* ---- the end of a run ---- */
static void judge_blocks(int *ret_reached)
{
    int reached = 0;
    for (W b = 1; b <= BLOCKS; b++) {
        int n = references(b, false), s = span_of(b);
        W w = G->span[s].word;
        bool is_first = (b - 1) % PER == 0, small = SPAN_STATE(w) == SPAN_SMALL;
        if (small ? absent[b] : !(SPAN_STATE(w) == SPAN_RUN && is_first)) {
            if (n)
                bad("C3: ref to no block");
            continue;
        }
        bool is_free = G->span[s].f & bit_of(b), limbo = !is_free && G->span[s].r[(b - 1) % PER];
        if (is_free + limbo + n != 1)
            bad((n || is_free || limbo) ? "C3: block free and reachable, or reachable twice" : "C3: block leaked");
        reached += n ? small ? 1 : PER * (int)SPAN_ARGUMENT(w) : 0;
        if (n && G->block[b][0] != (GH->dirty[LOCKS + b] ? ID_DIRTY : 0))
            bad("C2: lock in a block held, or its dirty bit wrong");
    }
    for (int s = 0; s < SPANS; s++) {
        W w = G->span[s].word;
        if (w && s >= G->committed)
            bad("C10: span beyond what is committed");
        if (SPAN_STATE(w) == SPAN_RUN)
            for (unsigned k = 1; k < SPAN_ARGUMENT(w); k++)
                if (SPAN_STATE(G->span[s + (int)k].word) != SPAN_REST ||
                    SPAN_ARGUMENT(G->span[s + (int)k].word) != k)
                    bad("C10: a run without its rest");
    }
    *ret_reached = reached;
}
/* C5: the judge takes all spans, and allocates until nothing is left. */
static void judge_heap(int reached)
{
    int usable = 0, count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int s = 0; s < G->committed; s++) {
            W w = G->span[s].word;
            if (w && fate_now((W)SPAN_OWNER(w)) == ALIVE && SPAN_OWNER(w) != V.id) {
                G->span[s].word = SPAN_WORD(V.id, SPAN_ARGUMENT(w), SPAN_STATE(w));
                if (SPAN_STATE(w) == SPAN_SMALL)
                    V.mine |= (W)(1u << s);
            } else {
                adopt(s);
            }
        }
    for (int s = 0; s < G->committed; s++) {
        W w = G->span[s].word;
        V.aged[s] = (1 << PER) - 1;
        V.aged_at[s] = 0;
        if (SPAN_STATE(w) == SPAN_RUN && SPAN_OWNER(w) == V.id) {
            if (!(G->span[s].f & 1) && G->span[s].r[0])
                G->span[s].f |= 1;
            if (G->span[s].f & 1)
                take_apart(s);
        }
    }
    V.safe = 0xfff;
    for (int s = 0; s < SPANS; s++)
        if (V.mine >> s & 1)
            reap(s);
    while (claim_span())
        ;
    for (int s = 0; s < G->committed; s++)
        for (int k = 0; k < PER; k++)
            usable += !absent[s * PER + k + 1];
    for (W b; count <= BLOCKS && (b = pick(0)); count++) {
        ghost_fill(b);
        take(b);
    }
    if (count != usable - reached)
        bad("C5: blocks that can be allocated");
}
void judge(struct state *s)
{
    int reached;
    const struct scenario *sc = &scenarios[scenario_no];
    for (int i = 0; i < sc->threads; i++)
        if (s->thread[i].status == RUNS && !(sc->daemons >> i & 1))
            bad("C12: waits for ever");
    for (int r = 0; r < RECORDS; r++)
        if (G->record[r].state && !G->record[r].live)
            recover(MAKE_ID(r, G->record[r].generation));
    for (int i = 0; i < LOCKS; i++)
        if (G->lock[i] != (GH->dirty[i] ? ID_DIRTY : 0))
            bad("C2: lock held, or its dirty bit wrong");
    for (int i = 0; i < CELLS; i++)
        if (G->cell[i] != GH->want[i])
            bad("C1: data");
    if (scenario_no == 19 && (G->next[0] == 2 ? G->next[2] != 1 || G->next[1] != 3
                                              : G->next[0] != 1 || G->next[1] != 2 || G->next[2] != 3))
        bad("C1: a list that is neither as it was nor as it was to be");
    if (sc->options & MAP) {
        lock(&G->lock[0], 0);
        map_settle();
        unlock(&G->lock[0]);
        W b = REF(G->link);
        if (G->pair[0] != GH->key[0] || (b ? G->block[b][1] : G->pair[1]) != GH->key[1])
            bad("C1: key");
        if (b && (G->pair[1] || G->link & CLEANING))
            bad("C1: a moved entry left behind");
    }
    for (int r = 0; r < RECORDS; r++) {
        struct record *d = &G->record[r];
        if (d->state && !d->live)
            bad("C4: dead and not recovered");
        if (!d->state && d->live && d->byte)
            bad("C4: live and not taken");
        if (d->journal || d->intent || d->waits || (d->epoch && !(scenario_no == 4 && r == 3)))
            bad("C4: journal, intent, pin or waits");
        for (int i = 0; i < SLOTS; i++)
            if (d->slot[i])
                bad("C4: held slot");
    }
    for (int t = 0; t < THREADS; t++)
        if (GH->told[t] && GH->told[t] != G->cell[2])
            bad("C9: the name told is not bound");
    judge_blocks(&reached);
    if (!totals_violations())
        judge_heap(reached);
}
