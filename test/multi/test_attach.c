/* test_attach.c - the ways to attach, on every backing: at an address, everybody at one address, a private copy, raw bytes, executable; and the
 * options that every attachment follows. */
#include "helper.h"

#include <sys/resource.h>
#include <sys/shm.h>

#include "os/os.h"
#include "segment/lifecycle.h"

static char file_url[128], sysv_url[64];
static const char *const urls[] = {"posix:/attach", sysv_url, file_url};
enum { NAMED = sizeof urls / sizeof *urls };

static const struct tarn_options small = {
    .size = sizeof small, .initial = 256 << 10, .limit = 1 << 20, .participants = 4};

static void remove_all(void)
{
    for (int i = 0; i < NAMED; i++)
        (void)tarn_unlink_raw(urls[i]);
}

static int set_up(void **state)
{
    if (own_directory(state) < 0)
        return -1;
    snprintf(file_url, sizeof file_url, "file:%s/attach.file", own_path);
    snprintf(sysv_url, sizeof sysv_url, "sysv:%u", 0x61000000u + (unsigned)getpid());
    remove_all();
    return 0;
}

static int tear_down(void **state)
{
    remove_all();
    return remove_directory(state);
}

static tarn *open_ok(const char *url, unsigned flags, const struct tarn_options *o)
{
    tarn *seg = NULL;
    int e = tarn_open(url, flags, o, &seg);
    if (e != 0)
        fail_msg("%s: %d: %s", url, e, tarn_error());
    return seg;
}

struct node {
    struct node *next;
    long value;
};
struct list {
    tarn_mutex lock;
    struct node *first;
    long writes;
};

static void *free_range(size_t size)
{
    void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    munmap(at, size);
    return at;
}

/* Where no thread's stack or heap goes by itself. */
static void *far_range(void)
{
    char *at = (char *)0x450000000000;
    void *got;
    while ((got = mmap(at, 64 << 20, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0)) == MAP_FAILED)
        at += 64 << 20;
    munmap(got, 64 << 20);
    return at;
}

/* ---- at an address ---- */

static void at_an_address_or_not_at_all(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++) {
        struct tarn_options o = small;
        tarn *seg, *other = NULL;
        struct list *l;
        o.address = free_range(64 << 20);
        seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &o);
        assert_ptr_equal(tarn_base(seg), o.address);
        assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
        l->writes = 5;
        /* the same handle, asked for elsewhere */
        struct tarn_options elsewhere = small;
        elsewhere.address = (char *)o.address + (128 << 20);
        assert_int_equal(tarn_open(urls[i], 0, &elsewhere, &other), -EBUSY);
        assert_int_equal(tarn_open(urls[i], 0, &o, &other), 0);
        assert_ptr_equal(other, seg);
        assert_int_equal(tarn_close(other), 0);
        /* another handle, where this one is */
        assert_int_equal(tarn_open(urls[i], TARN_RDONLY, &o, &other), -EADDRINUSE);
        assert_says("-"); /* the neighbour's line of /proc/self/maps */
        assert_int_equal(tarn_close(seg), 0);
        /* the addresses are free again, and the data still there */
        seg = open_ok(urls[i], 0, &o);
        assert_ptr_equal(tarn_base(seg), o.address);
        assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
        assert_int_equal(l->writes, 5);
        assert_int_equal(tarn_close(seg), 0);
        o.address = (char *)o.address + 1;
        assert_int_equal(tarn_open(urls[i], 0, &o, &seg), -EINVAL);
        assert_says("multiple of a page");
        o.address = (void *)((UINT64_C(1) << 63) + (1 << 20)); /* no address of a program */
        assert_true(tarn_open(urls[i], 0, &o, &seg) < 0);
        o.address = (void *)((uintptr_t)&o / 4096 * 4096); /* the stack */
        assert_int_equal(tarn_open(urls[i], 0, &o, &seg), -EADDRINUSE);
        assert_says("stack");
        assert_int_equal(tarn_unlink(urls[i]), 0);
    }
}

/* ---- everybody at one address ---- */

/* The other process: execs itself, so its addresses are its own, but for the segment's. */
static int walk_list(const char *url)
{
    tarn *seg;
    struct list *l;
    long sum = 0;
    if (tarn_open(url, 0, NULL, &seg) < 0 || tarn_object(seg, "list", struct list, &l) < 0 ||
        tarn_mutex_lock(seg, &l->lock) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    for (struct node *n = l->first; n; n = n->next) /* plain pointers */
        sum += n->value;
    l->writes += sum;
    tarn_mutex_unlock(seg, &l->lock);
    return tarn_close(seg) < 0;
}

static void run_self(const char *url)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_attach", "walk", url, (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void plain_pointers_are_good_everywhere(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++) {
        struct tarn_options o = small;
        struct tarn_stat s;
        struct list *l;
        tarn *seg, *other;
        o.same_address = 1;
        seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &o);
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_true(s.address != 0 && (void *)s.address == tarn_base(seg));
        assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
        for (long k = 1; k <= 100; k++) {
            tarn_ref ref = 0;
            assert_int_equal(tarn_begin(seg), 0);
            assert_int_equal(tarn_alloc(seg, sizeof(struct node), &ref), 0);
            struct node *n = tarn_ptr(seg, ref, sizeof *n);
            n->value = k;
            n->next = l->first;
            assert_int_equal(tarn_save(seg, &l->first, sizeof l->first), 0);
            l->first = n;
            assert_int_equal(tarn_commit(seg), 0);
        }
        run_self(urls[i]);
        run_self(urls[i]);
        assert_int_equal(l->writes, 2 * 5050);
        /* not twice in one process */
        assert_int_equal(tarn_open(urls[i], TARN_RDONLY, NULL, &other), -EADDRINUSE);
        assert_int_equal(tarn_close(seg), 0);
        /* and not where somebody else is: who is named */
        char *in_the_way =
            mmap((void *)s.address, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0);
        assert_ptr_equal(in_the_way, (void *)s.address);
        assert_int_equal(tarn_open(urls[i], 0, NULL, &seg), -EADDRINUSE);
        char hex[32];
        snprintf(hex, sizeof hex, "%llx", (unsigned long long)s.address);
        assert_says(hex);
        munmap(in_the_way, 4096);
        struct tarn_options elsewhere = small;
        elsewhere.address = free_range(64 << 20);
        assert_int_equal(tarn_open(urls[i], 0, &elsewhere, &seg), -EINVAL);
        assert_int_equal(tarn_close(open_ok(urls[i], 0, NULL)), 0);
        assert_int_equal(tarn_unlink(urls[i]), 0);
    }
    struct tarn_options huge = {.size = sizeof huge, .limit = UINT64_C(1) << 45, .same_address = 1};
    tarn *seg;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, &huge, &seg), -EINVAL);
}

/* An image that says it is mapped where this program's stack will grow: mapped there, it would end the program when it does. */
static __attribute__((noinline)) int use_stack(size_t bytes)
{
    volatile char room[65536];
    room[0] = 1;
    return bytes > sizeof room ? use_stack(bytes - sizeof room) + room[0] : room[0];
}
static void grow_stack(void *arg)
{
    (void)arg;
    check(use_stack(6 << 20) > 0);
}
static void never_in_the_stacks_way(void **state)
{
    (void)state;
    static const uint64_t below[] = {256 << 10, 1 << 20, 4 << 20};
    struct rlimit stack;
    assert_int_equal(getrlimit(RLIMIT_STACK, &stack), 0);
    struct tarn_options o = small;
    o.same_address = 1;
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        tarn *seg = open_ok("memfd:stack", TARN_CREATE, &o);
        uint64_t size = seg->geometry.end, here = (uintptr_t)&o / 65536 * 65536;
        int fd = os_reopen(tarn_fd(seg), O_RDWR);
        assert_int_equal(tarn_close(seg), 0);
        struct segment_header h;
        assert_int_equal(pread(fd, &h, sizeof h, 0), sizeof h);
        h.address = here - below[i] - size;
        h.sum = stamp_sum(&h);
        assert_int_equal(pwrite(fd, &h, sizeof h, 0), sizeof h);
        for (int way = 0; way < 3; way++) {
            int e = tarn_open_fd(fd, way == 0 ? 0 : way == 1 ? TARN_RDONLY : TARN_PRIVATE, &seg);
            if (stack.rlim_cur >= 8 << 20) /* what the program counts on */
                assert_int_equal(in_child(grow_stack, NULL), 0);
            assert_int_equal(e, -EADDRINUSE);
            assert_says("stack");
        }
        close(fd);
        struct tarn_options there = small; /* nor is one made there, which others could not attach */
        there.same_address = 1;
        there.address = (void *)(here - below[i] - size);
        assert_int_equal(tarn_open("anon:", TARN_CREATE, &there, &seg), -EADDRINUSE);
        assert_int_equal(tarn_open(sysv_url, TARN_CREATE, &there, &seg), -EADDRINUSE);
        assert_int_equal(tarn_open(sysv_url, 0, NULL, &seg), -ENOENT);
    }
}

/* ---- a private copy ---- */

static uint64_t sum_of_object(tarn *seg)
{
    struct tarn_stat s;
    uint64_t sum = 1;
    assert_int_equal(tarn_stat(seg, &s), 0);
    const unsigned char *at = tarn_base(seg);
    uint64_t side = seg->geometry.zone[ZONE_SIDE] + s.spans * seg->geometry.side_size,
             data = seg->geometry.zone[ZONE_DATA];
    for (uint64_t i = 0; i < data + s.data; i = i + 1 == side ? data : i + 1)
        sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void private_copies_are_ones_own(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++) {
        tarn *seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &small), *copy, *reader;
        struct list *l, *mine;
        struct tarn_stat s;
        tarn_ref ref = 0;
        int status;
        assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
        l->writes = 7;
        assert_int_equal(tarn_open(urls[i], TARN_PRIVATE, NULL, &copy), -EBUSY); /* this very process has it */
        assert_says("for writing");
        /* one who dies in a section, the lock held: in the copy he is undone, in the segment he is as he was */
        pid_t child = fork();
        if (child == 0) {
            check(tarn_begin(seg) == 0 && tarn_mutex_lock(seg, &l->lock) == 0);
            check(tarn_save(seg, &l->writes, sizeof l->writes) == 0);
            l->writes = 8;
            raise(SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(tarn_close(seg), 0);
        if (strncmp(urls[i], "sysv", 4) != 0) { /* by a reader nothing is recovered */
            reader = open_ok(urls[i], TARN_RDONLY, NULL);
            uint64_t before = sum_of_object(reader);
            copy = open_ok(urls[i], TARN_PRIVATE, NULL);
            assert_int_equal(tarn_object(copy, "list", struct list, &mine), 0);
            assert_int_equal(tarn_mutex_lock(copy, &mine->lock), 0);
            assert_int_equal(mine->writes, 7);
            mine->writes = 100;
            assert_int_equal(tarn_mutex_unlock(copy, &mine->lock), 0);
            assert_int_equal(tarn_begin(copy), 0);
            assert_int_equal(tarn_alloc(copy, 500 << 10, &ref), 0); /* grows, by word only */
            memset(tarn_ptr(copy, ref, 500 << 10), 0x5a, 500 << 10);
            assert_int_equal(tarn_commit(copy), 0);
            assert_int_equal(tarn_stat(copy, &s), 0);
            assert_true(s.data > 256 << 10);
            assert_int_equal(tarn_check(copy, NULL, NULL), 0);
            assert_true(before == sum_of_object(reader));
            assert_int_equal(tarn_close(copy), 0);
            copy = open_ok(urls[i], TARN_PRIVATE, NULL); /* anew, from what is there */
            assert_int_equal(tarn_object(copy, "list", struct list, &mine), 0);
            assert_int_equal(mine->writes, 7);
            assert_int_equal(tarn_close(copy), 0);
            assert_int_equal(tarn_close(reader), 0);
        } else {
            copy = open_ok(urls[i], TARN_PRIVATE, NULL);
            assert_int_equal(tarn_object(copy, "list", struct list, &mine), 0);
            assert_int_equal(tarn_mutex_lock(copy, &mine->lock), 0);
            assert_int_equal(mine->writes, 7);
            mine->writes = 100;
            assert_int_equal(tarn_mutex_unlock(copy, &mine->lock), 0);
            assert_int_equal(tarn_alloc_into(copy, &(tarn_ref){0}, 8), -EINVAL);
            assert_int_equal(tarn_begin(copy), 0);
            assert_int_equal(tarn_alloc(copy, 500 << 10, &ref), 0);
            memset(tarn_ptr(copy, ref, 500 << 10), 0x5a, 500 << 10);
            assert_int_equal(tarn_commit(copy), 0);
            assert_int_equal(tarn_check(copy, NULL, NULL), 0);
            assert_int_equal(tarn_close(copy), 0);
        }
        seg = open_ok(urls[i], 0, NULL);
        assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
        assert_int_equal(tarn_mutex_lock(seg, &l->lock), 0);
        assert_int_equal(l->writes, 7);
        assert_int_equal(tarn_mutex_unlock(seg, &l->lock), 0);
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_int_equal(s.data, 256 << 10);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_open(urls[i], TARN_PRIVATE | TARN_RDONLY, NULL, &seg), -EINVAL);
        assert_int_equal(tarn_open(urls[i], TARN_PRIVATE | TARN_CREATE, NULL, &seg), -EINVAL);
        assert_int_equal(tarn_unlink(urls[i]), 0);
    }
}

/* ---- without a name ---- */

/* By their creation, or by their descriptor: at an address, everybody at one address, private copies. */
static void nameless_ones_too(void **state)
{
    (void)state;
    static const char *const nameless[] = {"anon:", "memfd:attach", "sysv:private"};
    for (int i = 0; i < 3; i++) {
        bool shm = i == 2;
        struct tarn_options o = small;
        struct list *l, *mine;
        struct tarn_stat s;
        tarn *seg, *other = NULL;
        o.address = free_range(64 << 20);
        seg = open_ok(nameless[i], TARN_CREATE, &o);
        assert_ptr_equal(tarn_base(seg), o.address);
        assert_int_equal(tarn_open(nameless[i], TARN_CREATE, &o, &other), -EADDRINUSE); /* another one, at the same place */
        assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
        l->writes = 7;
        if (!shm) {
            int fd = os_reopen(tarn_fd(seg), O_RDWR); /* a duplicate would keep the handle's byte locks */
            assert_true(fd >= 0);
            assert_int_equal(tarn_open_fd(fd, TARN_PRIVATE, &other), -EBUSY);
            assert_int_equal(tarn_close(seg), 0);
            assert_int_equal(tarn_open_fd(fd, TARN_PRIVATE, &other), 0);
            assert_int_equal(tarn_object(other, "list", struct list, &mine), 0);
            assert_int_equal(mine->writes, 7);
            mine->writes = 8;
            assert_int_equal(tarn_grow(other, 65536), 0);
            assert_int_equal(tarn_check(other, NULL, NULL), 0);
            assert_int_equal(tarn_open_fd(fd, 0, &seg), 0); /* beside it */
            assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
            assert_int_equal(l->writes, 7);
            assert_int_equal(committed_of(seg), 256 << 10);
            assert_int_equal(tarn_close(other), 0);
            close(fd);
        }
        assert_int_equal(tarn_close(seg), 0);
        o.address = NULL;
        o.same_address = 1;
        seg = open_ok(nameless[i], TARN_CREATE, &o);
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_true(s.address != 0 && (void *)s.address == tarn_base(seg));
        if (!shm)
            assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &other), -EADDRINUSE);
        assert_int_equal(tarn_close(seg), 0);
    }
}

/* ---- threads ---- */

enum { THREADS = 4, OPENINGS = 50 };
struct opening {
    const char *url;
    struct tarn_options options;
    unsigned flags;
    void *base;       /* where it must be; NULL: anywhere */
    long value;       /* what it finds */
    int in_use, busy; /* the results: -EADDRINUSE, and those that opened it */
};

static void *open_often(void *arg)
{
    struct opening *o = arg;
    for (int i = 0; i < OPENINGS; i++) {
        struct list *l;
        tarn *seg;
        int e = tarn_open(o->url, o->flags, &o->options, &seg);
        if (e == -EADDRINUSE) {
            o->in_use++;
            sched_yield();
            continue;
        }
        check(e == 0);
        check(!o->base || tarn_base(seg) == o->base);
        if (o->flags & TARN_RDONLY) {
            tarn_ref ref;
            check(tarn_find(seg, "list", NULL, &ref) == 0);
            check(((struct list *)tarn_ptr(seg, ref, sizeof *l))->writes >= o->value);
        } else {
            check(tarn_object(seg, "list", struct list, &l) == 0);
            check(tarn_mutex_lock(seg, &l->lock) == 0);
            if (o->flags & TARN_PRIVATE)
                check(l->writes == o->value); /* as it was, whatever others write into theirs */
            l->writes++;
            sched_yield();
            if (o->flags & TARN_PRIVATE)
                check(l->writes == o->value + 1);
            check(tarn_mutex_unlock(seg, &l->lock) == 0);
            check(tarn_thread_detach(seg) == 0);
        }
        o->busy++;
        check(tarn_close(seg) == 0);
    }
    return NULL;
}

static void open_in_threads(struct opening o[THREADS])
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, open_often, &o[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
}

static long writes_in(const char *url)
{
    struct list *l;
    tarn *seg = open_ok(url, 0, NULL);
    assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
    long writes = l->writes;
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_close(seg), 0);
    return writes;
}

static void threads_come_and_go(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++)
        for (int same = 0; same < 2; same++) {
            struct tarn_options o = small, none = {.size = sizeof none};
            struct opening all[THREADS];
            struct list *l;
            long done = 0;
            o.same_address = (uint32_t)same;
            o.participants = THREADS;
            if (!same)
                none.address = far_range();
            tarn *seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &o);
            void *base = same ? tarn_base(seg) : none.address;
            assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
            assert_int_equal(tarn_close(seg), 0);
            /* one place: all have the one handle, or the first of them maps it there anew */
            for (int k = 0; k < THREADS; k++)
                all[k] = (struct opening){.url = urls[i], .options = none, .base = base};
            open_in_threads(all);
            for (int k = 0; k < THREADS; k++) {
                assert_int_equal(all[k].busy, OPENINGS);
                done += OPENINGS;
            }
            assert_int_equal(writes_in(urls[i]), done);
            /* readers have another handle, and there is no room for two: the one or the other */
            for (int k = 0; k < THREADS; k++) {
                all[k] = (struct opening){.url = urls[i], .options = none, .base = base, .value = done};
                all[k].flags = k % 2 ? TARN_RDONLY : 0;
            }
            open_in_threads(all);
            for (int k = 0; k < THREADS; k++) {
                assert_int_equal(all[k].busy + all[k].in_use, OPENINGS);
                if (k % 2 == 0)
                    done += all[k].busy;
            }
            assert_int_equal(writes_in(urls[i]), done);
            /* private copies, each thread its own, at once: anywhere, or in the one place */
            for (int k = 0; k < THREADS; k++)
                all[k] = (struct opening){.url = urls[i],
                                          .options = {.size = sizeof none},
                                          .flags = TARN_PRIVATE,
                                          .base = same ? base : NULL,
                                          .value = done};
            open_in_threads(all);
            for (int k = 0; k < THREADS; k++)
                assert_int_equal(all[k].busy + all[k].in_use, OPENINGS);
            if (!same)
                for (int k = 0; k < THREADS; k++)
                    assert_int_equal(all[k].busy, OPENINGS);
            assert_int_equal(writes_in(urls[i]), done);
            assert_int_equal(tarn_unlink(urls[i]), 0);
        }
}

/* The same by processes: each looks at it, and attaches it, while others do. */
static void copy_often(void *arg)
{
    open_often(arg);
    check(((struct opening *)arg)->busy == OPENINGS);
}
static void processes_copy_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++) {
        struct opening o = {.url = urls[i], .options = {.size = sizeof o.options}, .flags = TARN_PRIVATE};
        struct list *l;
        pid_t child[THREADS];
        int status, bad = 0;
        tarn *seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &small);
        assert_int_equal(tarn_object(seg, "list", struct list, &l), 0);
        assert_int_equal(tarn_close(seg), 0);
        for (int k = 0; k < THREADS; k++)
            if ((child[k] = fork()) == 0) {
                alarm(60);
                copy_often(&o);
                _exit(0);
            }
        for (int k = 0; k < THREADS; k++) {
            assert_int_equal(waitpid(child[k], &status, 0), child[k]);
            bad |= status;
        }
        assert_int_equal(bad, 0);
        assert_int_equal(writes_in(urls[i]), 0);
        assert_int_equal(tarn_unlink(urls[i]), 0);
    }
}

/* ---- fork ---- */

enum way { ADDRESS, SAME, PRIVATE, WAYS };

struct forked {
    tarn *seg;
    struct list *l;
    enum way way;
    bool closes_first;
    const char *url;
};

/* It has the parent's mapping; takes a lock, allocates, and writes there, as a participant of its own; and closes it. */
static void in_forked(void *arg)
{
    struct forked *f = arg;
    tarn_ref ref = 0;
    void *base = tarn_base(f->seg);
    if (f->closes_first) { /* and opens it for itself */
        check(tarn_close(f->seg) == 0);
        if (f->way == SAME) {
            check(mmap(base, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == base);
            check(tarn_open(f->url, 0, NULL, &f->seg) == -EADDRINUSE);
            check(munmap(base, 4096) == 0);
        }
        check(tarn_open(f->url, f->way == PRIVATE ? TARN_PRIVATE : 0, NULL, &f->seg) == 0);
        check(f->way != SAME || tarn_base(f->seg) == base);
        check(tarn_object(f->seg, "list", struct list, &f->l) == 0);
    }
    check(tarn_begin(f->seg) == 0);
    check(tarn_mutex_lock(f->seg, &f->l->lock) == 0);
    check(f->l->writes == (f->closes_first && f->way == PRIVATE ? 5 : 6)); /* a private copy made anew has what is there */
    check(tarn_save(f->seg, &f->l->writes, sizeof f->l->writes) == 0);
    f->l->writes = 7;
    check(tarn_alloc(f->seg, 300 << 10, &ref) == 0); /* it grows */
    memset(tarn_ptr(f->seg, ref, 300 << 10), 0x77, 300 << 10);
    check(tarn_mutex_unlock(f->seg, &f->l->lock) == 0);
    check(tarn_commit(f->seg) == 0);
    check(tarn_check(f->seg, NULL, NULL) == 0);
    check(tarn_close(f->seg) == 0);
}

static void forked_attachments(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++)
        for (int way = 0; way < WAYS; way++)
            for (int closes = 0; closes < 2; closes++) {
                struct tarn_options o = small;
                struct forked f = {.way = (enum way)way, .closes_first = closes, .url = urls[i]};
                o.same_address = way == SAME;
                o.address = way == ADDRESS ? free_range(64 << 20) : NULL;
                f.seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &o);
                assert_int_equal(tarn_object(f.seg, "list", struct list, &f.l), 0);
                f.l->writes = 5;
                if (way == PRIVATE) {
                    assert_int_equal(tarn_close(f.seg), 0);
                    f.seg = open_ok(urls[i], TARN_PRIVATE, NULL);
                    assert_int_equal(tarn_object(f.seg, "list", struct list, &f.l), 0);
                }
                assert_int_equal(tarn_mutex_lock(f.seg, &f.l->lock),
                                 0); /* it takes part, and goes on while the child comes and goes */
                f.l->writes = 6;
                assert_int_equal(tarn_mutex_unlock(f.seg, &f.l->lock), 0);
                uint64_t committed = committed_of(f.seg);
                int status = in_child(in_forked, &f);
                if (status)
                    fail_msg("%s, way %d, %d: %#x", urls[i], way, closes, status);
                bool shared = way != PRIVATE;
                assert_int_equal(tarn_mutex_lock(f.seg, &f.l->lock), 0);
                assert_int_equal(f.l->writes, shared ? 7 : 6);
                assert_int_equal(committed_of(f.seg) > committed, shared);
                assert_int_equal(tarn_mutex_unlock(f.seg, &f.l->lock), 0);
                assert_int_equal(tarn_check(f.seg, NULL, NULL), 0);
                assert_int_equal(tarn_close(f.seg), 0);
                assert_int_equal(writes_in(urls[i]), shared ? 7 : 5);
                assert_int_equal(tarn_unlink(urls[i]), 0);
            }
}

/* Raw bytes: what is shared is written through, a private mapping is each one's own, and either may be closed by both. */
static void raw_forked(void *arg)
{
    tarn **raw = arg;
    unsigned char *shared = tarn_base(raw[0]), *private = raw[1] ? tarn_base(raw[1]) : NULL;
    check(shared[4999] == 1);
    shared[4999] = 2;
    if (private) {
        check(private[0] == 9);
        private[0] = 10;
        check(tarn_close(raw[1]) == 0);
    }
    check(tarn_close(raw[0]) == 0);
}
static void raw_attachments_forked(void **state)
{
    (void)state;
    static const char *const nameless[] = {"anon:", "memfd:raw", "sysv:private"};
    for (int i = 0; i < NAMED + 3; i++) {
        const char *url = i < NAMED ? urls[i] : nameless[i - NAMED];
        struct tarn_options o = {.size = sizeof o, .raw_length = 5000};
        tarn *raw[2] = {open_ok(url, TARN_RAW | TARN_CREATE, &o), NULL};
        unsigned char *shared = tarn_base(raw[0]);
        if (i < NAMED && strncmp(url, "sysv", 4) != 0) /* shmat makes no private mapping */
            raw[1] = open_ok(url, TARN_RAW | TARN_PRIVATE, NULL);
        else if (i < NAMED)
            assert_int_equal(tarn_open(url, TARN_RAW | TARN_PRIVATE, NULL, &raw[1]), -EOPNOTSUPP);
        shared[4999] = 1;
        if (raw[1])
            ((unsigned char *)tarn_base(raw[1]))[0] = 9;
        assert_int_equal(in_child(raw_forked, raw), 0);
        assert_int_equal(shared[4999], 2);
        assert_int_equal(shared[0], 0);
        if (raw[1]) {
            assert_int_equal(((unsigned char *)tarn_base(raw[1]))[0], 9);
            assert_int_equal(tarn_close(raw[1]), 0);
        }
        assert_int_equal(tarn_close(raw[0]), 0);
        if (i < NAMED)
            assert_int_equal(tarn_unlink_raw(url), 0);
    }
}

/* ---- raw bytes ---- */

static int on_participant(const struct tarn_participant *p, void *arg)
{
    (void)p, (void)arg;
    return 0;
}
static int on_name(const struct tarn_name *n, void *arg)
{
    (void)n, (void)arg;
    return 0;
}

/* Each call that wants a segment is refused, and not a byte changes. */
static void refuses_all(tarn *raw)
{
    struct tarn_type type = {"t", 8, 0};
    struct tarn_stat s;
    struct timespec now = {0, 0};
    struct tarn_map *map;
    tarn_ref ref = 0, place = 0;
    uint64_t bytes;
    void *p;
    tarn_mutex *m = tarn_base(raw);
    assert_int_equal(tarn_stat(raw, &s), 0);
    assert_int_equal(tarn_current(raw), -EINVAL);
    assert_int_equal(tarn_flush(raw), -EINVAL);
    assert_int_equal(tarn_participants(raw, on_participant, NULL), -EINVAL);
    assert_int_equal(tarn_recover(raw), -EINVAL);
    assert_int_equal(tarn_check(raw, NULL, NULL), -EINVAL);
    assert_int_equal(tarn_leaked(raw, &bytes), -EINVAL);
    assert_int_equal(tarn_thread_attach(raw), -EINVAL);
    assert_int_equal(tarn_thread_detach(raw), 0);
    assert_null(tarn_ptr(raw, 64, 8));
    assert_int_equal(tarn_ref_of(raw, m), 0);
    assert_int_equal(tarn_mutex_lock(raw, m), -EINVAL);
    assert_int_equal(tarn_mutex_try(raw, m), -EINVAL);
    assert_int_equal(tarn_mutex_timed(raw, m, &now), -EINVAL);
    assert_int_equal(tarn_mutex_unlock(raw, m), -EINVAL);
    assert_int_equal(tarn_mutex_consistent(raw, m), -EINVAL);
    assert_int_equal(tarn_begin(raw), -EINVAL);
    assert_true(tarn_save(raw, m, 8) < 0);
    assert_true(tarn_write(raw, m, "12345678", 8) < 0);
    assert_true(tarn_commit(raw) < 0);
    assert_true(tarn_abort(raw) < 0);
    assert_int_equal(tarn_alloc(raw, 8, &ref), -EINVAL);
    assert_int_equal(tarn_free(raw, 64), -EINVAL);
    assert_int_equal(tarn_retire(raw, 64), -EINVAL);
    assert_int_equal(tarn_alloc_into(raw, &place, 8), -EINVAL);
    assert_int_equal(tarn_free_from(raw, &place), -EINVAL);
    assert_int_equal(tarn_retire_from(raw, &place), -EINVAL);
    assert_int_equal(tarn_grow(raw, 65536), -EINVAL);
    assert_int_equal(tarn_block_size(raw, 64), 0);
    assert_int_equal(tarn_read_begin(raw), -EINVAL);
    assert_true(tarn_read_end(raw) < 0);
    assert_int_equal(tarn_bind(raw, "n", &type, 64), -EINVAL);
    assert_int_equal(tarn_find(raw, "n", &type, &ref), -EINVAL);
    assert_int_equal(tarn_find_or_make(raw, "n", &type, &p), -EINVAL);
    assert_int_equal(tarn_unbind(raw, "n", 0), -EINVAL);
    assert_int_equal(tarn_names(raw, on_name, NULL), -EINVAL);
    assert_int_equal(tarn_map_open(raw, "m", TARN_CREATE, &map), -EINVAL);
}

static void raw_bytes_are_as_they_are(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++) {
        struct tarn_options o = {.size = sizeof o, .raw_length = 10000};
        struct tarn_stat s;
        tarn *raw = NULL, *part;
        assert_int_equal(tarn_open(urls[i], TARN_RAW, NULL, &raw), -ENOENT);
        struct tarn_options none = {.size = sizeof none};
        assert_int_equal(tarn_open(urls[i], TARN_RAW | TARN_CREATE, &none, &raw), -EINVAL);
        raw = open_ok(urls[i], TARN_RAW | TARN_CREATE, &o);
        assert_int_equal(tarn_stat(raw, &s), 0);
        assert_int_equal(s.total, 10000);
        unsigned char *at = tarn_base(raw);
        for (int k = 0; k < 10000; k++)
            assert_int_equal(at[k], 0);
        for (int k = 0; k < 10000; k++)
            at[k] = (unsigned char)(k * 7);
        refuses_all(raw);
        for (int k = 0; k < 10000; k++)
            assert_int_equal(at[k], (unsigned char)(k * 7));
        /* a part, at an odd offset; read-only, by the kernel's word */
        struct tarn_options p = {.size = sizeof p, .raw_offset = 5001, .raw_length = 99};
        part = open_ok(urls[i], TARN_RAW | TARN_RDONLY, &p);
        assert_memory_equal(tarn_base(part), at + 5001, 99);
        int status;
        pid_t child = fork();
        if (child == 0) {
            signal(SIGSEGV, SIG_DFL);
            *(volatile unsigned char *)tarn_base(part) = 1;
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
        assert_int_equal(tarn_close(part), 0);
        p.raw_protection = TARN_PROT_NONE;
        assert_int_equal(tarn_close(open_ok(urls[i], TARN_RAW, &p)), 0);
        p.raw_protection = TARN_PROT_WRITE;
        assert_int_equal(tarn_open(urls[i], TARN_RAW | TARN_RDONLY, &p, &part), -EINVAL);
        p.raw_protection = 64;
        assert_int_equal(tarn_open(urls[i], TARN_RAW, &p, &part), -EINVAL);
        p.raw_protection = 0;
        p.raw_offset = 1 << 20;
        assert_int_equal(tarn_open(urls[i], TARN_RAW, &p, &part), -EINVAL);
        p.raw_offset = UINT64_MAX;
        assert_int_equal(tarn_open(urls[i], TARN_RAW, &p, &part), -EINVAL);
        assert_int_equal(tarn_close(raw), 0);
        /* it is there for the next, and is no segment */
        raw = open_ok(urls[i], TARN_RAW | TARN_CREATE, &o);
        assert_int_equal(((unsigned char *)tarn_base(raw))[123], (unsigned char)(123 * 7));
        assert_int_equal(tarn_open(urls[i], 0, NULL, &part), -EPROTO);
        assert_true(tarn_unlink(urls[i]) < 0);
        assert_int_equal(tarn_open(urls[i], TARN_RAW | TARN_CREATE | TARN_EXCL, &o, &part), -EEXIST);
        assert_int_equal(tarn_close(raw), 0);
        assert_int_equal(tarn_unlink_raw(urls[i]), 0);
        assert_int_equal(tarn_unlink_raw(urls[i]), -ENOENT);
    }
    /* without a name: what MAP_ANON and fork have, and what shmget with IPC_PRIVATE has */
    static const char *const nameless[] = {"anon:", "memfd:raw", "sysv:private"};
    for (int i = 0; i < 3; i++) {
        struct tarn_options o = {.size = sizeof o, .raw_length = sizeof(int)};
        tarn *raw = open_ok(nameless[i], TARN_RAW | TARN_CREATE, &o);
        int status, *n = tarn_base(raw);
        pid_t child = fork();
        if (child == 0) {
            *n = 42;
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(*n, 42);
        assert_int_equal(tarn_close(raw), 0);
    }
    int fd = memfd_create("plain", MFD_CLOEXEC);
    assert_int_equal(pwrite(fd, "hello", 6, 0), 6);
    tarn *raw;
    assert_int_equal(tarn_open_fd(fd, TARN_RAW, &raw), 0);
    assert_string_equal(tarn_base(raw), "hello");
    assert_int_equal(tarn_close(raw), 0);
    close(fd);
}

/* ---- executable, and options that all follow ---- */

static bool mapping_has(const void *at, const char *rights, const char *flag)
{
    char line[512];
    bool here = false, has = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to;
        char r[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, r) == 3) {
            here = (uintptr_t)at >= from && (uintptr_t)at < to;
            if (here && rights)
                has = strncmp(r, rights, 3) == 0;
        } else if (here && flag && strncmp(line, "VmFlags:", 8) == 0)
            has = strstr(line, flag) != NULL;
    }
    fclose(f);
    return has;
}

static void only_what_was_asked_for(void **state)
{
    (void)state;
    for (int i = 0; i < NAMED; i++) {
        struct tarn_options o = small;
        tarn *seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &o);
        assert_true(mapping_has(tarn_base(seg), "rw-", NULL));
        assert_true(mapping_has(tarn_base(seg), NULL, " dd")); /* left out of core dumps */
        assert_int_equal(tarn_close(seg), 0);
        seg = open_ok(urls[i], TARN_RDONLY, NULL);
        assert_true(mapping_has(tarn_base(seg), "r--", NULL));
        assert_int_equal(tarn_close(seg), 0);
        seg = open_ok(urls[i], TARN_EXEC | TARN_RDONLY, NULL);
        assert_true(mapping_has(tarn_base(seg), "r-x", NULL));
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(urls[i]), 0);
        o.dumped = o.prefault = 1;
        seg = open_ok(urls[i], TARN_CREATE | TARN_EXCL, &o);
        assert_int_equal(tarn_close(seg), 0);
        seg = open_ok(urls[i], 0, NULL); /* the next one follows */
        assert_false(mapping_has(tarn_base(seg), NULL, " dd"));
        unsigned char there[64] = {0};
        char *data = (char *)tarn_base(seg) + seg->geometry.zone[ZONE_DATA];
        assert_int_equal(mincore(data, 256 << 10, there), 0);
        for (int k = 0; k < 64; k++)
            assert_true(there[k] & 1);
        assert_int_equal(tarn_grow(seg, 65536), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(urls[i]), 0);
        o.prefault = 2;
        assert_int_equal(tarn_open(urls[i], TARN_CREATE, &o, &seg), -EINVAL);
    }
}

static void locked_in_memory(void **state)
{
    (void)state;
    struct tarn_options o = small;
    o.locked = 1;
    for (int i = 0; i < NAMED; i++) {
        tarn *seg = NULL;
        int e = tarn_open(urls[i], TARN_CREATE | TARN_EXCL, &o, &seg), status;
        if (e == -ENOMEM) { /* not root, and a small RLIMIT_MEMLOCK */
            assert_says("RLIMIT_MEMLOCK");
            continue;
        }
        assert_int_equal(e, 0);
        assert_true(mapping_has(tarn_base(seg), NULL, " lo"));
        assert_int_equal(tarn_close(seg), 0);
        pid_t child = fork();
        if (child == 0) { /* who may not lock so much is told so */
            struct rlimit none = {4096, 4096};
            check(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
            check(geteuid() != 0 || (chmod(own_path, 0755) == 0 && setuid(65534) == 0));
            check(tarn_open("memfd:locked", TARN_CREATE, &o, &seg) == -ENOMEM);
            check(strstr(tarn_error(), "RLIMIT_MEMLOCK") != NULL);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(tarn_unlink(urls[i]), 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(at_an_address_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plain_pointers_are_good_everywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_in_the_stacks_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(private_copies_are_ones_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nameless_ones_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(processes_copy_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forked_attachments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(raw_attachments_forked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(raw_bytes_are_as_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_was_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(locked_in_memory, set_up, tear_down),
    };
    if (argc == 3)
        return walk_list(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
