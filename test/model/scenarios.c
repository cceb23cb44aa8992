/* scenarios.c - what the participants do: small cases, each with the variants that matter.
 *
 * A program is a list of OPs; between two OPs a participant remembers only struct vars. Ends must be reached: a program that may
 * wait for ever is listed under daemons. cell[i] is guarded by lock[i] unless the scenario says otherwise. */
#include <string.h>

#include "machine.h"

/* ---- parts ---- */
static void set_cell(int i, W v)
{
    begin();
    lock(&G->lock[i], SECTION);
    write_word(&G->cell[i], v);
    unlock(&G->lock[i]);
    commit();
}
static void link_cell(int l, int i) /* give cell[i] a block, if it has none */
{
    begin();
    lock(&G->lock[l], SECTION);
    W b = own(&G->cell[i]) ? 0 : alloc();
    if (b)
        write_word(&G->cell[i], b);
    unlock(&G->lock[l]);
    commit();
}
static void unlink_cell(int l, int i, W kind)
{
    begin();
    lock(&G->lock[l], SECTION);
    W b = own(&G->cell[i]);
    if (b && (free_block(b, kind) || write_word(&G->cell[i], 0))) { /* freed first, unlinked second: allowed */
        unlock(&G->lock[l]);
        abort_section();
        return;
    }
    unlock(&G->lock[l]);
    commit();
}
static bool somebody_dead(int *ret_record)
{
    for (int r = 0; r < JUDGE; r++)
        if (G->record[r].state && !G->record[r].live) {
            *ret_record = r;
            return true;
        }
    return false;
}
static W look_dead(W unused)
{
    int r = JUDGE;
    (void)unused;
    return somebody_dead(&r) ? MAKE_ID(r, G->record[r].generation) : 0;
}
static void janitor(void) /* recovers who dies, three times */
{
    int r = 0;
    for (int n = 0; n < 3; n++)
        OP(n, AWAIT(somebody_dead(&r)); W id = observe(look_dead, 0); if (id) recover(id));
}
static void give_span(int s, int owner, int free_blocks)
{
    for (int i = 0; i < THREADS; i++)
        S->thread[i].vars.mine &= (W) ~(1u << s);
    S->thread[owner].vars.mine |= (W)(1u << s);
    G->span[s].word = SPAN_WORD(MAKE_ID(owner, 0), 0, SPAN_SMALL);
    G->span[s].f = (W)((1u << free_blocks) - 1);
    for (int k = 0; k < PER; k++)
        absent[s * PER + k + 1] = k >= free_blocks;
}
/* cell[i] begins with the first block of span s. */
static void fill_cell(int i, int s)
{
    W b = (W)(s * PER + 1);
    G->cell[i] = GH->want[i] = b;
    G->block[b][1] = (W)(0x100 + i);
    G->span[s].f &= (W)~1u;
}

/* ---- 1: a map's bucket splits beside an open section. variant: 1 abort; 2 its key moves; 4 a reader, else another writer;
 *         8 it has written before, so there is no split ---- */
static void split_splitter(void)
{
    W key = variant >> 1 & 1;
    OP(0, begin(); map_lock(); if (variant & 8) map_put(1, 0x104); map_split());
    OP(1, W s = key ? REF(own(&G->link)) : 0; if (s) lock(&G->block[s][0], SECTION); map_put(key, 0x105);
       if (s) unlock(&G->block[s][0]));
    OP(2, unlock(&G->lock[0]); if (variant & 1) abort_section(); else commit());
}
static void split_other(void)
{
    if (variant & 4) {
        OP(0, if (!map_get()) bad("C7: a reader missed a key that is there"));
        return;
    }
    OP(
        0, begin(); W s = REF(load(&G->link)); bool both = !s; if (both) {
            map_lock();
            s = REF(own(&G->link));
        } if (s) lock(&G->block[s][0], SECTION);
        if (s && both) observe(look_dead, 0); map_put(1, 0x107); if (s) unlock(&G->block[s][0]);
        if (both) unlock(&G->lock[0]); commit());
}

/* ---- 2: two-phase unlock, dirty bits; lock 0 is dirty at the beginning ---- */
static void phases_first(void)
{
    int v = variant;
    if (v < 4) { /* 1 consistent, 2 abort */
        OP(0, begin(); lock(&G->lock[0], SECTION); lock(&G->lock[1], SECTION); if (v & 1) consistent(&G->lock[0]));
        OP(1, write_word(&G->cell[0], 0x101); write_word(&G->cell[1], 0x102); unlock(&G->lock[0]);
           unlock(&G->lock[1]));
        OP(2, if (v & 2) abort_section(); else commit());
    } else if (v < 6) { /* lock 1 taken outside, given back inside */
        OP(0, lock(&G->lock[1], 0); begin(); lock(&G->lock[0], SECTION); write_word(&G->cell[1], 0x103));
        OP(1, write_word(&G->cell[0], 0x104); unlock(&G->lock[1]); unlock(&G->lock[0]);
           if (v & 1) abort_section(); else commit());
    } else if (v < 8) { /* a lock that outlives its section; another section under it */
        OP(0, begin(); lock(&G->lock[1], SECTION); write_word(&G->cell[1], 0x105); if (v & 1) abort_section();
           else commit());
        OP(1, begin(); write_word(&G->cell[1], 0x106); commit(); unlock(&G->lock[1]));
    } else { /* outside sections: consistent, unlock */
        OP(0, lock(&G->lock[0], 0); if (v & 1) consistent(&G->lock[0]); unlock(&G->lock[0]));
        OP(1, lock(&G->lock[1], 0); unlock(&G->lock[1]));
    }
}
static void phases_other(void)
{
    OP(0, set_cell(variant < 6 ? 0 : 1, 0x111));
    OP(1, set_cell(1, 0x112));
}

/* ---- 3: a block freed by another than its span's owner; spans adopted, adopters die. variant: 1 two adopters race; 2 retired;
 *         4 by free_from ---- */
static void remote_owner(void)
{
    OP(0, link_cell(0, 0));
    OP(1, link_cell(0, 0));
}
static void remote_freer(void)
{
    W kind = variant & 2 ? INTENT_RETIRE : INTENT_FREE;
    if (variant & 4)
        OP(0, lock(&G->lock[0], 0); free_from(&G->cell[0], kind); unlock(&G->lock[0]));
    else
        OP(0, unlink_cell(0, 0, kind == INTENT_RETIRE ? LOG_RETIRE : LOG_FREE));
}
static void heir(int dead)
{
    OP(0, AWAIT(fate_now(MAKE_ID(dead, 0)) != ALIVE); if (!BUG(ADOPT_FALLEN)) recover(MAKE_ID(dead, 0)); adopt(0));
    OP(1, link_cell(1, 1));
}
static void remote_heir(void)
{
    heir(0);
}
static void remote_heir2(void)
{
    heir(variant & 1 ? 0 : 2);
}

/* ---- 4: sections at random; the log grows, or cannot; nested ones ---- */
static W rnd(W *x, W n)
{
    *x = (W)(*x * 25173u + 13849u);
    return (*x >> 8) % n;
}
static void random_section(W x)
{
    bool failed = false, doomed = false;
    begin();
    if (rnd(&x, 2))
        lock(&G->lock[0], SECTION);
    for (int n = 1 + rnd(&x, 4); n-- && !failed;) {
        W i = rnd(&x, 2), b;
        if (rnd(&x, 4) == 0) {
            begin();
            failed = write_word(&G->cell[2], 0x100 + (x & 15));
            if (rnd(&x, 3) == 0) {
                abort_section();
                doomed = true;
            } else {
                commit();
            }
        } else if ((b = own(&G->cell[i]))) {
            failed = write_word(&G->cell[i], 0) || free_block(b, rnd(&x, 2) ? LOG_FREE : LOG_RETIRE);
        } else if ((b = alloc())) {
            failed = write_word(&G->cell[i], b);
        } else {
            failed = true;
        }
    }
    if (own(&R->slot[0]))
        unlock(&G->lock[0]);
    if (failed || rnd(&x, 5) == 0)
        abort_section();
    else if (commit() == 0 && doomed)
        bad("C1: an aborted section was committed");
}
static void random_program(void)
{
    W x = (W)(variant * 40503u + 7);
    for (int n = 0; n < 4; n++)
        OP(n, random_section((W)(x + n * 9973)));
}

/* ---- 5: readers and limbo. variant: 0 committed, then retired; 1 undone; 2 retire_from; 3 replace; 4 as 2, with a copier
 *         that announces nothing ---- */
static void limbo_writer(void)
{
    int v = variant;
    if (v < 2) {
        OP(0, begin(); lock(&G->lock[0], SECTION); W b = alloc(); if (b) write_word(&G->cell[0], b);
           unlock(&G->lock[0]); if (v & 1) abort_section(); else commit());
        OP(1, if (!(v & 1)) unlink_cell(0, 0, LOG_RETIRE));
    } else if (v == 3) {
        OP(0, replace(&G->cell[0], 0x100));
        OP(1, free_from(&G->cell[0], INTENT_RETIRE));
    } else {
        OP(0, free_from(&G->cell[0], INTENT_RETIRE));
        OP(1, alloc_into(&G->cell[1], 0x101));
    }
    OP(2, if (!own(&G->cell[1])) alloc_into(&G->cell[1], 0x101));
    OP(3, if (!own(&G->cell[1])) alloc_into(&G->cell[1], 0x101));
}
static W look_and_hold(W unused)
{
    (void)unused;
    return GH->reading[me] = G->cell[0];
}
static void limbo_reader(void)
{
    W b;
    if (variant == 4) {
        OP(0, W e = load(&G->epoch); b = load(&G->cell[0]); W v = b ? load(&G->block[b][1]) : 0;
           if (b && load(&G->epoch) - e < 2 && v != 0x100) bad("C8: a validated copy is of another object"));
        return;
    }
    OP(0, read_begin(); b = observe(look_and_hold, 0);
       if (BUG(PIN_LATE)) store(&R->epoch, load(&G->epoch) + 1); if (b) load(&G->block[b][1]); read_end());
}
static void limbo_heir(void) /* the dead writer's span goes to him */
{
    OP(0, AWAIT(fate_now(MAKE_ID(0, 0)) != ALIVE); recover(MAKE_ID(0, 0)); adopt(0));
    OP(1, if (V.mine) alloc_into(&G->cell[2], 0x102));
    OP(2, if (V.mine && !own(&G->cell[2])) alloc_into(&G->cell[2], 0x102));
}
static void limbo_owner(void) /* the span is his; the writer only retires what is in it */
{
    OP(0, alloc_into(&G->cell[2], 0x102));
    OP(1, if (!own(&G->cell[2])) alloc_into(&G->cell[2], 0x102));
}
static void limbo_third(void)
{
    if (variant >= 5)
        limbo_owner();
    else
        limbo_heir();
}

/* ---- 6: recoverers recovered; records left and claimed again. variant: 0 sections; 1 a lock held outside, and the
 *         recoverer's record claimed anew; 2 the first leaves and its record is claimed ---- */
static void recover_first(void)
{
    if (variant == 1)
        OP(0, lock(&G->lock[0], 0); unlock(&G->lock[0]));
    else
        OP(0, set_cell(0, 0x101));
    OP(1, if (variant == 2) leave());
}
static void recover_next(void)
{
    OP(0, set_cell(0, (W)(0x102 + me)));
}
static void recover_claimer(void)
{
    int r = variant == 1;
    OP(0, AWAIT((!G->record[r].state || variant == 2) && !G->record[r].live);
       if (variant == 2) recover(MAKE_ID(0, G->record[0].generation)); if (!claim_record(r)) V.pc = 9);
    OP(1, set_cell(r, 0x109));
}
/* ---- 7: records: two claim one record, whose first holder leaves or dies; the byte lock falls late ---- */
static void record_first(void)
{
    OP(0, set_cell(0, 0x101); leave());
}
static void record_claimer(void)
{
    OP(0, AWAIT(!G->record[0].live || !G->record[0].state); recover(MAKE_ID(0, 0)); if (!claim_record(0)) V.pc = 9);
    OP(1, set_cell(0, (W)(0x102 + me)));
    OP(2, leave());
}
static void record_looker(void) /* judges by an identity that may have left meanwhile */
{
    OP(0, W id = MAKE_ID(0, load(&G->record[0].generation)); recover(id));
    OP(1, W id = MAKE_ID(0, load(&G->record[0].generation)); recover(id));
}

/* ---- 8: find or make a name; the third only finds, and takes no lock ---- */
static void name_maker(void)
{
    OP(
        0, W b = 0; if (BUG(NAME_NO_LOOK)) b = load(&G->cell[2]); begin(); lock(&G->lock[2], SECTION);
        if (!BUG(NAME_NO_LOOK)) b = own(&G->cell[2]); if (!b && (b = alloc())) {
            if (!BUG(NAME_FILLED_LATE))
                store(&G->block[b][1], 0x111);
            write_word(&G->cell[2], b);
        } unlock(&G->lock[2]);
        commit(); if (b && BUG(NAME_FILLED_LATE)) store(&G->block[b][1], 0x111); V.b = b);
    OP(1, if (caught_up()) ghost_told(V.b));
}
static void name_finder(void)
{
    OP(
        0, W b; W o; do {
            b = load(&G->cell[2]);
            if (BUG(NAME_LOCK_FREE))
                break;
            AWAIT(!(G->lock[2] & ~ID_DIRTY) || fate_now(G->lock[2]) != ALIVE);
            o = load(&G->lock[2]) & (W)~ID_DIRTY;
            if (o)
                recover(o);
        } while (o || load(&G->cell[2]) != b);
        V.b = b);
    OP(1, if (caught_up()) ghost_told(V.b));
}

/* ---- 9: one-step operations against the owner of the block's span. cell[0] is thread 0's, cell[1] its too (a block of thread
 *         1's span at the beginning), cell[2] is thread 1's. variant: see below ---- */
static void step_first(void)
{
    switch (variant) {
    case 0:
        OP(0, alloc_into(&G->cell[0], 0x100));
        OP(1, free_from(&G->cell[0], INTENT_FREE));
        OP(2, alloc_into(&G->cell[0], 0x100));
        break;
    case 1:
    case 2:
        OP(0, free_from(&G->cell[1], variant == 1 ? INTENT_FREE : INTENT_RETIRE));
        OP(1, alloc_into(&G->cell[1], 0x101));
        break;
    case 3:
        OP(0, replace(&G->cell[1], 0x101));
        OP(1, replace(&G->cell[1], 0x101));
        OP(2, free_from(&G->cell[1], INTENT_FREE));
        break;
    case 4: /* frees of a section: own and another's */
        OP(0, alloc_into(&G->cell[0], 0x100));
        OP(1, begin(); free_block(own(&G->cell[0]), LOG_FREE); free_block(own(&G->cell[1]), LOG_FREE);
           write_word(&G->cell[0], 0); write_word(&G->cell[1], 0); commit());
        break;
    default: /* two of the other's, one retired */
        OP(0, begin(); free_block(own(&G->cell[0]), LOG_RETIRE); free_block(own(&G->cell[1]), LOG_FREE);
           write_word(&G->cell[0], 0); write_word(&G->cell[1], 0); commit());
        break;
    }
}
static void step_owner(void)
{
    OP(0, alloc_into(&G->cell[2], 0x102));
    OP(1, if (!own(&G->cell[2])) alloc_into(&G->cell[2], 0x102));
    OP(2, if (own(&G->cell[2])) free_from(&G->cell[2], INTENT_FREE));
    OP(3, if (!own(&G->cell[2])) alloc_into(&G->cell[2], 0x102));
}

/* ---- 10: runs: made, freed, taken apart, adopted half-made. variant: 1 freed again; 2 by two heirs ---- */
static void run_first(void)
{
    OP(0, run_into(&G->cell[0]));
    OP(
        1, if (variant & 1 && own(&G->cell[0])) {
            int s = span_of(own(&G->cell[0]));
            free_from(&G->cell[0], INTENT_FREE);
            take_apart(s);
        });
    OP(2, alloc_into(&G->cell[0], 0x100));
}
static void run_heir(int cell)
{
    OP(0, AWAIT(fate_now(MAKE_ID(0, 0)) != ALIVE); recover(MAKE_ID(0, 0)));
    OP(1, for (int s = 0; s < SPANS; s++) adopt(s));
    OP(2, for (int s = 0; s < SPANS; s++) adopt(s));
    OP(3, if (variant & 2 || run_into(&G->cell[cell])) alloc_into(&G->cell[cell], 0x101));
}
static void run_heir1(void)
{
    run_heir(1);
}
static void run_heir2(void)
{
    run_heir(2);
}
static void run_rival(void) /* makes a run, or takes a span, at the same time */
{
    OP(0, if (variant & 2) alloc_into(&G->cell[1], 0x101); else run_into(&G->cell[1]));
    OP(1, if (!own(&G->cell[1])) run_into(&G->cell[1]));
}
/* ---- 12: growth: two grow at once, and use what they got ---- */
static void grower(int cell)
{
    OP(
        0, if (alloc_into(&G->cell[cell], 0x100)) {
            while (!grow()) {
                break;
            }
        });
    OP(1, for (int n = 0; n < 2 && !own(&G->cell[cell]); n++) if (alloc_into(&G->cell[cell], 0x100)) grow());
    OP(2, if (!own(&G->cell[cell])) alloc_into(&G->cell[cell], 0x100));
}
static void grower0(void)
{
    grower(0);
}
static void grower1(void)
{
    grower(1);
}
static void grower2(void)
{
    grower(2);
}

/* ---- 13: circles. variant: 0 two locks in opposite order; 1 one of the two is timed; 2 three in a ring; 3 the ring with a
 *          timed one; 4 and 5 two, of whom one does two sections ---- */
static void circle_section(int first, int second, unsigned flags)
{
    begin();
    if (lock(&G->lock[first], SECTION) < 0) {
        abort_section();
        return;
    }
    int e = lock(&G->lock[second], SECTION | flags);
    if (e >= 0) {
        write_word(&G->cell[second], (W)(0x101 + me));
        unlock(&G->lock[second]);
    }
    unlock(&G->lock[first]);
    if (e < 0)
        abort_section();
    else
        commit();
}
static void circle0(void)
{
    OP(0, circle_section(0, 1, variant == 1 || variant == 3 ? TIMED : 0));
    OP(1, if (variant >= 4) circle_section(variant == 4 ? 0 : 2, 1, 0));
}
static void circle1(void)
{
    OP(0, circle_section(1, variant == 2 || variant == 3 ? 2 : 0, 0));
}
static void circle2(void)
{
    OP(0, if (variant == 2 || variant == 3) circle_section(2, 0, 0);
       else if (variant >= 4) circle_section(1, 2, 0));
}

/* ---- 14: a lock inside a block that is retired while others use it. cell[0] is guarded by lock[0] ---- */
static void inside_user(void)
{
    OP(
        0, read_begin(); W b = observe(look_and_hold, 0); if (b) {
            lock(&G->block[b][0], UNPIN);
            if (load(&G->cell[0]) == b)
                store(&G->block[b][1], (W)(0x101 + me));
            unlock(&G->block[b][0]);
        } else read_end());
}
static void inside_remover(void)
{
    OP(0, begin(); lock(&G->lock[0], SECTION); W b = own(&G->cell[0]); lock(&G->block[b][0], SECTION);
       write_word(&G->cell[0], 0); free_block(b, LOG_RETIRE); unlock(&G->block[b][0]); unlock(&G->lock[0]);
       commit());
    OP(1, alloc_into(&G->cell[1], 0x155));
    OP(2, if (!own(&G->cell[1])) alloc_into(&G->cell[1], 0x155));
    OP(3, if (!own(&G->cell[1])) alloc_into(&G->cell[1], 0x155));
}
/* ---- 15: a contended inner lock (lock 1) inside open sections: cell[1] is changed under it by single stores ---- */
static void inner_user(void)
{
    OP(0, begin(); lock(&G->lock[me ? 2 : 0], SECTION); write_word(&G->cell[me ? 2 : 0], (W)(0x101 + me)));
    OP(1, lock(&G->lock[1], INNER); if (own(&G->cell[1])) replace(&G->cell[1], 0x101);
       else alloc_into(&G->cell[1], 0x101); unlock(&G->lock[1]));
    OP(2, unlock(&G->lock[me ? 2 : 0]); if (variant & 1 << me) abort_section(); else commit());
}

/* ---- 16: two adopters of one span, whose owner dies; one block is free, one free with its R byte still set. variant: 1 that
 *          one is retired ---- */
static void adopted_owner(void) {} /* is dead */
static void adopter(void)
{
    OP(0, AWAIT(fate_now(MAKE_ID(0, 0)) != ALIVE); recover(MAKE_ID(0, 0)); adopt(0));
    OP(1, alloc_into(&G->cell[me], 0x100));
    OP(2, if (own(&G->cell[me])) free_from(&G->cell[me], INTENT_FREE); else alloc_into(&G->cell[me], 0x100));
    OP(3, alloc_into(&G->cell[me], 0x100));
}
/* ---- 17: a circle that was none: 1 stops waiting for lock 2, and waits for it again without lock 1, while 0 looks twice ---- */
static void none0(void)
{
    OP(0, begin(); lock(&G->lock[0], SECTION));
    OP(1, int e = lock(&G->lock[1], SECTION); if (e >= 0) unlock(&G->lock[1]); unlock(&G->lock[0]);
       if (e < 0) abort_section(); else commit());
}
static void none1(void)
{
    OP(0, lock(&G->lock[2], 0); lock(&G->lock[1], 0); unlock(&G->lock[2]));
    OP(1, begin(); int e = lock(&G->lock[2], SECTION); if (e >= 0) unlock(&G->lock[2]); unlock(&G->lock[1]);
       if (e < 0) abort_section(); else commit());
    OP(2, begin(); lock(&G->lock[2], SECTION); unlock(&G->lock[2]); commit());
}
static void none2(void)
{
    OP(0, begin(); lock(&G->lock[2], SECTION));
    OP(1, unlock(&G->lock[2]); commit());
    OP(2, begin(); lock(&G->lock[2], SECTION); int e = lock(&G->lock[0], SECTION);
       if (e >= 0) unlock(&G->lock[0]); unlock(&G->lock[2]); if (e < 0) abort_section(); else commit());
}
/* ---- 19: a list of two: in one section 1 is taken out and put at the other end, beside a reader without a lock, who must not miss 2 unless moves tells.
 *          variant: 1 commit; 2 1 is first at the beginning ---- */
static void list_mover(void)
{
    bool first = variant & 2;
    W *out = &G->next[first ? 0 : 2], *in = &G->next[first ? 2 : 0], *next = &G->next[1];
    OP(0, begin(); lock(&G->lock[0], SECTION); if (BUG(COUNT_BEFORE_LINK)) log_count(&G->moves); save(out);
       save(next); if (!BUG(COUNT_BEFORE_LINK)) log_count(&G->moves); store(out, first ? 2 : 3));
    OP(1, save(in); if (!BUG(MOVES_LATE)) store(&G->moves, (W)(own(&G->moves) + 1)); store(next, first ? 3 : 2);
       if (BUG(MOVES_LATE)) store(&G->moves, (W)(own(&G->moves) + 1)); store(in, 1));
    OP(2, unlock(&G->lock[0]); if (variant & 1) commit(); else abort_section());
}
static void list_reader(void)
{
    OP(
        0, W moves = load(&G->moves), at = load(&G->next[0]); bool second = false, moved = false;
        for (int steps = 0; at != 3 && !moved && steps < 6; steps++) {
            second |= at == 2;
            at = load(&G->next[at]);
            moved = load(&G->moves) != moves; /* behind each next */
        } if (!moved && at != 3) bad("L4: a reader goes in a circle, and is not told");
        if (!moved && !second)
            bad("L4: a reader missed a member that was there all the time, and is not told"));
}
/* ---- 20: a full table of dead: two newcomers come by the spare record (1) to recover 0, and die in it; the third, with a record of his own, recovers
 *          who died in the spare ---- */
static void spare_user(void)
{
    OP(0, AWAIT(!G->record[1].live); if (!claim_spare(1)) V.pc = 9);
    OP(1, recover(MAKE_ID(0, 0)));
    OP(2, leave());
}
static void spare_recoverer(void)
{
    for (int n = 0; n < 2; n++)
        OP(n, AWAIT(G->record[1].state && !G->record[1].live);
           recover(MAKE_ID(1, load(&G->record[1].generation))));
}
/* ---- 21: runs made longer and shorter, beside who claims. variant: 1 shorter first; 2 (and 3) by heirs of who made it, each adopting ---- */
static void run_other_length(bool shorter)
{
    W b = load(&G->cell[0]);
    if (b && shorter)
        run_shorter(b);
    else if (b)
        run_longer(b);
}
static void length_first(void)
{
    OP(0, run_into(&G->cell[0]));
    OP(1, run_other_length(variant & 1));
    OP(2, if (!(variant & 2)) run_other_length(!(variant & 1)));
}
static void length_heir(int cell)
{
    OP(0, AWAIT(fate_now(MAKE_ID(0, 0)) != ALIVE); recover(MAKE_ID(0, 0)));
    OP(1, for (int s = 0; s < SPANS; s++) adopt(s));
    OP(2, run_other_length(!(variant & 1)));
    OP(3, alloc_into(&G->cell[cell], 0x101));
}
static void length_rival(void)
{
    if (variant & 2) {
        length_heir(1);
        return;
    }
    OP(0, if (run_into(&G->cell[1])) alloc_into(&G->cell[1], 0x101));
    OP(1, alloc_into(&G->cell[2], 0x101));
}
static void length_third(void)
{
    if (variant & 2)
        length_heir(2);
    else
        janitor();
}
/* ---- the table ---- */
const struct scenario scenarios[] = {
    {"", 0, 0, {0, 0}, {0, 0}, {0}, 0, 0, {0}},
    {"split beside an open section", 3, 3, {16, 16}, {2, 0}, {2, 0, 0}, MAP, 4, {split_splitter, split_other, janitor}},
    {"two-phase unlock", 3, 3, {10, 10}, {2, 0}, {0, 0, 0}, 0, 4, {phases_first, phases_other, janitor}},
    {"remote free, adoption", 4, 3, {8, 8}, {1, 3}, {1, 0, 0}, 0, 12, {remote_owner, remote_freer, remote_heir, remote_heir2}},
    {"random sections, -ENOSPC", 3, 3, {40, 400}, {1, 0}, {2, 1, 0}, 0, 6, {random_program, janitor, janitor}},
    {"readers and limbo", 3, 2, {6, 6}, {0, 0}, {1, 0, 0}, 0, 4, {limbo_writer, limbo_reader, limbo_third}},
    {"recovering recoverers", 4, 3, {3, 3}, {1, 2}, {0, 0, 0}, 0, 8, {recover_first, recover_next, recover_next, recover_claimer}},
    {"records left and claimed",
     4,
     2,
     {1, 1},
     {2, 3},
     {0, 0, 0},
     FINE_FATE | LATE_BYTE,
     14,
     {record_first, record_claimer, record_claimer, record_looker}},
    {"find or make", 3, 3, {1, 1}, {2, 0}, {1, 1, 0}, 0, 4, {name_maker, name_maker, name_finder}},
    {"one-step operations", 3, 2, {6, 6}, {2, 0}, {2, 1, 0}, 0, 4, {step_first, step_owner, janitor}},
    {"runs and their heirs", 3, 2, {4, 4}, {2, 0}, {-1, -1, -1}, CLAIMS, 6, {run_first, run_heir1, run_heir2}},
    {"runs and rivals", 3, 2, {4, 4}, {2, 0}, {-1, -1, -1}, CLAIMS, 4, {run_first, run_rival, janitor}},
    {"growth", 3, 2, {1, 1}, {2, 4}, {-1, -1, -1}, CLAIMS, 0, {grower0, grower1, grower2}},
    {"circles of waiters", 3, 1, {6, 6}, {2, 4}, {0, 0, 0}, WALKS, 0, {circle0, circle1, circle2}},
    {"a lock in a retired block", 3, 2, {1, 1}, {0, 0}, {1, 0, 0}, 0, 4, {inside_remover, inside_user, janitor}},
    {"a contended inner lock", 3, 2, {4, 4}, {2, 0}, {2, 2, 0}, 0, 4, {inner_user, inner_user, janitor}},
    {"two adopters", 3, 2, {2, 2}, {0, 0}, {2, 0, 0}, 0, 0, {adopted_owner, adopter, adopter}},
    {"a circle that was none", 3, 0, {1, 1}, {4, 6}, {0, 0, 0}, WALKS | PRELUDE, 0, {none0, none1, none2}},
    {"two recover one", 3, 2, {1, 1}, {3, 0}, {0, 0, 0}, 0, 0, {recover_first, recover_next, recover_next}},
    {"a list's member moved", 3, 2, {4, 4}, {0, 0}, {1, 0, 0}, 0, 4, {list_mover, list_reader, janitor}},
    {"a dead spare", 3, 2, {1, 1}, {0, 0}, {0, 0, 0}, FINE_FATE, 4, {spare_user, spare_user, spare_recoverer}},
    {"runs longer and shorter", 3, 2, {4, 4}, {2, 0}, {-1, -1, -1}, CLAIMS, 6, {length_first, length_rival, length_third}},
};
const int nscenarios = sizeof scenarios / sizeof *scenarios;

void scenario_start(int v)
{
    switch (scenario_no) {
    case 1:
        for (int k = 0; k < 2; k++)
            G->pair[k] = GH->key[k] = (W)(0x100 + k);
        break;
    case 2:
        G->lock[0] = ID_DIRTY;
        GH->dirty[0] = 1;
        break;
    case 4:
        give_span(1, 0, 1);
        if (v & 1) { /* a stopped reader: limbo fills up */
            G->record[3].state = GH->claimed[3] = 1;
            G->record[3].live = 4;
            G->record[3].epoch = 1 + 1;
        }
        break;
    case 5:
        if (v >= 2)
            fill_cell(0, 0);
        if (v == 3)
            absent[2] = false, G->span[0].f |= 2;
        if (v >= 5) { /* the writer retires what is in the third one's span */
            give_span(0, 2, 1);
            fill_cell(0, 0);
        }
        break;
    case 6:
        if (v < 2) /* the claimer has no record yet */
            G->record[3].state = G->record[3].live = G->record[3].byte = 0;
        break;
    case 7:
        for (int r = 1; r < 3; r++)
            G->record[r].byte = 0;
        break;
    case 9:
        fill_cell(1, 1);
        if (v == 5) {
            absent[4] = false;
            G->cell[0] = GH->want[0] = 4;
        }
        break;
    case 12: G->committed = G->side = G->backed = GH->most_committed = 0; break;
    case 14: fill_cell(0, 0); break;
    case 20:
        G->record[0].live = G->record[0].byte = GH->holder[0] = 0;
        G->record[1].state = G->record[1].live = G->record[1].byte = 0;
        GH->holder[1] = GH->claimed[1] = 0;
        break;
    case 19:
        G->next[0] = v & 2 ? 1 : 2;
        G->next[1] = v & 2 ? 2 : 3;
        G->next[2] = v & 2 ? 3 : 1;
        break;
    case 16:
        G->record[0].live = G->record[0].byte = 0;
        if (v & 1)
            G->span[0].f = 2;
        G->span[0].r[0] = (W)((v & 1 ? RETIRED : 0) | 2);
        break;
    default: break;
    }
}
