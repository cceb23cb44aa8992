/* test_why.c - the flight recorder: what it tells of who came, went, grew, died, recovered and failed; and that nobody sees half of an event.
 *
 * Built with TARN_KILL_POINTS: behind each store of the library kill_now looks at all events, as another process would there, and after a death there. */
#include "helper.h"
#include "arena.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "participant/event.h"

enum { MOST = 64 };

static tarn *seg;
static struct arena *a;
static struct tarn_trace told[MOST];
static int count;

/* ---- looking ---- */

static int keep(const struct tarn_trace *t, void *arg)
{
    uint32_t whose = arg ? *(uint32_t *)arg : 0;
    assert_true(count < MOST);
    if (!whose || t->participant == whose)
        told[count++] = *t;
    return 0;
}
static void look(uint32_t whose)
{
    count = 0;
    assert_int_equal(tarn_why(seg, keep, whose ? &whose : NULL), 0);
}
/* The n-th of the kind, from the last one back. */
static const struct tarn_trace *last(uint32_t kind, int n)
{
    for (int i = count; i-- > 0;)
        if (told[i].kind == kind && n-- == 0)
            return &told[i];
    return NULL;
}

/* ---- behind each store ---- */

__thread int kill_countdown;
static __thread bool looking;
static uint64_t looks, torn;
static uint32_t the_process; /* that notes */

/* Later ones of a record are not older: one that has a newer one's time is half of each. */
static int judge(const struct tarn_trace *t, void *last_seen)
{
    struct tarn_trace *before = last_seen; /* NULL: it is written meanwhile, and any may come first */
    if (before) {
        torn += ID_INDEX(t->participant) == ID_INDEX(before->participant) &&
                (t->number > before->number ? t->when < before->when : t->when > before->when);
        *before = *t;
    }
    switch (t->kind) {
    case TARN_TRACE_ATTACH: torn += t->pid != the_process || strcmp(t->text, "watched") != 0; break;
    case TARN_TRACE_GROW: torn += t->to <= t->from || t->text[0]; break;
    case TARN_TRACE_ERROR:
        torn += t->error == -EPERM    ? strncmp(t->text, "tarn_mutex_unlock: this thread d", 32) != 0
                : t->error == -ENOSPC ? strncmp(t->text, "anon", 4) != 0
                : t->error == -EPROTO ? strncmp(t->text, "\"arena\"", 7) != 0
                                      : 1;
        break;
    case TARN_TRACE_LEAVE: torn += t->text[0] != 0; break;
    default: torn++;
    }
    torn += t->when < 1000000000ull * 1000000000 || !t->participant;
    return 0;
}
static int of_the_taken(const struct tarn_trace *t, void *id)
{
    return t->participant == *(uint32_t *)id && t->kind == TARN_TRACE_ATTACH ? 1 : 0;
}
static bool untold(uint32_t index)
{
    struct record *r = record_at(seg, index);
    uint32_t id = ID_MAKE(r->generation, index);
    return r->state == RECORD_TAKEN && r->tid == (uint32_t)gettid() && r->events < 2 &&
           !tarn_why(seg, of_the_taken, &id);
}
void kill_now(void)
{
    if (!looking) {
        looking = true;
        struct tarn_trace before = {0};
        looks++;
        tarn_why(seg, judge, &before);
        for (uint32_t i = 0; i < seg->geometry.records; i++)
            torn += untold(i);
        looking = false;
    }
    kill_countdown = 1;
}

/* Each kind of event stands where another was. */
static void note_some(int n)
{
    static const struct tarn_type other = {"other", 8, 1};
    tarn_ref ref;
    for (int i = 0; i < n; i++) {
        check(tarn_mutex_unlock(seg, &a->lock[0]) == -EPERM);
        check(tarn_grow(seg, 1ull << 40) == -ENOSPC);
        check(tarn_find(seg, "arena", &other, &ref) == -EPROTO);
        check(i % 4 || n == 1 || tarn_grow(seg, 4096) == 0);
    }
}
static void *noted(void *unused)
{
    prctl(PR_SET_NAME, "watched");
    kill_countdown = 1;
    check(tarn_thread_attach(seg) == 0);
    note_some(24);
    check(tarn_thread_detach(seg) == 0);
    kill_countdown = 0;
    return unused;
}
static void forget_all(void)
{
    looks = torn = 0;
    the_process = (uint32_t)getpid();
    for (uint32_t i = 0; i < seg->geometry.records; i++) { /* those of set-up are of another name */
        record_at(seg, i)->events = 0;
        memset(record_events(seg, record_at(seg, i)), 0, sizeof(struct event) * seg->geometry.events);
    }
}
static void nobody_sees_half(void **state)
{
    (void)state;
    forget_all();
    assert_int_equal(in_thread(noted, NULL), 0);
    assert_int_equal(torn, 0);
    assert_true(looks > 200);
    look(0);
    assert_non_null(last(TARN_TRACE_LEAVE, 0));
}

/* A process that looks is held up after each of its instructions, while more is noted. */
static void nor_while_it_is_written(void **state)
{
    (void)state;
    int status, steps = 0;
    prctl(PR_SET_NAME, "watched");
    assert_int_equal(tarn_thread_detach(seg), 0);
    forget_all();
    assert_int_equal(tarn_thread_attach(seg), 0);
    note_some(10);
    pid_t child = fork();
    if (child == 0) {
        check(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        raise(SIGSTOP);
        tarn_why(seg, judge, NULL);
        _exit(torn != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    while (WIFSTOPPED(status)) {
        note_some(1);
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        steps++;
    }
    assert_int_equal(status, 0);
    assert_true(steps > 500);
}

/* ---- what is told ---- */

static void *comes_and_goes(void *ret_id)
{
    prctl(PR_SET_NAME, "visitor");
    check(tarn_thread_attach(seg) == 0);
    *(uint32_t *)ret_id = self_last->id;
    check(tarn_thread_detach(seg) == 0);
    return (void *)(long)gettid();
}
static void who_came_and_went(void **state)
{
    (void)state;
    uint32_t id = 0, tid = (uint32_t)in_thread(comes_and_goes, &id);
    look(id);
    assert_int_equal(count, 2);
    assert_int_equal(told[0].kind, TARN_TRACE_ATTACH);
    assert_int_equal(told[0].pid, getpid());
    assert_int_equal(told[0].tid, tid);
    assert_string_equal(told[0].text, "visitor");
    assert_int_equal(told[1].kind, TARN_TRACE_LEAVE);
    assert_int_equal(told[1].number, told[0].number + 1);
    assert_true(told[1].when >= told[0].when);
}

static void who_grew(void **state)
{
    (void)state;
    struct tarn_stat before, after;
    assert_int_equal(tarn_stat(seg, &before), 0);
    assert_int_equal(tarn_grow(seg, 4096), 0);
    assert_int_equal(tarn_stat(seg, &after), 0);
    look(0);
    assert_non_null(last(TARN_TRACE_GROW, 0));
    assert_int_equal(last(TARN_TRACE_GROW, 0)->from, before.data);
    assert_int_equal(last(TARN_TRACE_GROW, 0)->to, after.data);
}

static void dies(void *ret_id)
{
    check(tarn_mutex_lock(seg, &a->lock[1]) == 0);
    check(tarn_mutex_lock(seg, &a->lock[2]) == 0);
    check(tarn_begin(seg) == 0);
    for (int i = 0; i < 3; i++)
        check(tarn_write(seg, &a->word[i], &(uint64_t){7}, 8) == 0);
    *(volatile uint32_t *)ret_id = self_last->id;
    kill(getpid(), SIGKILL);
}
/* From another process. */
static void who_died_with_what(void **state)
{
    (void)state;
    uint32_t *id = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct tarn_trace *held, *done;
    int status;
    pid_t child = fork();
    if (child == 0) {
        dies(id);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[1]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[2]), TARN_RECOVERED);
    assert_int_equal(a->word[0], 0);
    look(*id);
    assert_int_equal(last(TARN_TRACE_ATTACH, 0)->pid, child); /* its own survive it */
    look(self_last->id);
    done = last(TARN_TRACE_RECOVER, 0);
    assert_non_null(done);
    assert_int_equal(done->other, *id);
    assert_int_equal(done->pid, child);
    assert_int_equal(done->held, 2);
    assert_true(done->section_open && !done->section_committed);
    assert_in_range(done->words, 4, 20);
    for (int i = 0; i < 2; i++) {
        held = last(TARN_TRACE_HELD, 1 - i);
        assert_int_equal(held->ref, tarn_ref_of(seg, &a->lock[1 + i]));
        assert_int_equal(held->other, *id);
        assert_int_equal(held->pid, child);
        assert_false(held->want);
        assert_true(held->number < done->number);
        assert_int_equal(last(TARN_TRACE_LOCK, 1 - i)->ref, tarn_ref_of(seg, &a->lock[1 + i]));
    }
    for (int i = 1; i < 3; i++) {
        assert_int_equal(tarn_mutex_consistent(seg, &a->lock[i]), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[i]), 0);
    }
    munmap(id, 4096);
}

static void *ends_badly(void *ret_id)
{
    check(tarn_mutex_lock(seg, &a->lock[3]) == 0);
    *(uint32_t *)ret_id = self_last->id;
    return NULL;
}
static void whose_thread_ended_with_a_lock(void **state)
{
    (void)state;
    uint32_t id = 0;
    assert_int_equal(in_thread(ends_badly, &id), 0);
    look(id);
    assert_non_null(last(TARN_TRACE_ABANDON, 0));
    assert_null(last(TARN_TRACE_LEAVE, 0));
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[3]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_consistent(seg, &a->lock[3]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[3]), 0);
}

static void what_failed(void **state)
{
    (void)state;
    const struct tarn_trace *t;
    assert_int_equal(tarn_thread_attach(seg), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[4]), -EPERM);
    look(self_last->id);
    t = last(TARN_TRACE_ERROR, 0);
    assert_int_equal(t->error, -EPERM);
    assert_int_equal(t->times, 1);
    assert_true(strlen(t->text) == 32 && strncmp(t->text, tarn_error(), 32) == 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[4]), -EPERM);
    assert_int_equal(tarn_grow(seg, 1ull << 40), -ENOSPC);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[4]), -EPERM);
    assert_int_equal(tarn_mutex_try(seg, &a->lock[5]), 0);
    assert_int_equal(tarn_alloc_into(seg, (tarn_ref *)1, 16), -EINVAL); /* no event */
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[5]), 0);
    look(self_last->id);
    assert_int_equal(last(TARN_TRACE_ERROR, 0)->error, -EPERM);
    assert_int_equal(last(TARN_TRACE_ERROR, 0)->times, 1);
    assert_int_equal(last(TARN_TRACE_ERROR, 1)->error, -ENOSPC);
    assert_int_equal(last(TARN_TRACE_ERROR, 2)->times, 5);
}

static void only_the_last_are_kept(void **state)
{
    (void)state;
    uint32_t most = seg->geometry.events;
    assert_int_equal(most, 8);
    for (uint32_t i = 0; i < 3 * most; i++)
        assert_int_equal(i % 2 ? tarn_mutex_unlock(seg, &a->lock[4]) : tarn_grow(seg, 1ull << 40),
                         i % 2 ? -EPERM : -ENOSPC);
    look(self_last->id);
    assert_int_equal(count, (int)most);
    for (int i = 1; i < count; i++)
        assert_int_equal(told[i].number, told[i - 1].number + 1);
    assert_int_equal(last(TARN_TRACE_ERROR, 0)->error, -EPERM);
}

static int stops(const struct tarn_trace *t, void *arg)
{
    (void)t;
    return ++*(int *)arg == 2 ? 77 : 0;
}
static void it_may_be_ended_and_read_only(void **state)
{
    (void)state;
    tarn *looks_only;
    int n = 0, status;
    assert_int_equal(tarn_grow(seg, 4096), 0);
    assert_int_equal(tarn_why(seg, stops, &n), 77);
    assert_int_equal(n, 2);
    pid_t child = fork(); /* else it is one handle */
    if (child == 0) {
        int fd = tarn_fd(seg);
        check(tarn_open_fd(fd, TARN_RDONLY, &looks_only) == 0);
        n = 0;
        check(tarn_why(looks_only, stops, &n) == 77);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int read_it(const struct tarn_trace *t, void *arg)
{
    *(uint64_t *)arg += strlen(t->text) + t->kind;
    return 0;
}
static void any_bytes_come_out(void **state)
{
    (void)state;
    uint64_t sum = 0;
    struct record *r = self_last->record;
    struct event saved[8], *at = record_events(seg, r);
    uint64_t events = r->events;
    memcpy(saved, at, sizeof saved);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned char *bytes = (unsigned char *)at;
        for (size_t i = 0; i < sizeof saved; i++)
            bytes[i] = (unsigned char)(rand() >> 7);
        r->events = (uint64_t)rand() << 40 ^ (uint64_t)rand();
        assert_int_equal(tarn_why(seg, read_it, &sum), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[4]), -EPERM); /* and it goes on from there */
    }
    assert_true(sum > 0);
    memcpy(at, saved, sizeof saved);
    r->events = events;
}

static int set_up(void **state)
{
    struct tarn_options options = tiny(7);
    (void)state;
    alarm(60);
    options.limit = 4 << 20;
    options.record_size = 4096;
    a = arena_open("anon:", &options, &seg);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    assert_true(at_rest());
    return tarn_close(seg);
}

#define case_(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        case_(nobody_sees_half),   case_(nor_while_it_is_written), case_(who_came_and_went),
        case_(who_grew),           case_(who_died_with_what),      case_(whose_thread_ended_with_a_lock),
        case_(what_failed),        case_(only_the_last_are_kept),  case_(it_may_be_ended_and_read_only),
        case_(any_bytes_come_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
