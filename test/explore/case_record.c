/* case_record.c - taking part and leaving, and the recovery of who died. */
#include "explore.h"
#include "participant/participant.h"

enum { OWNER_OF, COUNTED = 10 }; /* ghost[OWNER_OF + index]: 1 + p */

static void take_part(int p, void (*work)(int p))
{
    tarn *seg = seg_of(p);
    uint32_t index;
    MUST(tarn_thread_attach(seg));
    index = ID_INDEX(self_if(seg)->id);
    must_be(!ghost[OWNER_OF + index] || died((int)ghost[OWNER_OF + index] - 1), "two have one record");
    ghost[OWNER_OF + index] = (uint64_t)p + 1;
    if (work)
        work(p);
    must_be(fate_of(seg, self_if(seg)->id) == ALIVE, "a living participant looks dead");
    ghost[OWNER_OF + index] = 0;
    MUST(tarn_thread_detach(seg));
}
static void count_in_section(int p)
{
    tarn *seg = seg_of(p);
    MUST(tarn_begin(seg));
    must_be(tarn_mutex_lock(seg, &root()->lock[0]) == 0, "a lock failed, or came dirty from a section");
    MUST(tarn_save(seg, &root()->word[0], 8));
    shared_write(&root()->word[0], shared_read(&root()->word[0]) + 1);
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
    MUST(tarn_commit(seg));
    ghost[COUNTED]++;
}
static void come_go_and_come(int p)
{
    take_part(p, count_in_section);
    if (p == 0)
        take_part(p, count_in_section);
}
static void come_and_go(int p)
{
    take_part(p, NULL);
}

/* All records but the driver's are free. */
static const char *all_left(void)
{
    tarn *seg = seg_of(DRIVER);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < seg->geometry.records; i++)
        taken += record_at(seg, i)->state != RECORD_FREE;
    if (taken != 1)
        return "a record is left taken";
    return root()->word[0] - ghost[COUNTED] <= (uint64_t)anyone_died() ? NULL : "a count was lost";
}

/* It dies with a lock, in a section that has changed a word, with a block allocated and one freed. */
static void dies_busy(int p)
{
    tarn *seg = seg_of(p);
    MUST(tarn_alloc_into(seg, &root()->ref[p], 40));
    if (p)
        return;
    root()->word[0] = 5;
    MUST(tarn_begin(seg));
    MUST(tarn_mutex_lock(seg, &root()->lock[0]));
    MUST(tarn_save(seg, &root()->word[0], 8));
    root()->word[0] = 99;
    MUST(tarn_free_from(seg, &root()->ref[0]));
    MUST(tarn_alloc_into(seg, &root()->ref[3], 40));
}
static void add_one(int p)
{
    uint64_t v;
    tarn *seg = seg_of(p);
    MUST(tarn_begin(seg));
    must_be(tarn_mutex_lock(seg, &root()->lock[0]) == 0, "a lock failed, or came dirty from a section");
    v = shared_read(&root()->word[0]);
    must_be(v != 99, "a dead one's section was not undone before its lock was free");
    MUST(tarn_save(seg, &root()->word[0], 8));
    shared_write(&root()->word[0], v + 1);
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
    MUST(tarn_commit(seg));
    ghost[COUNTED]++;
}
static void recover_it(int p)
{
    MUST(tarn_recover(seg_of(p)));
    must_be(!record_at(seg_of(p), 1)->recoverer || anyone_died(), "a recoverer's word is left behind");
}
static void one_recovers(int p)
{
    if (p == 1)
        recover_it(p);
    else
        add_one(p);
}
static const char *undone(void)
{
    uint64_t more = root()->word[0] - 5 - ghost[COUNTED];
    if (more > 1)
        return "C1: a dead one's section was not undone, or somebody's was";
    if (!root()->ref[0] || root()->ref[3])
        return "C1: blocks of a dead one's section are not as they were";
    return NULL;
}

/* 2 takes no part at first; it recovers 0, goes, and comes again, into the record that 0 had, while 1 is at recovering it, too. */
static void prepare_two(int p)
{
    if (p == 2)
        return;
    MUST(tarn_thread_attach(seg_of(p)));
    dies_busy(p);
}
static void newcomer(int p)
{
    if (p == 1) {
        recover_it(p);
        return;
    }
    for (int i = 0; i < 2; i++) {
        MUST(tarn_thread_attach(seg_of(p)));
        add_one(p);
        MUST(tarn_thread_detach(seg_of(p)));
    }
}

/* One of the two records is a dead one's: who finds the table full recovers it from the spare. */
static void one_dies(int p)
{
    if (p)
        return;
    MUST(tarn_thread_attach(seg_of(p)));
    dies_busy(p);
}
static const char *full_table(void)
{
    const char *bad = undone();
    tarn *seg = seg_of(DRIVER);
    for (uint32_t i = 1; i < seg->geometry.records && !bad; i++)
        if (record_at(seg, i)->state != RECORD_FREE)
            bad = "a record is left taken";
    return bad;
}

/* The hint that spans may be had: who is gone has set it after he was, so who took it back before found nothing, and the next one looks again. 0 leaves (or is
 * dead, and 1 recovers him); 2 does what one does who wants spans. */
enum { LEAVER = 8, ADOPTED, ENDED }; /* ghost */
static void who_leaves(int p)
{
    if (p == 0)
        ghost[LEAVER] = self_if(seg_of(p))->id;
}
static void adopt(int p)
{
    struct tarn *seg = seg_of(p);
    uint32_t *orphans = &participants_of(seg)->orphans; /* and what is reserved behind it */
    uint64_t *word = (uint64_t *)(void *)orphans;
    if (!(uint32_t)shared_read(word))
        return;
    shared_write(word, 0);
    fence();
    ghost[ADOPTED] |= fate_quick(seg, (uint32_t)ghost[LEAVER]) == GONE;
}
/* The last to end looks: the driver's own adoption, before it judges, would hide it. Who dies before his record is free is
 * recovered yet. */
static void told(int p)
{
    struct tarn *seg = seg_of(p);
    if (++ghost[ENDED] + (p && died(0)) == (uint64_t)world.people &&
        record_at(seg, ID_INDEX((uint32_t)ghost[LEAVER]))->state == RECORD_FREE)
        must_be(ghost[ADOPTED] || participants_of(seg)->orphans, "spans of the departed are nobody's");
}
static void leave_and_adopt(int p)
{
    if (p == 0)
        MUST(tarn_thread_detach(seg_of(p)));
    else
        adopt(p);
    told(p);
}
static void recover_and_adopt(int p)
{
    if (p == 1)
        MUST(tarn_recover(seg_of(p)));
    else
        adopt(p);
    told(p);
}

const struct test_case record_cases[] = {
    {"record, one leaves spans", 2, 3, 4, 0, NULL, who_leaves, leave_and_adopt, NULL},
    {"recovery, of one with spans", 3, 3, 4, CASE_DEAD_FIRST | CASE_NO_DEATH, NULL, who_leaves,
     recover_and_adopt, NULL},
    {"record, two come and go", 2, 3, 4, CASE_UNJOINED | CASE_SLOW_FILES, NULL, NULL, come_go_and_come, all_left},
    {"record, three come", 3, 2, 3, CASE_UNJOINED | CASE_SLOW_FILES | CASE_ALIKE, NULL, NULL, come_and_go, all_left},
    {"recovery, two want its lock", 3, 3, 4, CASE_DEAD_FIRST, NULL, dies_busy, add_one, undone},
    {"recovery, two recover", 3, 3, 4, CASE_DEAD_FIRST, NULL, dies_busy, recover_it, undone},
    {"recovery, one of each", 3, 3, 4, CASE_DEAD_FIRST, NULL, dies_busy, one_recovers, undone},
    {"recovery, and a newcomer", 3, 2, 3, CASE_DEAD_FIRST | CASE_UNJOINED | CASE_SLOW_FILES, NULL,
     prepare_two, newcomer, undone},
    {"record, a full table", 3, 2, 2, CASE_DEAD_FIRST | CASE_UNJOINED | CASE_SLOW_FILES | CASE_FEW, NULL,
     one_dies, come_and_go, full_table},
    {0},
};
