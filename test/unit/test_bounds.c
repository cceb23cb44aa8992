/* test_bounds.c - bytes made to keep a reader busy for ever: circles with huge counts, buckets as large as the segment. Whatever walks them ends
 * soon, in every call that may meet them. Each case is a process of its own with an alarm: what is tested is that it ends at all, for without
 * its bounds each would run for hours. */
#include "helper.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "collection/map.h"
#include "participant/participant.h"

#define PATIENCE 120 /* seconds, for a slow machine with sanitizers; it takes well below one */

static const struct tarn_options options = {
    .size = sizeof options, .initial = 16 << 20, .limit = 16 << 20, .participants = 16, .record_size = 2048};

static int nothing(const struct tarn_participant *p, void *arg)
{
    uint32_t *dead = arg;
    *dead += p->state == 'd';
    return 0;
}

static int no_lock(const struct tarn_lock *lock, void *arg)
{
    (void)lock;
    ++*(uint32_t *)arg;
    return 0;
}

/* A segment in which a participant died: its record, which nobody has recovered yet. */
static struct record *with_a_dead_one(tarn **ret_seg)
{
    pid_t child;
    int status;
    check(tarn_open("anon:", TARN_CREATE, &options, ret_seg) == 0);
    child = fork();
    if (child == 0) {
        check(tarn_begin(*ret_seg) == 0);
        raise(SIGKILL);
    }
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    struct record *r = record_at(*ret_seg, 0);
    check(r->state == RECORD_TAKEN && JOURNAL_STATE(r->journal) == JOURNAL_OPEN);
    return r;
}

/* All that looks at records. Afterwards the dead one is recovered, whatever it said. */
static void look_at_all(tarn *seg, struct record *r)
{
    struct tarn_stat s;
    uint32_t dead = 0, locks = 0;
    check(tarn_locks(seg, no_lock, &locks) == 0 && locks == 0);
    check(tarn_participants(seg, nothing, &dead) == 0 && dead == 1);
    check(!slot_points_into(seg, seg->geometry.zone[ZONE_DATA], 64));
    check(tarn_check(seg, NULL, NULL) >= 0);
    check(tarn_recover(seg) >= 0);
    check(r->journal == 0 && tarn_stat(seg, &s) == 0 && s.dead == 0);
}

/* Two extents that lead to each other. */
static tarn_ref circle_in(tarn *seg, uint64_t *ret_words)
{
    uint64_t one = seg->geometry.zone[ZONE_DATA] + (1 << 20), two = one + (1 << 20);
    struct extent *a = at_offset(seg, one), *b = at_offset(seg, two);
    a->next = two;
    b->next = one;
    *ret_words = extent_words(&seg->geometry);
    for (uint64_t i = 0; i < *ret_words; i++)
        ((uint64_t *)(a + 1))[i] = ((uint64_t *)(b + 1))[i] = 0;
    return one;
}

static void circle_of_slots(void *arg)
{
    tarn *seg;
    uint64_t words;
    struct record *r = with_a_dead_one(&seg);
    (void)arg;
    alarm(PATIENCE);
    r->held_more = circle_in(seg, &words);
    r->slots_used = UINT64_MAX;
    look_at_all(seg, r);
}

/* Entries that save one word each, of which a log as long as that would have more than can be undone in a life. */
static void circle_of_log(void *arg)
{
    tarn *seg;
    uint64_t words;
    struct record *r = with_a_dead_one(&seg);
    (void)arg;
    alarm(PATIENCE);
    r->log_more = circle_in(seg, &words);
    for (int k = 0; k < 2; k++) {
        uint64_t *w =
            (uint64_t *)((char *)at_offset(seg, r->log_more + ((uint64_t)k << 20)) + sizeof(struct extent));
        for (uint64_t i = 0; i < words; i++)
            w[i] = i % 2 ? LOG_WORD(seg->geometry.zone[ZONE_DATA] + (8 << 20), 1) : i;
    }
    r->journal = JOURNAL(JOURNAL_OPEN, seg->geometry.log_words + words * (1ull << 40));
    look_at_all(seg, r);
}

/* A chain that ends long before the journal's count does, and one as long as there is memory. */
static void long_logs(void *arg)
{
    tarn *seg;
    struct record *r = with_a_dead_one(&seg);
    uint64_t size = extent_size(&seg->geometry), words = extent_words(&seg->geometry), n = (12 << 20) / size,
             first = seg->geometry.zone[ZONE_DATA] + (1 << 20);
    (void)arg;
    alarm(PATIENCE);
    for (uint64_t i = 0; i < n; i++) {
        struct extent *x = at_offset(seg, first + i * size);
        uint64_t *w = (uint64_t *)(x + 1);
        x->next = i + 1 < n ? first + (i + 1) * size : 0;
        for (uint64_t k = 0; k < words; k++)
            w[k] = k % 2 ? LOG_WORD(seg->geometry.zone[ZONE_DATA] + (14 << 20), 1) : k;
    }
    r->log_more = first;
    r->journal = JOURNAL(JOURNAL_OPEN, 1ull << 60);
    check(tarn_check(seg, NULL, NULL) >= 0);
    r->journal = JOURNAL(JOURNAL_OPEN, seg->geometry.log_words + n * words);
    look_at_all(seg, r);
}

static int show(const void *k, size_t ks, const void *v, size_t vs, void *arg)
{
    (void)k, (void)ks, (void)v, (void)vs;
    ++*(uint64_t *)arg;
    return 0;
}

/* Most buckets have many others behind them, as overflow and as spares; then a directory that is larger than all memory. */
static void greedy_buckets(void *arg)
{
    tarn *seg;
    tarn_map *m;
    uint64_t v = 0, zone, seen = 0;
    bool bad = false;
    (void)arg;
    alarm(PATIENCE);
    check(tarn_open("anon:", TARN_CREATE, &options, &seg) == 0);
    check(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &m) == 0);
    for (uint64_t i = 0; i < 200000; i++)
        check(tarn_map_put64(m, i, i) == 0);
    zone = seg->geometry.zone[ZONE_DATA];
    for (uint64_t i = 0, next = 0; i < m->map->filled; i++) {
        uint64_t ref = *entry_at(seg, m->map, i, &bad) & MAP_REF;
        struct bucket *b = at_offset(seg, ref);
        b->overflow = b->spare = i % 400 ? next : 0;
        for (unsigned p = 0; p < MAP_PARTS; p++)
            b->tags[p].head |= HEAD_CHAINED;
        next = ref;
    }
    check(tarn_check(seg, NULL, NULL) > 0);
    for (uint64_t i = 0; i < 100; i++)
        check(tarn_map_get64(m, 1000000 + i, &v) < 0);
    check(tarn_map_each(m, show, &seen) == -EUCLEAN);
    m->map->depth = MAP_DEPTH_MOST;
    m->map->filled = 1ull << MAP_DEPTH_MOST;
    for (unsigned k = 1; k < MAP_TABLES; k++)
        m->map->table[k] = zone;
    check(tarn_check(seg, NULL, NULL) > 0);
    check(tarn_map_count(m, &v) < 0);
}

static void in_a_child(void (*run)(void *))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        run(NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void circles_of_slots_end(void **state)
{
    (void)state;
    in_a_child(circle_of_slots);
}
static void circles_of_log_end(void **state)
{
    (void)state;
    in_a_child(circle_of_log);
}
static void long_logs_end(void **state)
{
    (void)state;
    in_a_child(long_logs);
}
static void greedy_buckets_end(void **state)
{
    (void)state;
    in_a_child(greedy_buckets);
}

/* One participant's locks: as many as are listed, in the record and in extents; the most is told, and nothing is lost by it. */
static void the_most_locks(void **state)
{
    tarn *seg;
    tarn_ref ref;
    (void)state;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, NULL, &seg), 0);
    uint32_t most = seg->geometry.slots + extent_words(&seg->geometry), n;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, 8 * (most + 2), &ref), 0);
    assert_int_equal(tarn_commit(seg), 0);
    struct self *s = self_if(seg);
    tarn_mutex *m = tarn_ptr(seg, ref, 8 * (most + 2));
    for (n = 0; n < most; n++)
        assert_int_equal(tarn_mutex_lock(seg, &m[n]), 0);
    assert_int_equal(s->slots_used, most);
    s->slots_used = SLOTS_MOST; /* as if it had so many: those that are there are all taken */
    assert_int_equal(tarn_mutex_lock(seg, &m[most]), -ENOSPC);
    assert_non_null(strstr(tarn_error(), "65536"));
    s->slots_used = most;
    assert_int_equal(tarn_mutex_lock(seg, &m[most]), 0); /* another extent */
    for (n = 0; n <= most; n++)
        assert_int_equal(tarn_mutex_unlock(seg, &m[n]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &m[0]), -EPERM);
    assert_int_equal(tarn_close(seg), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(circles_of_slots_end), cmocka_unit_test(circles_of_log_end),
        cmocka_unit_test(long_logs_end),        cmocka_unit_test(greedy_buckets_end),
        cmocka_unit_test(the_most_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
