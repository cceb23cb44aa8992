/* core.c - the code under test: the crash core and the heap, as docs/crash-core.md's table of orders of stores has them.
 *
 * Each function's stores stand in the table's order; BUG(x) plants the fault x of faults.h. Private caches are left out: they
 * are hints, lost at death. Reads of span words that are the caller's own come from private memory (V.mine), as in the heap. */
#include "machine.h"

static struct record *record_of(W id)
{
    return &G->record[(id & 7u) - 1];
}

/* ---- identities ---- */
enum fate fate_now(W id)
{
    const struct record *d = record_of(id);
    if (d->generation != (id & ~ID_DIRTY) >> 3 || !d->state)
        return GONE;
    return d->live ? ALIVE : FALLEN;
}
static W look_fate(W id)
{
    return fate_now(id);
}
static bool is_of_now(struct record *d, W id)
{
    return load(&d->generation) == (id & ~ID_DIRTY) >> 3 && load(&d->state);
}
/* Generation and state are read before liveness and again after it: before, or a claim under way (liveness, then state) looks
 * dead; after, or one who has left in good order does. */
static enum fate fate_of(W id)
{
    if (!option(FINE_FATE))
        return (enum fate)observe(look_fate, id);
    struct record *d = record_of(id);
    if (!BUG(FATE_AFTER) && !is_of_now(d, id))
        return GONE;
    W live = load(&d->live);
    if (!is_of_now(d, id))
        return GONE;
    return live ? ALIVE : FALLEN;
}

/* ---- journal and log ---- */
/* F: 1 -> 0 */
void take(W b)
{
    W *f = &G->span[span_of(b)].f;
    keep(f, own(f) & (W)~bit_of(b));
}
static unsigned words_of(W journal)
{
    return journal >> 2;
}
static unsigned state_of(W journal)
{
    return journal & 3u;
}
static W *log_cell(struct record *d, unsigned i)
{
    return i < LOG ? &d->log[i] : &G->block[own(&d->log_more)][1 + i - LOG];
}
/* One extent: a block published by one store into log_more, outside the section's log. It stays with the record. */
static int log_extend(void)
{
    W b = pick(0);
    if (!b)
        return -1;
    if (!BUG(EXTENT_LOGGED)) {
        publish(b, &R->log_more, b);
        return 0;
    }
    unsigned at = words_of(own(&R->journal));
    keep(log_cell(R, at), (W)(b | LOG_ALLOC << 12));
    keep(&R->journal, JOURNAL(OPEN, at + 1));
    take(b);
    store(&R->log_more, b);
    return 0;
}
/* Room for n words more that lie in one piece. Returns where, or -1; what lies before is padding. */
static int log_reserve(unsigned n)
{
    unsigned at = words_of(own(&R->journal)), most = BUG(EXTENT_LOGGED) ? LOG - 1 : LOG;
    if (at + n > most && !own(&R->log_more)) {
        if (log_extend())
            return -1;
        at = words_of(own(&R->journal));
    }
    if (at < LOG && at + n > LOG) {
        while (at < LOG)
            keep(log_cell(R, at++), 0);
    }
    return at + n > LOG + BLOCK_WORDS - 1 ? -1 : (int)at;
}
static int log_append(const W *words, unsigned n)
{
    int at = log_reserve(n);
    if (at < 0)
        return -1;
    if (BUG(COUNT_FIRST))
        keep(&R->journal, JOURNAL(OPEN, at + n));
    for (unsigned i = 0; i < n; i++)
        keep(log_cell(R, at + i), words[i]);
    if (!BUG(COUNT_FIRST))
        keep(&R->journal, JOURNAL(OPEN, at + n));
    return 0;
}
void begin(void)
{
    if (V.depth++)
        return;
    V.frees = V.doomed = 0;
    keep(&R->journal, JOURNAL(OPEN, 0));
}
int save(W *p)
{
    W entry[2] = {own(p), (W)(OFF(p) | 1u << 12)};
    return log_append(entry, 2);
}
int log_count(W *p)
{
    W entry = (W)(OFF(p) | LOG_COUNT << 12);
    return log_append(&entry, 1);
}
int write_word(W *p, W v)
{
    if (save(p))
        return -1;
    store(p, v);
    GHOST(ghost_write(OFF(p), v));
    return 0;
}
static W code_of(struct record *d)
{
    return (W)(1 + (d - G->record));
}

/* An allocation undone: somebody may have read its ref without a lock, so it is retired. */
static void undo_alloc(struct record *d, W b)
{
    if (BUG(UNDO_FREES))
        keep(&G->span[span_of(b)].f, own(&G->span[span_of(b)].f) | bit_of(b));
    else if (!(own(&G->span[span_of(b)].f) & bit_of(b)) && !own(r_of(b)))
        store(r_of(b), (W)(RETIRED | code_of(d)));
}
static void undo_oldest_first(struct record *d)
{
    W from[LOG + BLOCK_WORDS] = {0};
    int saves = 0;
    for (unsigned n = words_of(own(&d->journal)); n;) {
        W entry = own(log_cell(d, n - 1));
        if (entry >> 12 == 1)
            from[saves++] = (W)n;
        n -= entry >> 12 == 1 ? 2 : 1;
    }
    while (saves--)
        store(CELL(own(log_cell(d, from[saves] - 1u)) & 0xfffu), own(log_cell(d, from[saves] - 2u)));
}
/* Newest first; may be run again after any store. Leaves {open, 0}. */
static void undo(struct record *d)
{
    unsigned n = words_of(own(&d->journal));
    if (BUG(OLDEST_FIRST))
        undo_oldest_first(d);
    while (n) {
        W entry = own(log_cell(d, n - 1));
        unsigned kind = entry >> 12;
        if (kind == 1 && !BUG(OLDEST_FIRST))
            store(CELL(entry & 0xfffu), own(log_cell(d, n - 2)));
        else if (kind == LOG_ALLOC)
            undo_alloc(d, entry & 0xfffu);
        else if (kind == LOG_COUNT && !BUG(COUNT_NOT_UNDONE))
            store(CELL(entry & 0xfffu), (W)(own(CELL(entry & 0xfffu)) + 1));
        n -= kind == 1 ? 2 : 1;
        keep(&d->journal, JOURNAL(OPEN, n));
    }
}
/* The state of a freed block. Own span: free at once; else, or retired: its R byte. */
static void set_freed(struct record *d, W id, W b, W kind)
{
    struct span *s = &G->span[span_of(b)];
    if (kind == INTENT_FREE && SPAN_OWNER(load(&s->word)) == id)
        keep(&s->f, own(&s->f) | bit_of(b));
    else
        store(r_of(b), (W)((kind == INTENT_RETIRE ? RETIRED : 0) |
                           (BUG(RECOVERER_CODE) && d != R ? code_of(R) : code_of(d))));
}
/* J is {committed, n}: frees, newest first, each in hand while its state may be set again. Leaves {committed, 0}. */
static void apply_frees(struct record *d, W id)
{
    unsigned n = words_of(own(&d->journal));
    while (n) {
        W entry = own(log_cell(d, n - 1)), b = entry & 0xfffu;
        unsigned kind = entry >> 12;
        if (kind < LOG_FREE || kind == LOG_COUNT) {
            n -= kind == 1 ? 2 : 1;
            continue;
        }
        if (!BUG(NO_HAND))
            store(&d->intent, (W)(b << 3 | INTENT_HAND));
        set_freed(d, id, b, kind == LOG_FREE ? INTENT_FREE : INTENT_RETIRE);
        if (BUG(HAND_EARLY))
            store(&d->intent, 0);
        n--;
        keep(&d->journal, JOURNAL(COMMITTED, n));
    }
    if (own(&d->intent))
        store(&d->intent, 0);
    keep(&d->journal, JOURNAL(COMMITTED, 0));
}
static void end_pass(void);
void abort_section(void)
{
    if (V.depth > 1) {
        V.depth--;
        V.doomed = !BUG(INNER_ABORT);
        return;
    }
    for (int i = 0; i < SLOTS; i++)
        if (own(&R->slot[i]) & MEND && !BUG(MEND_KEPT))
            store(&R->slot[i], own(&R->slot[i]) & ~MEND);
    undo(R);
    keep(&R->journal, JOURNAL(IDLE, 0));
    GHOST(ghost_end(false));
    end_pass();
    V.depth = V.doomed = 0;
}
int commit(void)
{
    if (V.depth > 1) {
        V.depth--;
        return 0;
    }
    if (V.doomed) {
        abort_section();
        return -1;
    }
    W n = (W)words_of(own(&R->journal));
    bool frees = V.frees;
    keep(&R->journal, frees && !BUG(COMMIT_IDLE) ? JOURNAL(COMMITTED, n) : JOURNAL(IDLE, 0));
    GHOST(ghost_end(true));
    if (frees) {
        if (BUG(COMMIT_IDLE))
            keep(&R->journal, JOURNAL(COMMITTED, n));
        apply_frees(R, V.id);
        keep(&R->journal, JOURNAL(IDLE, 0));
    }
    V.frees = 0;
    end_pass();
    V.depth = 0;
    return 0;
}

/* ---- locks ---- */
static W *slot_find(W off)
{
    for (int i = 0; i < SLOTS; i++)
        if (own(&R->slot[i]) >> 5 == off)
            return &R->slot[i];
    bad(off ? "no slot of this lock" : "no slot free");
    return &R->slot[SLOTS - 1];
}
static W *slot_take(W first)
{
    W *slot = slot_find(0);
    W used = (W)(slot - R->slot + 1);
    bool rises = used > own(&R->slots_used);
    if (rises && !BUG(SLOTS_USED_LATE))
        store(&R->slots_used, used);
    if (!BUG(SLOT_LATE))
        store(slot, first);
    if (rises && BUG(SLOTS_USED_LATE))
        store(&R->slots_used, used);
    return slot;
}
static W look_circle(W t)
{
    GH->cycle[t] |= (W)ghost_circle();
    return 0;
}

/* Does who holds l wait for the caller, through participants that cannot give up? The first look reads a participant's count
 * before its word, the second the other way round: what both saw was so at one moment, between the two looks. */
static bool circle(W *l)
{
    W owner[RECORDS], count[RECORDS], waits[RECORDS];
    int n;
    for (;;) {
        W *p = l;
        for (n = 0; n < RECORDS; n++) {
            observe(look_circle, (W)me);
            W o = load(p) & (W)~ID_DIRTY;
            if (!o)
                return false;
            owner[n] = o;
            if (o == V.id)
                break;
            if (fate_of(o) != ALIVE)
                return false;
            count[n] = load(&record_of(o)->waits_count);
            waits[n] = load(&record_of(o)->waits);
            if (!waits[n] || (waits[n] & 1 && !BUG(CIRCLE_TIMED)))
                return false;
            p = CELL(waits[n] >> 1);
        }
        if (n == RECORDS || n == 0)
            return n == 0;
        if (BUG(CIRCLE_ONE_LOOK))
            return true;
        bool same = true;
        p = l;
        observe(look_circle, (W)me);
        for (int i = 0; i <= n && same; i++) {
            same = (load(p) & (W)~ID_DIRTY) == owner[i];
            if (i == n || !same)
                break;
            W c = 0, w;
            if (BUG(CIRCLE_SAME_ORDER))
                c = load(&record_of(owner[i])->waits_count);
            w = load(&record_of(owner[i])->waits);
            if (!BUG(CIRCLE_SAME_ORDER))
                c = load(&record_of(owner[i])->waits_count);
            same = w == waits[i] && (c == count[i] || BUG(CIRCLE_NO_COUNT)) &&
                   (BUG(CIRCLE_DEAD) || fate_of(owner[i]) == ALIVE);
            p = CELL(waits[i] >> 1);
        }
        if (same)
            return true;
    }
}
/* The lock is another's who lives. 0: look again; -1: a circle; -2: gave up. */
static int wait_for(W *l, W o, unsigned flags)
{
    bool walks = option(WALKS) && V.depth;
    int result = 0;
    if (walks) {
        keep(&R->waits_count, own(&R->waits_count) + 1);
        if (BUG(CIRCLE_WAITS_LATE))
            result = circle(l) ? -1 : 0;
        store(&R->waits, (W)(OFF(l) << 1 | !!(flags & TIMED)));
        GHOST(GH->cycle[me] = 0);
        if (!BUG(CIRCLE_WAITS_LATE) && circle(l))
            result = -1;
    }
    if (result && caught_up() && !GH->cycle[me])
        bad("C12: -EDEADLK without a circle");
    if (!result) {
        AWAIT(*l != o || fate_now(o) != ALIVE || (flags & TIMED));
        if (flags & TIMED && load(l) == o && fate_of(o) == ALIVE)
            result = -2;
    }
    if (walks)
        store(&R->waits, 0);
    return result;
}
int lock(W *l, unsigned flags)
{
    W off = OFF(l), in = flags & (SECTION | INNER), o;
    W *slot = slot_take((W)(off << 5 | in | WANT));
    if (flags & UNPIN)
        read_end(); /* from here on the slot keeps the block in which the lock is */
    for (;;) {
        o = load(l);
        if (!(o & ~ID_DIRTY)) {
            if (swap(l, o, o | V.id)) {
                GHOST(ghost_take(off, o));
                break;
            }
        } else if (fate_of(o) != ALIVE) {
            recover(o & (W)~ID_DIRTY);
        } else {
            int e = wait_for(l, o, flags);
            if (e) {
                store(slot, 0);
                return e;
            }
        }
    }
    store(slot, (W)(off << 5 | in));
    GHOST(ghost_held(off, in));
    return o & ID_DIRTY;
}
static void release(W *l, W left)
{
    store(l, left);
    GHOST(ghost_release(OFF(l)));
}
void unlock(W *l)
{
    W off = OFF(l), *slot = slot_find(off), s = own(slot);
    if (V.depth && (!(s & INNER) || BUG(INNER_PUT_OFF)) && !BUG(ONE_PHASE)) {
        store(slot, s | DEFER);
        GHOST(W *how = &GH->how[lock_number(off)]; *how = *how == IN_SECTION ? SECTION_PUT_OFF
                                                          : *how == OUTSIDE  ? OUTSIDE_PUT_OFF
                                                                             : *how);
        return;
    }
    store(slot, s | WANT);
    GHOST(GH->how[lock_number(off)] = IN_LOCK);
    if (BUG(UNLOCK_SLOT_FIRST))
        store(slot, 0);
    release(l, own(l) & ID_DIRTY);
    if (off >= OFF(G->block))
        load(l + 2); /* are there waiters? The memory must still be what it was */
    if (!BUG(UNLOCK_SLOT_FIRST))
        store(slot, 0);
}
void consistent(W *l)
{
    W off = OFF(l), *slot = slot_find(off);
    if (V.depth && !BUG(MEND_NOW)) {
        store(slot, own(slot) | MEND);
        GHOST(GH->mend[lock_number(off)] = 1);
        return;
    }
    store(l, V.id);
    GHOST(if (BUG(MEND_NOW)) GH->mend[lock_number(off)] = 1; else GH->dirty[lock_number(off)] = 0);
}
/* The journal has become idle. Before the next begin. */
static void end_pass(void)
{
    for (int i = 0; i < SLOTS; i++) {
        W s = own(&R->slot[i]), *l = CELL(s >> 5);
        if (!s || s & INNER)
            continue;
        if (s & DEFER) {
            if (BUG(END_SLOT_FIRST))
                store(&R->slot[i], 0);
            release(l, s & MEND ? 0 : own(l) & ID_DIRTY);
            if (!BUG(END_SLOT_FIRST))
                store(&R->slot[i], 0);
        } else if (s & (SECTION | MEND) && !BUG(STALE_SECTION)) {
            if (s & MEND)
                store(l, V.id);
            store(&R->slot[i], s & ~31u);
        }
    }
}

/* ---- heap: states of blocks ---- */

W alloc(void)
{
    W b, entry;
    if (log_reserve(1) < 0 || !(b = pick(0))) /* room first: the log may grow by a block too */
        return 0;
    entry = (W)(b | LOG_ALLOC << 12);
    if (BUG(TAKE_FIRST))
        take(b);
    log_append(&entry, 1);
    if (!BUG(TAKE_FIRST))
        take(b);
    return b;
}
int free_block(W b, W kind)
{
    W entry = (W)(b | kind << 12);
    if (log_append(&entry, 1))
        return -1;
    V.frees++;
    return 0;
}
/* ---- one-step operations ---- */
void publish(W b, W *place, W word)
{
    if (!BUG(INTO_NO_INTENT))
        store(&R->intent, (W)(OFF(place) << 3 | INTENT_ALLOC));
    if (BUG(INTO_TAKE_FIRST))
        take(b);
    store(place, word);
    GHOST(ghost_set(OFF(place), word));
    if (!BUG(INTO_TAKE_FIRST))
        take(b);
    store(&R->intent, 0);
}
int alloc_into(W *place, W value)
{
    W b = own(place) ? 0 : pick(value);
    if (!b)
        return -1;
    publish(b, place, b);
    return 0;
}
int free_from(W *place, W kind)
{
    W b = own(place);
    if (!b)
        return -1;
    store(&R->intent, (W)(OFF(place) << 3 | kind));
    if (BUG(FROM_PLACE_FIRST))
        store(place, 0);
    set_freed(R, V.id, b, kind);
    GHOST(ghost_set(OFF(place), 0));
    if (!BUG(FROM_PLACE_FIRST)) {
        if (BUG(FROM_INTENT_FIRST))
            store(&R->intent, 0);
        store(place, 0);
    }
    if (!BUG(FROM_INTENT_FIRST))
        store(&R->intent, 0);
    return 0;
}
int replace(W *place, W value)
{
    W old = own(place), b = pick(value);
    if (!b)
        return -1;
    if (!BUG(SWAP_OLD_LATE))
        store(&R->swap_old, old);
    store(&R->intent, (W)(OFF(place) << 3 | INTENT_SWAP));
    if (BUG(SWAP_OLD_LATE))
        store(&R->swap_old, old);
    if (BUG(SWAP_RETIRE_FIRST))
        store(r_of(old), (W)(RETIRED | code_of(R)));
    store(place, b);
    GHOST(ghost_set(OFF(place), b));
    take(b);
    if (!BUG(SWAP_RETIRE_FIRST))
        store(r_of(old), (W)(RETIRED | code_of(R)));
    store(&R->intent, 0);
    return 0;
}
/* What a dead one's intent says, done to its end. Repeatable. */
static void roll_forward(struct record *d, W id)
{
    W intent = own(&d->intent), *place = CELL(intent >> 3), b;
    unsigned kind = intent & 7u;
    if (!intent || kind == INTENT_HAND)
        return;
    b = REF(own(place));
    if (kind == INTENT_ALLOC || kind == INTENT_SWAP) {
        if (kind == INTENT_SWAP && b == own(&d->swap_old))
            return;
        W w = b ? load(&G->span[span_of(b)].word) : 0;
        if (b && SPAN_OWNER(w) == id && own(&G->span[span_of(b)].f) & bit_of(b) && !BUG(NO_ROLL))
            take(b);
        W old = own(&d->swap_old);
        if (kind == INTENT_SWAP && old && !own(r_of(old)))
            store(r_of(old), (W)(RETIRED | code_of(d)));
    } else if (b) {
        bool is_free =
            SPAN_OWNER(load(&G->span[span_of(b)].word)) == id && own(&G->span[span_of(b)].f) & bit_of(b);
        if (is_free || own(r_of(b)) || BUG(ROLL_BLIND))
            store(place, 0);
    }
}

/* ---- reap ---- */
static W blocks_in_hand(int s, W some)
{
    for (int r = 0; r < scenarios[scenario_no].threads && !BUG(HAND_IGNORED); r++) {
        bool by_him = false;
        for (int i = 0; i < PER; i++) /* only who is named by an R byte of these can have one in hand */
            by_him |= some >> i & 1 && (own(&G->span[s].r[i]) & 0x7fu) == (W)(1 + r);
        if (!by_him)
            continue;
        W intent = load(&G->record[r].intent), b;
        if (!intent || (intent & 7u) == INTENT_ALLOC)
            continue;
        if ((intent & 7u) == INTENT_HAND)
            b = intent >> 3;
        else if ((intent & 7u) == INTENT_SWAP)
            b = load(&G->record[r].swap_old);
        else
            b = REF(load(CELL(intent >> 3)));
        if (b && span_of(b) == s)
            some &= (W)~bit_of(b);
    }
    return some;
}
static W blocks_no_slot_points_into(int s, W some)
{
    for (int r = 0; r < scenarios[scenario_no].threads && !BUG(SLOTS_IGNORED); r++) {
        W used = load(&G->record[r].slots_used);
        for (int i = 0; i < used && some; i++) {
            W off = load(&G->record[r].slot[i]) >> 5;
            if (off < OFF(G->block[1]))
                continue;
            W b = (W)((off - OFF(G->block)) / BLOCK_WORDS);
            if (span_of(b) == s)
                some &= (W)~bit_of(b);
        }
    }
    return some;
}
/* The order matters: R bytes; grace (pins); intents; slots. */
void reap(int s)
{
    struct span *t = &G->span[s];
    W f = own(&t->f), some = 0, aging = 0, early = (1 << PER) - 1;
    if (BUG(HAND_FIRST))
        early = blocks_in_hand(s, early);
    for (int i = 0; i < PER; i++) {
        if (f >> i & 1 || absent[s * PER + i + 1])
            continue;
        W r = load(&t->r[i]);
        if (!r)
            continue;
        if (r & RETIRED && !BUG(NO_GRACE) && !(V.aged[s] >> i & 1 && V.aged_at[s] < V.safe))
            aging |= (W)(1u << i);
        else
            some |= (W)(1u << i);
    }
    if (BUG(HAND_FIRST))
        some &= early;
    else
        some = some ? blocks_in_hand(s, some) : 0;
    if (some && !BUG(SLOTS_FIRST))
        some = blocks_no_slot_points_into(s, some);
    if (some) {
        V.aged[s] &= (W)~some;
        if (!BUG(REAP_R_FIRST))
            keep(&t->f, f | some);
        for (int i = 0; i < PER; i++)
            if (some >> i & 1)
                store(&t->r[i], 0);
        if (BUG(REAP_R_FIRST))
            keep(&t->f, f | some);
    }
    /* what is retired ages from when nobody has it in hand any more: before that its ref may still be where readers look */
    if (aging && !BUG(AGED_IN_HAND))
        aging = blocks_in_hand(s, aging);
    if (aging & ~V.aged[s]) {
        V.aged_at[s] = load(&G->epoch);
        V.aged[s] |= aging;
    }
}
W epoch_advance(void)
{
    W e = load(&G->epoch), least;
    swap(&G->epoch, e, e + 1);
    least = e;
    for (int r = 0; r < scenarios[scenario_no].threads && !BUG(NO_PIN); r++) {
        W pin = load(&G->record[r].epoch);
        if (pin && (load(&G->record[r].live) || BUG(DEAD_PIN)) && pin - 1 < least)
            least = pin - 1;
    }
    V.safe = least;
    return least;
}
void read_begin(void)
{
    if (BUG(PIN_LATE))
        return;
    W e = load(&G->epoch);
    store(&R->epoch, e + 1);
}
void read_end(void)
{
    store(&R->epoch, 0);
    GHOST(GH->reading[me] = 0);
}

/* ---- spans ---- */
static void init_table(int s)
{
    for (int i = 0; i < PER; i++)
        store(&G->span[s].r[i], 0);
    keep(&G->span[s].f, (1 << PER) - 1);
}
int claim_span(void)
{
    for (int s = 0; s < load(&G->committed); s++) {
        if (load(&G->span[s].word) ||
            !swap(&G->span[s].word, 0, SPAN_WORD(V.id, 0, BUG(SPAN_NO_INIT) ? SPAN_SMALL : SPAN_INIT)))
            continue;
        init_table(s);
        store(&G->span[s].word, SPAN_WORD(V.id, 0, SPAN_SMALL));
        V.mine |= (W)(1u << s);
        return 1;
    }
    return 0;
}
/* Two spans, one block: its number, free, or 0. */
W claim_run(void)
{
    for (int s = 0; s + 1 < load(&G->committed); s++) {
        W *first = &G->span[s].word, *rest = &G->span[s + 1].word;
        if (load(first) || load(rest) || !swap(first, 0, SPAN_WORD(V.id, 0, SPAN_INIT)))
            continue;
        if (BUG(RUN_FIRST)) {
            keep(&G->span[s].f, 1);
            store(&G->span[s].r[0], 0);
            store(first, SPAN_WORD(V.id, 2, SPAN_RUN));
        }
        if (BUG(RUN_STORE))
            store(rest, SPAN_WORD(V.id, 0, SPAN_INIT));
        else if (!swap(rest, 0, SPAN_WORD(V.id, 0, SPAN_INIT))) {
            store(first, 0);
            continue;
        }
        store(rest, SPAN_WORD(V.id, 1, SPAN_REST));
        if (!BUG(RUN_FIRST)) {
            keep(&G->span[s].f, 1);
            store(&G->span[s].r[0], 0);
            store(first, SPAN_WORD(V.id, 2, SPAN_RUN));
        }
        return (W)(s * PER + 1);
    }
    return 0;
}
/* A run of the caller's own whose block is free goes back to nobody. */
void take_apart(int s)
{
    W *first = &G->span[s].word;
    int n = (int)SPAN_ARGUMENT(own(first));
    if (!BUG(APART_NO_INIT))
        store(first, SPAN_WORD(V.id, 0, SPAN_INIT));
    if (BUG(APART_FIRST_FIRST))
        store(first, 0);
    for (int k = 1; k < n; k++) {
        W *rest = &G->span[s + k].word, w = load(rest);
        if (BUG(APART_STORE))
            store(rest, 0);
        else if (SPAN_STATE(w) == SPAN_REST && SPAN_ARGUMENT(w) == (W)k)
            swap(rest, w, 0); /* lost: it was put right meanwhile, as the rest of no run */
    }
    if (!BUG(APART_FIRST_FIRST))
        store(first, 0);
}
/* The run that begins with block b, if it is the caller's: one span more, or less, where it is. 0, -1. */
int run_longer(W b)
{
    W *first = &G->span[span_of(b)].word, w = load(first), n = (W)SPAN_ARGUMENT(w), *rest = first;
    if (SPAN_STATE(w) != SPAN_RUN || SPAN_OWNER(w) != V.id || span_of(b) + (int)n >= load(&G->committed))
        return -1;
    rest = &G->span[span_of(b) + (int)n].word;
    if (load(rest))
        return -1;
    store(&R->intent, (W)(b << 3 | INTENT_HAND));
    if (BUG(LONGER_STORE))
        store(rest, SPAN_WORD(V.id, 0, SPAN_INIT));
    else if (!swap(rest, 0, SPAN_WORD(V.id, 0, SPAN_INIT))) {
        store(&R->intent, 0);
        return -1;
    }
    if (BUG(LONGER_FIRST))
        store(first, SPAN_WORD(V.id, n + 1, SPAN_RUN));
    store(rest, SPAN_WORD(V.id, n, SPAN_REST));
    if (!BUG(LONGER_FIRST))
        store(first, SPAN_WORD(V.id, n + 1, SPAN_RUN));
    store(&R->intent, 0);
    return 0;
}
int run_shorter(W b)
{
    W *first = &G->span[span_of(b)].word, w = load(first), n = (W)SPAN_ARGUMENT(w), *rest;
    if (SPAN_STATE(w) != SPAN_RUN || SPAN_OWNER(w) != V.id || n < 2)
        return -1;
    rest = &G->span[span_of(b) + (int)n - 1].word;
    store(&R->intent, (W)(b << 3 | INTENT_HAND));
    if (!BUG(SHORTER_FIRST))
        store(first, SPAN_WORD(V.id, n - 1, SPAN_RUN));
    w = load(rest);
    if (BUG(SHORTER_STORE))
        store(rest, 0);
    else if (SPAN_STATE(w) == SPAN_REST && SPAN_ARGUMENT(w) == n - 1)
        swap(rest, w, 0);
    if (BUG(SHORTER_FIRST))
        store(first, SPAN_WORD(V.id, n - 1, SPAN_RUN));
    store(&R->intent, 0);
    return 0;
}
int run_into(W *place)
{
    W b = own(place) ? 0 : claim_run();
    if (!b)
        return -1;
    publish(b, place, b);
    return 0;
}
void adopt(int s)
{
    W w = load(&G->span[s].word);
    if (!w)
        return;
    enum fate fate = fate_of((W)SPAN_OWNER(w));
    if (fate == ALIVE || (fate == FALLEN && !BUG(ADOPT_FALLEN)))
        return;
    if (SPAN_STATE(w) == SPAN_INIT) {
        swap(&G->span[s].word, w, 0);
        return;
    }
    if (SPAN_STATE(w) == SPAN_REST) {
        W first = load(&G->span[s - SPAN_ARGUMENT(w)].word);
        if (BUG(REST_UNCOVERED) || !(SPAN_STATE(first) == SPAN_RUN && SPAN_ARGUMENT(first) > SPAN_ARGUMENT(w)))
            if (!BUG(REST_KEPT))
                swap(&G->span[s].word, w, 0);
        return;
    }
    if (BUG(ADOPT_STORE))
        store(&G->span[s].word, SPAN_WORD(V.id, SPAN_ARGUMENT(w), SPAN_STATE(w)));
    else if (!swap(&G->span[s].word, w, SPAN_WORD(V.id, SPAN_ARGUMENT(w), SPAN_STATE(w))))
        return;
    for (int i = 0; i < PER && !BUG(ADOPT_KEEPS_R); i++)
        if (own(&G->span[s].f) >> i & 1 && load(&G->span[s].r[i]))
            store(&G->span[s].r[i], 0);
    if (SPAN_STATE(w) == SPAN_RUN) {
        if (own(&G->span[s].f) & 1)
            take_apart(s);
        return;
    }
    V.aged[s] = 0;
    V.mine |= (W)(1u << s);
}
static W first_free(void)
{
    for (int s = 0; s < SPANS; s++)
        if (V.mine >> s & 1)
            for (int i = 0; i < PER; i++)
                if (own(&G->span[s].f) >> i & 1 && !absent[s * PER + i + 1])
                    return (W)(s * PER + i + 1);
    return 0;
}
static W find_free(void)
{
    W b = first_free();
    for (int tries = 0; !b && tries < 2; tries++) {
        bool waits = false;
        for (int s = 0; s < SPANS && !b; s++)
            if (V.mine >> s & 1) {
                reap(s);
                waits |= V.aged[s] != 0;
                b = first_free();
            }
        if (!waits)
            break;
        if (!b && BUG(SLOTS_FIRST)) { /* slots looked at before the pins, and not after */
            for (int s = 0; s < SPANS; s++)
                V.aged[s] = blocks_no_slot_points_into(s, V.aged[s]);
        }
        if (!b && !tries)
            epoch_advance();
    }
    if (!b && option(ADOPTS)) {
        for (int s = 0; s < load(&G->committed); s++)
            adopt(s);
        b = first_free();
    }
    if (!b && option(CLAIMS) && claim_span())
        b = first_free();
    return b;
}
/* A free block, cleared, word 1 = value: nobody sees it yet. */
W pick(W value)
{
    W b = find_free();
    if (!b)
        return 0;
    for (int i = 0; i < BLOCK_WORDS; i++)
        if (i == 0 || own(&G->block[b][i]) != (i == 1 ? value : 0)) {
            keep(&G->block[b][i], i == 1 ? value : 0);
            GHOST(ghost_fill(b));
        }
    return b;
}
/* ---- growth ---- */
int grow(void)
{
    W c = load(&G->committed), w = (W)(c + 1);
    if (c >= SPANS)
        return 0;
    if (BUG(GROW_EARLY))
        swap(&G->committed, c, w);
    if (!BUG(GROW_NO_SIDE))
        raise_to(&G->side, w);
    raise_to(&G->backed, w);
    if (BUG(GROW_STORE))
        store(&G->committed, w);
    else
        swap(&G->committed, c, w);
    return 1;
}

/* ---- recovery ---- */
static void free_slots(struct record *d, W id)
{
    bool is_open = state_of(own(&d->journal)) == OPEN;
    for (int i = 0; i < own(&d->slots_used); i++) {
        W s = own(&d->slot[i]), *l = CELL(s >> 5), o, left;
        if (!s)
            continue;
        bool as_was = (s & WANT && !BUG(WANT_IGNORED)) || (s & INNER && !BUG(INNER_DIRTY)) ||
                      (is_open ? s & SECTION || (s & DEFER && BUG(DEFER_CLEAN)) : s & DEFER);
        o = load(l);
        left = as_was ? o & ID_DIRTY : ID_DIRTY;
        if (!is_open && s & DEFER && s & MEND)
            left = 0;
        if ((o & ~ID_DIRTY) == id)
            swap(l, o, left);
        store(&d->slot[i], 0);
    }
}
static void put_right(W id)
{
    struct record *d = record_of(id);
    unsigned state = state_of(own(&d->journal));
    if (caught_up())
        ghost_recovering(id, true);
    roll_forward(d, id);
    if (own(&d->intent) && ((own(&d->intent) & 7u) != INTENT_HAND || BUG(HAND_CLEARED)))
        store(&d->intent, 0);
    if (BUG(EARLY_RELEASE))
        free_slots(d, id);
    if (state == OPEN)
        undo(d);
    else if (state == COMMITTED)
        apply_frees(d, id);
    if (BUG(IDLE_FIRST))
        keep(&d->journal, JOURNAL(IDLE, 0));
    if (!BUG(EARLY_RELEASE))
        free_slots(d, id);
    if (own(&d->intent) && !BUG(HAND_LEFT))
        store(&d->intent, 0);
    if (own(&d->journal))
        keep(&d->journal, JOURNAL(IDLE, 0));
    if (own(&d->epoch) && !BUG(DEAD_PIN))
        store(&d->epoch, 0);
    if (own(&d->waits))
        store(&d->waits, 0);
    if (BUG(FREE_BEFORE_GENERATION))
        store(&d->state, 0);
    store(&d->generation, (W)((id >> 3) + 1));
    if (!BUG(FREE_BEFORE_GENERATION))
        store(&d->state, 0);
    if (caught_up())
        ghost_recovering(id, false);
}
/* Who is to be recovered before id can be: the last of the dead recoverers. 0: a living one is at it. ret_word: its recoverer's. */
static W last_dead(W id, W mine, W *ret_word)
{
    for (W y = id;;) {
        W o = load(&record_of(y)->recoverer);
        *ret_word = o;
        if (!o || o == mine)
            return y;
        enum fate fate = BUG(NO_TAKEOVER) ? ALIVE
                         : BUG(RECOVERER_NO_GENERATION) && o != mine
                             ? (enum fate)(G->record[(o & 7) - 1].live ? ALIVE : FALLEN)
                             : fate_of(o);
        if (fate == GONE)
            return y;
        if (fate == ALIVE) {
            AWAIT(record_of(y)->recoverer != o ||
                  (fate_now(o) != ALIVE && !BUG(NO_TAKEOVER) && !BUG(RECOVERER_NO_GENERATION)) ||
                  fate_now(y) != FALLEN);
            return 0;
        }
        y = o;
    }
}
void recover(W id)
{
    V.in_recovery++;
    while (fate_of(id) == FALLEN) {
        W word, y = last_dead(id, V.id, &word);
        if (!y)
            continue;
        if (BUG(RECOVERER_STORE))
            store(&record_of(y)->recoverer, V.id);
        else if (!swap(&record_of(y)->recoverer, word, V.id))
            continue;
        if (BUG(NO_SECOND_LOOK) || fate_of(y) == FALLEN)
            put_right(y);
        swap(&record_of(y)->recoverer, V.id, 0);
    }
    V.in_recovery--;
}
/* ---- records ---- */
int claim_record(int r)
{
    struct record *d = &G->record[r];
    if (!BUG(CLAIM_NO_BYTE) && !swap(&d->byte, 0, (W)(me + 1)))
        return 0;
    if (!BUG(CLAIM_NO_LOOK) && (load(&d->state) || load(&d->live))) {
        store(&d->byte, 0);
        return 0;
    }
    W generation = load(&d->generation);
    V.id = MAKE_ID(r, generation);
    V.record = (W)r;
    if (BUG(CLAIM_STATE_FIRST))
        store(&d->state, 1);
    else
        store(&d->live, (W)(me + 1));
    GHOST(GH->holder[r] = (W)(me + 1));
    if (BUG(CLAIM_STATE_FIRST))
        store(&d->live, (W)(me + 1));
    else
        store(&d->state, 1);
    GHOST(ghost_claim(r, generation));
    return 1;
}
/* Also where its last user died: he held nothing. Liveness first, then the recoverer's word: who recovers it has stored that word, and looks at
 * liveness again. One of the two sees. */
int claim_spare(int r)
{
    struct record *d = &G->record[r];
    if (!swap(&d->byte, 0, (W)(me + 1)))
        return 0;
    W at_it = BUG(SPARE_LOOK_FIRST) ? load(&d->recoverer) : 0;
    if (load(&d->live)) {
        store(&d->byte, 0);
        return 0;
    }
    store(&d->live, (W)(me + 1));
    bool from_dead = load(&d->state);
    if (!BUG(SPARE_LOOK_FIRST) && from_dead)
        at_it = load(&d->recoverer);
    if (from_dead && at_it && !BUG(SPARE_NO_LOOK) && fate_of(at_it) == ALIVE) {
        store(&d->live, 0);
        store(&d->byte, 0);
        return 0;
    }
    W generation = load(&d->generation);
    if (from_dead && !BUG(SPARE_SAME_GENERATION))
        store(&d->generation, ++generation);
    V.id = MAKE_ID(r, generation);
    V.record = (W)r;
    store(&d->journal, JOURNAL(IDLE, 0));
    GHOST(GH->holder[r] = (W)(me + 1));
    store(&d->recoverer, 0);
    store(&d->state, 1);
    GHOST(ghost_claim(r, generation));
    return 1;
}
void leave(void)
{
    if (BUG(LEAVE_LIVENESS_FIRST))
        store(&R->live, 0);
    if (BUG(LEAVE_STATE_FIRST)) {
        store(&R->state, 0);
        GHOST(GH->holder[V.record] = 0);
    }
    store(&R->generation, (W)((V.id >> 3) + 1));
    if (!BUG(LEAVE_STATE_FIRST)) {
        store(&R->state, 0);
        GHOST(GH->holder[V.record] = 0);
    }
    if (!BUG(LEAVE_LIVENESS_FIRST))
        store(&R->live, 0);
    store(&R->byte, 0);
}
