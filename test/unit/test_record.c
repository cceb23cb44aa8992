/* test_record.c - a record's life by its words: what a newcomer makes of one, whatever lies in it, and the descriptor that claims it. In one process, with a
 * look into the segment. */
#include "helper.h"
#include "arena.h"

#include <malloc.h>
#include <sys/resource.h>

#include "participant/again.h"

static tarn *seg;
static struct arena *a;
static struct tarn_options options;

static int set_up(void **state)
{
    (void)state;
    alarm(60);
    options = tiny(7);
    a = arena_open("anon:", &options, &seg);
    assert_int_equal(tarn_thread_detach(seg), 0);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    assert_true(at_rest());
    return seg ? tarn_close(seg) : 0;
}

/* What a hostile writer left in a free record is nobody's: neither while its next user lives, nor when he is recovered. */
static void *live_and_die(void *record)
{
    struct record *r = record;
    check(tarn_mutex_lock(seg, &a->lock[0]) == 0);
    check(self_last->record == r && r->state == RECORD_TAKEN);
    check(r->journal == JOURNAL(JOURNAL_IDLE, 0) && !r->intent && !r->swap_old && !r->epoch && !r->waits);
    check(r->slots_used == 4 && !r->recoverer && !r->claimless);
    check(r->pid == (uint32_t)getpid() && r->tid == (uint32_t)gettid() && r->pid_namespace && r->start_time);
    check(r->liveness[0] & 0x80000000u); /* FUTEX_WAITERS: the kernel wakes who sleeps on it */
    return NULL;
}
static void a_newcomer_begins_anew(void **state)
{
    (void)state;
    struct record *r = record_at(seg, 0);
    assert_int_equal(r->state, RECORD_FREE);
    r->journal = JOURNAL(JOURNAL_OPEN, 7);
    r->intent = tarn_ref_of(seg, &a->ref[0]) | INTENT_FREE;
    r->swap_old = tarn_ref_of(seg, a);
    r->epoch = 1;
    r->waits = WAITS_OWNER | tarn_ref_of(seg, &a->lock[1]);
    r->slots_used = 99;
    r->recoverer = ID_MAKE(5, 3);
    r->claimless = 1;
    r->pid = r->tid = 1;
    r->pid_namespace = r->start_time = 0;
    assert_int_equal(in_thread(live_and_die, r), 0);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), TARN_RECOVERED);
    assert_int_equal(r->state, RECORD_FREE);
    assert_int_equal(tarn_mutex_consistent(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
}

static void *claim(void *unused)
{
    (void)unused;
    check(tarn_thread_attach(seg) == 0);
    return (void *)(long)(self_last->record->claimless == 0 ? ID_INDEX(self_last->id) : 99);
}

/* Where the descriptor for claims is 0. */
static void descriptor_0_is_one(void **state)
{
    (void)state;
    int kept = fcntl(0, F_DUPFD_CLOEXEC, 3), e, fd, after, status = -1;
    close(seg->claim_fd); /* of set_up's claim */
    seg->claim_fd = -1;
    close(0);
    e = tarn_thread_attach(seg);
    fd = seg->claim_fd;
    long second = in_thread(claim, NULL), third = in_thread(claim, NULL);
    int fd_then = seg->claim_fd;
    e |= tarn_thread_detach(seg);
    pid_t pid = fork();
    if (pid == 0) {
        if (fcntl(0, F_GETFD) >= 0) /* the parent's does not live on here */
            _exit(50);
        _exit((int)(long)claim(NULL));
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    e |= tarn_close(seg);
    seg = NULL;
    after = fcntl(0, F_GETFD);
    if (kept >= 0) {
        dup2(kept, 0);
        close(kept);
    }
    assert_int_equal(e, 0);
    assert_int_equal(fd, 0);
    assert_int_equal(fd_then, 0);
    assert_int_equal(second, 1);
    assert_int_equal(third, 1);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* record 0: its byte was given up */
    assert_int_equal(after, -1);              /* closed */
}

/* A table full of the living is told at once: nobody sleeps and tries again. */
static void *count_sleeps(void *unused)
{
    struct rusage before, after;
    (void)unused;
    getrusage(RUSAGE_THREAD, &before);
    check(tarn_thread_attach(seg) == -EUSERS);
    getrusage(RUSAGE_THREAD, &after);
    return (void *)(after.ru_nvcsw - before.ru_nvcsw);
}
static volatile int here, go;
static void *stay(void *unused)
{
    (void)unused;
    check(tarn_thread_attach(seg) == 0);
    __atomic_fetch_add(&here, 1, __ATOMIC_SEQ_CST);
    await(&go, 1);
    return NULL;
}
static void full_is_told_at_once(void **state)
{
    (void)state;
    pthread_t t[7];
    here = go = 0;
    for (int i = 0; i < 7; i++)
        assert_int_equal(pthread_create(&t[i], NULL, stay, NULL), 0);
    await(&here, 7);
    long sleeps = in_thread(count_sleeps, NULL);
    reach(&go, 1);
    for (int i = 0; i < 7; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_in_range(sleeps, 0, 100); /* of 200 tries */
}

static void a_slot_points_into_its_lock(void **state)
{
    (void)state;
    uint64_t ref = tarn_ref_of(seg, &a->lock[1]);
    assert_false(slot_points_into(seg, ref, sizeof a->lock[1]));
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[1]), 0);
    assert_true(slot_points_into(seg, ref, 8));
    assert_true(slot_points_into(seg, ref - 64, 65));
    assert_false(slot_points_into(seg, ref - 64, 64));
    assert_false(slot_points_into(seg, ref + 1, 64));
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[1]), 0);
}

/* Whoever comes and goes leaves no private memory behind, nor does whoever recovers. */
static void *free_many(void *dies)
{
    tarn_ref block[40];
    check(tarn_begin(seg) == 0);
    for (int i = 0; i < 40; i++)
        check(tarn_alloc(seg, 16, &block[i]) == 0);
    for (int i = 0; i < 40; i++)
        check(tarn_free(seg, block[i]) == 0);
    for (int i = 0; i < 300; i++) /* into an extent of the log */
        check(tarn_save(seg, &a->word[i], 8) == 0);
    if (!dies)
        check(tarn_abort(seg) == 0);
    return NULL;
}
static void nothing_is_left_in_private(void **state)
{
    (void)state;
    uint64_t begin = 0;
    for (int round = 0; round < 250; round++) {
        in_thread(free_many, NULL);
        in_thread(free_many, state);
        assert_true(tarn_recover(seg) >= 0);
        if (round == 50)
            begin = mallinfo2().uordblks;
    }
    assert_in_range(mallinfo2().uordblks, 0, begin + 4096);
}

/* Behind the last record nothing was written. */
static void as_many_records_as_there_are(void **state)
{
    (void)state;
    const char *end = (char *)record_at(seg, seg->geometry.records),
               *zone = seg->base + seg->geometry.zone[ZONE_NAME];
    assert_int_equal(seg->geometry.records, 8);
    assert_true(end < zone);
    for (; end < zone; end++)
        assert_int_equal(*end, 0);
}

/* A copy without a pin is good while the epoch has moved by less than two. */
static void copies_are_good_for_an_epoch(void **state)
{
    (void)state;
    struct again again = {0};
    int tries = 0;
    assert_true(again_look(seg, &again));
    assert_true(again_is_good(seg, &again));
    participants_of(seg)->epoch++;
    assert_true(again_is_good(seg, &again));
    participants_of(seg)->epoch++;
    assert_false(again_is_good(seg, &again));
    assert_true(again_look(seg, &again));
    assert_true(again_is_good(seg, &again));
    for (tries = 2; again_look(seg, &again);)
        tries++;
    assert_int_equal(tries, 64);
    assert_int_equal(again_given_up(), -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_newcomer_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(descriptor_0_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_is_told_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slot_points_into_its_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_left_in_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_records_as_there_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_are_good_for_an_epoch, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
