/* test_protect.c - tarn_protect and tarn_fault_handler: real signals in forked children, on every backing; what the library does all the same in what
 * this process may not touch; and what is refused. */
#include "backings.h"

#include <sys/resource.h>

#include "heap/heap.h"
#include "segment/guard.h"

static const struct tarn_options small = {
    .size = sizeof small, .initial = 1 << 20, .limit = 8 << 20, .participants = 8};
enum { PAGE = 4096 };

struct table {
    uint64_t number[PAGE / 8];
};

static tarn *open_ok(const char *url)
{
    tarn *seg = NULL;
    int e = tarn_open(url, TARN_CREATE, &small, &seg);
    if (e < 0)
        fail_msg("%s: %d: %s", url, e, tarn_error());
    return seg;
}
static void close_ok(tarn *seg, const char *url)
{
    assert_int_equal(tarn_close(seg), 0);
    (void)tarn_unlink(url);
}

/* Blocks of whole pages, each under a name if it has one. */
static tarn_ref make_pages(tarn *seg, unsigned pages, const char *name)
{
    struct tarn_type type = {"pages", (uint64_t)pages * PAGE, 0};
    tarn_ref ref = 0;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc_aligned(seg, (size_t)pages * PAGE, PAGE, &ref), 0);
    assert_int_equal(tarn_commit(seg), 0);
    if (name)
        assert_int_equal(tarn_bind(seg, name, &type, ref), 0);
    return ref;
}
static void *at_ref(tarn *seg, tarn_ref ref)
{
    void *at = tarn_ptr(seg, ref, 8);
    assert_non_null(at);
    return at;
}

static void rights_are(tarn *seg, tarn_ref ref, uint32_t rights)
{
    struct tarn_translation t;
    assert_int_equal(tarn_translate_ref(seg, ref, &t), 0);
    assert_true(t.known & TARN_KNOWN_MAPPING);
    assert_int_equal(t.rights, rights);
}
#define BOTH (TARN_PROT_READ | TARN_PROT_WRITE)

/* ---- an access in a child ---- */

enum { READ, WRITE };
struct access {
    volatile uint64_t *at;
    int how;
    void (*before)(void);
};
static void access_it(void *arg)
{
    const struct access *a = arg;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    if (a->before)
        a->before();
    if (a->how == WRITE)
        *a->at = 1;
    else
        (void)*a->at;
}
static int signal_of(void *at, int how)
{
    struct access a = {at, how, NULL};
    int status = in_child(access_it, &a);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void each_backing_keeps_rights(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        tarn *seg = open_ok(urls[i]);
        tarn_ref first = make_pages(seg, 1, NULL), second = make_pages(seg, 1, NULL),
                 third = make_pages(seg, 2, NULL);
        *(uint64_t *)at_ref(seg, first) = 11;
        assert_int_equal(tarn_protect(seg, first, 0, TARN_PROT_READ, 0), 0);
        assert_int_equal(tarn_protect(seg, third, 0, TARN_PROT_NONE, 0), 0);
        assert_int_equal(*(uint64_t *)at_ref(seg, first), 11);
        assert_int_equal(signal_of(at_ref(seg, first), READ), 0);
        assert_int_equal(signal_of(at_ref(seg, first), WRITE), SIGSEGV);
        assert_int_equal(signal_of(at_ref(seg, second), WRITE), 0); /* its neighbour */
        assert_int_equal(signal_of(at_ref(seg, third), READ), SIGSEGV);
        assert_int_equal(signal_of((char *)at_ref(seg, third) + 2 * PAGE - 8, WRITE), SIGSEGV);
        rights_are(seg, first, TARN_PROT_READ);
        rights_are(seg, second, BOTH);
        rights_are(seg, third, TARN_PROT_NONE);
        /* a part of it back; the parts on both sides stay */
        assert_int_equal(tarn_protect(seg, third + PAGE, PAGE, TARN_PROT_READ, 0), 0);
        rights_are(seg, third, TARN_PROT_NONE);
        rights_are(seg, third + PAGE, TARN_PROT_READ);
        /* growth maps nothing anew */
        assert_int_equal(tarn_grow(seg, 2 << 20), 0);
        tarn_ref later = make_pages(seg, 1, NULL);
        *(uint64_t *)at_ref(seg, later) = 1;
        assert_int_equal(signal_of(at_ref(seg, first), WRITE), SIGSEGV);
        /* the midst of one back */
        tarn_ref run = make_pages(seg, 5, NULL);
        assert_int_equal(tarn_protect(seg, run, 5 * PAGE, TARN_PROT_NONE, 0), 0);
        assert_int_equal(tarn_protect(seg, run + PAGE, 2 * PAGE, TARN_PROT_WRITE, 0), 0);
        for (uint64_t page = 0; page < 6; page++)
            rights_are(seg, run + page * PAGE, page == 1 || page == 2 || page == 5 ? BOTH : TARN_PROT_NONE);
        guard_lift(seg); /* the table, too, has both ends */
        rights_are(seg, run + 4 * PAGE, BOTH);
        guard_lower(seg);
        rights_are(seg, run, TARN_PROT_NONE);
        rights_are(seg, run + 2 * PAGE, BOTH);
        rights_are(seg, run + 4 * PAGE, TARN_PROT_NONE);
        assert_int_equal(tarn_protect(seg, run, 5 * PAGE, TARN_PROT_WRITE, 0), 0);
        assert_int_equal(tarn_protect(seg, first, 0, TARN_PROT_WRITE, 0), 0);
        assert_int_equal(signal_of(at_ref(seg, first), WRITE), 0);
        *(uint64_t *)at_ref(seg, first) = 12;
        assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
        assert_int_equal(tarn_protect(seg, third, 0, TARN_PROT_WRITE, 0), 0);
        rights_are(seg, third, BOTH);
        rights_are(seg, third + PAGE, BOTH);
        assert_false(guarded(seg));
        assert_int_equal(tarn_protect(seg, third, 0, TARN_PROT_NONE, 0), 0);
        close_ok(seg, urls[i]); /* with rights taken */
    }
}

/* ---- what it does not reach ---- */

static void others_and_other_handles_keep_theirs(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/o"), *reader, *own;
    tarn_ref ref = make_pages(seg, 1, NULL);
    int go[2];
    char byte = 0;
    assert_int_equal(pipe(go), 0);
    pid_t child = fork_child();
    if (child == 0) {
        uint64_t *at;
        check(tarn_open("posix:/o", TARN_RDONLY, NULL, &own) == 0);
        check(read(go[0], &byte, 1) == 1);
        at = tarn_ptr(seg, ref, 8); /* forked before: as it was */
        *at = 5;
        check(*(uint64_t *)tarn_ptr(own, ref, 8) == 5);
        _exit(0);
    }
    assert_int_equal(tarn_open("posix:/o", TARN_RDONLY, NULL, &reader), 0);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_NONE, 0), 0);
    assert_int_equal(write(go[1], "", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(*(uint64_t *)at_ref(reader, ref), 5); /* at another address */
    assert_int_equal(signal_of(at_ref(seg, ref), READ), SIGSEGV);
    assert_int_equal(tarn_protect(reader, ref, 0, TARN_PROT_WRITE, 0), -EROFS);
    assert_int_equal(tarn_protect(reader, ref, 0, TARN_PROT_NONE, 0), 0);
    assert_int_equal(signal_of(at_ref(reader, ref), READ), SIGSEGV);
    assert_int_equal(tarn_protect(reader, ref, 0, TARN_PROT_READ, 0), 0);
    assert_int_equal(*(uint64_t *)at_ref(reader, ref), 5);
    close(go[0]), close(go[1]);
    assert_int_equal(tarn_close(reader), 0);
    close_ok(seg, "posix:/o");
}

/* ---- what is refused ---- */

static void only_whole_pages_of_users_have_rights(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:");
    struct table *object;
    tarn_map *map;
    tarn_ref pages = make_pages(seg, 2, NULL), little = 0, beside = 0;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, 64, &little), 0);
    assert_int_equal(tarn_alloc(seg, 64, &beside), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_object(seg, "t", struct table, &object), 0);
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE, &map), 0);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(tarn_map_put(map, &i, sizeof i, &i, sizeof i), 0);
    /* not whole pages */
    assert_int_equal(tarn_protect(seg, little, 0, TARN_PROT_READ, 0), -EINVAL);
    assert_says("not whole pages");
    assert_int_equal(tarn_protect(seg, pages, PAGE + 1, TARN_PROT_READ, 0), -EINVAL);
    assert_int_equal(tarn_protect(seg, pages + 8, PAGE - 8, TARN_PROT_READ, 0), -EINVAL);
    /* not there; no such rights */
    assert_int_equal(tarn_protect(seg, pages + PAGE, 0, TARN_PROT_READ, 0), -EINVAL);
    assert_int_equal(
        tarn_protect(seg, seg->geometry.zone[ZONE_DATA] + committed_of(seg), PAGE, TARN_PROT_READ, 0), -EINVAL);
    assert_int_equal(tarn_protect(seg, pages, 0, 0, 0), -EINVAL);
    assert_int_equal(tarn_protect(seg, pages, 0, TARN_PROT_NONE | TARN_PROT_READ, 0), -EINVAL);
    assert_int_equal(tarn_protect(seg, pages, 0, TARN_PROT_EXEC, 0), -EINVAL);
    assert_int_equal(tarn_protect(seg, pages, 0, TARN_PROT_READ, 2), -EINVAL);
    /* control data: header, participants, names, tables; memory that is free; blocks of the map */
    for (int zone = 0; zone < ZONE_DATA; zone++)
        assert_int_equal(tarn_protect(seg, seg->geometry.zone[zone], PAGE, TARN_PROT_NONE, 0), -EINVAL);
    assert_int_equal(tarn_protect(seg, little, 64, TARN_PROT_READ, TARN_PROTECT_WIDEN),
                     -EPERM); /* beside it: free blocks, and the library's */
    tarn_ref header = 0;
    assert_int_equal(tarn_find(seg, "m", NULL, &header), 0);
    assert_int_equal(tarn_protect(seg, header, 0, TARN_PROT_READ, TARN_PROTECT_WIDEN), -EPERM);
    assert_false(guarded(seg));
    assert_int_equal(tarn_map_count(map, &(uint64_t){0}), 0);
    tarn_map_close(map);
    close_ok(seg, "anon:");
}

/* Every page of a segment that has all kinds of things: wherever rights may be taken, and are taken, the library still works. */
static void wherever_it_is_allowed_the_library_works(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:");
    tarn_map *map;
    uint64_t granted = 0, refused = 0;
    tarn_ref mine = make_pages(seg, 3, "mine");
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &map), 0);
    for (uint64_t i = 0; i < 20000; i++)
        assert_int_equal(tarn_map_put64(map, i, i), 0);
    for (uint64_t at = seg->geometry.zone[ZONE_DATA]; at < seg->geometry.zone[ZONE_DATA] + committed_of(seg);
         at += PAGE)
        tarn_protect(seg, at, PAGE, TARN_PROT_NONE, 0) == 0 ? granted++ : refused++;
    assert_int_equal(granted, tarn_block_size(seg, mine) / PAGE); /* the only ones that are a user's */
    assert_true(refused > 100);
    rights_are(seg, mine + 2 * PAGE, TARN_PROT_NONE);
    for (uint64_t i = 0; i < 20000; i++)
        assert_int_equal(tarn_map_remove64(map, i), 0);
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
    tarn_map_close(map);
    assert_int_equal(tarn_unbind(seg, "mine", 1), 0);
    assert_false(guarded(seg)); /* it was freed */
    close_ok(seg, "anon:");
}

static void neighbours_have_rights_if_that_is_said(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:");
    tarn_ref ref[4096], page = 0;
    unsigned count = 0;
    assert_int_equal(tarn_begin(seg), 0);
    while (count < sizeof ref / sizeof *ref && tarn_alloc(seg, 64, &ref[count]) == 0)
        count++;
    assert_int_equal(tarn_commit(seg), 0);
    for (unsigned i = 0; i < count && !page; i++) { /* a page all of whose blocks are allocated */
        uint64_t from = ref[i] / PAGE * PAGE;
        unsigned in = 0;
        for (unsigned k = 0; k < count; k++)
            in += ref[k] / PAGE * PAGE == from;
        if (in == PAGE / 64)
            page = from;
    }
    assert_int_not_equal(page, 0);
    assert_int_equal(tarn_protect(seg, page + 64, 64, TARN_PROT_READ, 0), -EINVAL);
    assert_int_equal(tarn_protect(seg, page + 64, 64, TARN_PROT_READ, TARN_PROTECT_WIDEN), 0);
    assert_int_equal(signal_of(at_ref(seg, page + PAGE - 64), WRITE), SIGSEGV); /* another object of that page */
    assert_int_equal(signal_of(at_ref(seg, page + PAGE - 64), READ), 0);
    /* one of them is freed: the page has the mapping's rights again, and the block is handed out anew */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_free(seg, page + 128), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_false(guarded(seg));
    *(uint64_t *)at_ref(seg, page + 64) = 1;
    close_ok(seg, "anon:");
}

static void a_held_lock_is_not_protected(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:");
    tarn_ref ref = make_pages(seg, 1, NULL);
    tarn_mutex *lock = at_ref(seg, ref + 128);
    assert_int_equal(tarn_mutex_lock(seg, lock), 0);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_READ, 0), -EBUSY);
    assert_int_equal(tarn_mutex_unlock(seg, lock), 0);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_READ, 0), 0);
    close_ok(seg, "anon:");
}

/* ---- the library's own writes ---- */

static void what_would_write_there_is_refused(void **state)
{
    (void)state;
    struct member {
        uint64_t number;
        tarn_link link;
    } * member, *other;
    tarn *seg = open_ok("anon:");
    tarn_ref ref = make_pages(seg, 1, NULL), outside = make_pages(seg, 1, NULL), to = 0;
    uint64_t *at = at_ref(seg, ref), value = 7;
    tarn_list *list;
    member = at_ref(seg, ref + 64);
    other = at_ref(seg, outside);
    assert_int_equal(tarn_object(seg, "list", tarn_list, &list), 0);
    assert_int_equal(tarn_list_insert_last(seg, list, &member->link), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_write(seg, at, &value, sizeof value), 0); /* saved, and then protected */
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_READ, 0), 0);
    assert_int_equal(tarn_save(seg, at, 8), -EACCES);
    assert_says("tarn_protect");
    assert_int_equal(tarn_write(seg, at, &value, sizeof value), -EACCES);
    assert_int_equal(tarn_list_insert_last(seg, list, &other->link), -EACCES); /* member's link would change */
    assert_says("tarn_protect");
    assert_int_equal(tarn_realloc(seg, ref, 3 * PAGE, 0, &to), -EACCES);
    assert_int_equal(tarn_save(seg, other, 8), 0);
    assert_int_equal(tarn_abort(seg), 0); /* undone, though it is not to be written */
    assert_int_equal(*at, 0);
    rights_are(seg, ref, TARN_PROT_READ);
    assert_int_equal(signal_of(at, WRITE), SIGSEGV);
    assert_int_equal(tarn_list_insert_last(seg, list, &other->link), -EACCES);
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_NONE, 0), 0);
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0); /* it walks the list through it */
    rights_are(seg, ref, TARN_PROT_NONE);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_WRITE, 0), 0);
    assert_int_equal(tarn_list_insert_last(seg, list, &other->link), 0);
    close_ok(seg, "anon:");
}

/* A participant dies in a section that changed what this process may not even read, holding a lock there: it is recovered here. */
static void the_dead_are_recovered_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        tarn *seg = open_ok(urls[i]);
        tarn_ref ref = make_pages(seg, 1, NULL);
        uint64_t *at = at_ref(seg, ref), value = 99;
        int ready[2], status;
        char byte;
        *at = 42;
        assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_NONE, 0), 0);
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork_child();
        if (child == 0) {
            check(tarn_protect(seg, ref, 0, TARN_PROT_WRITE, 0) == 0); /* its own; the parent's stay */
            check(tarn_begin(seg) == 0 && tarn_mutex_lock(seg, (tarn_mutex *)(at + 8)) == 0);
            check(tarn_write(seg, at, &value, sizeof value) == 0);
            check(write(ready[1], "", 1) == 1);
            pause();
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        int recovered = tarn_recover(seg);
        assert_int_equal(recovered, 1);
        rights_are(seg, ref, TARN_PROT_NONE); /* as before */
        assert_int_equal(signal_of(at, READ), SIGSEGV);
        assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_READ, 0), 0);
        assert_int_equal(*at, 42);
        assert_int_equal(at[8], 0); /* the lock is free */
        close(ready[0]), close(ready[1]);
        close_ok(seg, urls[i]);
    }
}

/* Freed here, by the quick path and the slow one, or by another process, and handed out again. */
static void what_is_freed_has_its_rights_again(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/f");
    tarn_ref *place;
    int status;
    assert_int_equal(tarn_object(seg, "place", tarn_ref, &place), 0);
    for (int turn = 0; turn < 4; turn++) {
        size_t size = turn == 3 ? 3 * PAGE : PAGE; /* a block of a span, and a run */
        tarn_ref was;
        assert_int_equal(tarn_alloc_aligned_into(seg, place, size, PAGE), 0);
        was = *place;
        *(uint64_t *)at_ref(seg, was) = 1;
        assert_int_equal(tarn_protect(seg, was, 0, TARN_PROT_NONE, 0), 0);
        assert_true(guarded(seg));
        if (turn == 0)
            assert_int_equal(tarn_free_from(seg, place), 0);
        else if (turn == 1)
            assert_int_equal(tarn_retire_from(seg, place), 0);
        else {
            pid_t child = fork_child();
            if (child == 0) {
                tarn_protect(seg, was, 0, TARN_PROT_WRITE, 0);
                check(tarn_free_from(seg, place) == 0);
                check(tarn_close(seg) == 0);
                _exit(0);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_int_equal(status, 0);
            assert_true(guarded(seg)); /* nobody here knows yet */
        }
        assert_true(turn >= 2 || !guarded(seg));
        bool again = false;
        tarn_ref kept[600] = {0};
        assert_int_equal(tarn_begin(seg), 0);
        for (size_t i = 0;
             i < sizeof kept / sizeof *kept && !again && tarn_alloc_aligned(seg, size, PAGE, &kept[i]) == 0; i++)
            again = kept[i] == was; /* zeroed when it was handed out, or we are dead */
        assert_int_equal(tarn_abort(seg), 0);
        assert_true(again || turn == 1);
        assert_true(turn == 1 || !guarded(seg));
    }
    close_ok(seg, "posix:/f");
}

/* Taken while somebody in this process recovers, checks or undoes: it holds once he is done. */
static void rights_wait_for_who_has_lifted_them(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:");
    tarn_ref ref = make_pages(seg, 1, NULL), other = make_pages(seg, 1, NULL);
    guard_lift(seg);
    guard_lift(seg);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_NONE, 0), 0);
    rights_are(seg, ref, BOTH);
    *(uint64_t *)at_ref(seg, ref) = 1;
    guard_lower(seg);
    rights_are(seg, ref, BOTH);
    guard_lower(seg);
    rights_are(seg, ref, TARN_PROT_NONE);
    guard_lift(seg);
    rights_are(seg, ref, BOTH);
    assert_int_equal(tarn_protect(seg, other, 0, TARN_PROT_READ, 0), 0);
    rights_are(seg, other, BOTH);
    assert_int_equal(signal_of(at_ref(seg, other), WRITE), SIGSEGV); /* in a child nobody has lifted them */
    guard_lower(seg);
    rights_are(seg, ref, TARN_PROT_NONE);
    rights_are(seg, other, TARN_PROT_READ);
    close_ok(seg, "anon:");
}

/* ---- the handler ---- */

static struct tarn_fault last_fault;
static volatile sig_atomic_t faults, before_called;
static sigjmp_buf back;

static void note_fault(const struct tarn_fault *fault, void *arg)
{
    last_fault = *fault;
    faults += arg == &last_fault;
}
static void before_handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    before_called = number == SIGSEGV || number == SIGBUS ? (info->si_addr ? 1 : 2) : 3;
    siglongjmp(back, 1);
}

static void a_stray_access_is_told(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/h");
    tarn_ref ref = make_pages(seg, 2, "orders"), nameless = make_pages(seg, 1, NULL);
    struct sigaction mine = {.sa_sigaction = before_handler, .sa_flags = SA_SIGINFO | SA_NODEFER}, was_segv,
                     was_bus, now;
    volatile uint64_t *at = (uint64_t *)at_ref(seg, ref) + 3;
    assert_int_equal(sigaction(SIGSEGV, &mine, &was_segv), 0);
    assert_int_equal(sigaction(SIGBUS, &mine, &was_bus), 0);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_READ, 0), 0);
    assert_int_equal(tarn_protect(seg, nameless, 0, TARN_PROT_NONE, 0), 0);
    assert_int_equal(tarn_fault_handler(note_fault, &last_fault), 0);
    if (sigsetjmp(back, 1) == 0)
        *at = 1;
    assert_int_equal(faults, 1);
    assert_int_equal(before_called, 1);
    assert_ptr_equal(last_fault.address, at);
    assert_int_equal(last_fault.ref, ref + 24);
    assert_int_equal(last_fault.object, ref);
    assert_int_equal(last_fault.offset, 24);
    assert_string_equal(last_fault.name, "orders");
    assert_string_equal(last_fault.url, "posix:/h");
    assert_int_equal(last_fault.signal, SIGSEGV);
    assert_int_equal(last_fault.rights, TARN_PROT_READ);
#ifdef __x86_64__
    assert_int_equal(last_fault.kind, TARN_FAULT_WRITE);
    assert_non_null(last_fault.pc);
#endif
    if (sigsetjmp(back, 1) == 0)
        (void)*(volatile uint64_t *)((uintptr_t)seg->base + nameless + PAGE - 8); // NOLINT: an address
    assert_int_equal(faults, 2);
    assert_int_equal(last_fault.object, nameless);
    assert_int_equal(last_fault.offset, PAGE - 8);
    assert_string_equal(last_fault.name, "");
    assert_int_equal(last_fault.rights, TARN_PROT_NONE);
#ifdef __x86_64__
    assert_int_equal(last_fault.kind, TARN_FAULT_READ);
#endif
    if (sigsetjmp(back, 1) == 0) /* not committed */
        (void)*(volatile char *)(seg->base + seg->geometry.end - 1);
    assert_int_equal(faults, 3);
    assert_int_equal(last_fault.signal, SIGBUS);
    assert_int_equal(last_fault.rights, 0);
    assert_int_equal(last_fault.object, 0);
    before_called = 0;
    char *elsewhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigsetjmp(back, 1) == 0)
        (void)*(volatile char *)elsewhere;
    munmap(elsewhere, PAGE);
    assert_int_equal(faults, 3); /* none of ours, and passed on */
    assert_int_equal(before_called, 1);
    if (sigsetjmp(back, 1) == 0)
        raise(SIGSEGV); /* sent */
    assert_int_equal(faults, 3);
    assert_int_equal(sigaction(SIGBUS, &mine, &now), 0);
    assert_int_equal(tarn_fault_handler_end(), -EBUSY); /* one of both has another over it */
    assert_int_equal(sigaction(SIGBUS, &now, NULL), 0);
    assert_int_equal(tarn_fault_handler_end(), 0);
    assert_int_equal(tarn_fault_handler_end(), 0);
    assert_int_equal(sigaction(SIGSEGV, NULL, &now), 0);
    assert_ptr_equal(now.sa_sigaction, before_handler);
    assert_int_equal(tarn_protect(seg, nameless, 0, TARN_PROT_WRITE, 0), 0);
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_WRITE, 0), 0);
    sigaction(SIGSEGV, &was_segv, &now);
    sigaction(SIGBUS, &was_bus, NULL);
    close_ok(seg, "posix:/h");
}

/* In a child, without a handler before it: a line, and then the same end. */
static int line_to[2];
static void before_access(void)
{
    check(dup2(line_to[1], STDERR_FILENO) == STDERR_FILENO);
    check(tarn_fault_handler(NULL, NULL) == 0);
}
static void a_line_says_it_and_the_process_ends_as_it_would(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/l");
    tarn_ref ref = make_pages(seg, 1, "odd \033[31mname");
    struct access a = {at_ref(seg, ref + 16), WRITE, before_access};
    char line[1024] = "", expected[256];
    assert_int_equal(tarn_protect(seg, ref, 0, TARN_PROT_READ, 0), 0);
    assert_int_equal(pipe(line_to), 0);
    int status = in_child(access_it, &a);
    close(line_to[1]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_true(read(line_to[0], line, sizeof line - 1) > 0);
    close(line_to[0]);
    snprintf(expected, sizeof expected,
             "\"odd ?[31mname\" + 16, ref %#llx of posix:/l, address %p, protected: to be read only; pc 0x",
             (unsigned long long)ref + 16, (void *)a.at);
    if (!strstr(line, expected) || strncmp(line, "tarn: SIGSEGV: ", 15) != 0 || line[strlen(line) - 1] != '\n')
        fail_msg("\"%s\" does not say \"%s\"", line, expected);
    close_ok(seg, "posix:/l");
}

/* ---- many ranges, and threads ---- */

static void many_ranges_are_kept_apart(void **state)
{
    (void)state;
    enum { MANY = 200 };
    tarn *seg = open_ok("anon:");
    tarn_ref ref[MANY];
    for (int i = 0; i < MANY; i++)
        ref[i] = make_pages(seg, 1, NULL);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(tarn_protect(seg, ref[i], 0, i % 3 == 0 ? TARN_PROT_NONE : TARN_PROT_READ, 0), 0);
    for (int i = 0; i < MANY; i++)
        rights_are(seg, ref[i], i % 3 == 0 ? TARN_PROT_NONE : TARN_PROT_READ);
    for (int i = 0; i < MANY; i += 2)
        assert_int_equal(tarn_protect(seg, ref[i], 0, TARN_PROT_WRITE, 0), 0);
    for (int i = 0; i < MANY; i++)
        rights_are(seg, ref[i], i % 2 == 0 ? BOTH : i % 3 == 0 ? TARN_PROT_NONE : TARN_PROT_READ);
    close_ok(seg, "anon:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_backing_keeps_rights),
        cmocka_unit_test(others_and_other_handles_keep_theirs),
        cmocka_unit_test(only_whole_pages_of_users_have_rights),
        cmocka_unit_test(wherever_it_is_allowed_the_library_works),
        cmocka_unit_test(neighbours_have_rights_if_that_is_said),
        cmocka_unit_test(a_held_lock_is_not_protected),
        cmocka_unit_test(what_would_write_there_is_refused),
        cmocka_unit_test(the_dead_are_recovered_there),
        cmocka_unit_test(what_is_freed_has_its_rights_again),
        cmocka_unit_test(rights_wait_for_who_has_lifted_them),
        cmocka_unit_test(a_stray_access_is_told),
        cmocka_unit_test(a_line_says_it_and_the_process_ends_as_it_would),
        cmocka_unit_test(many_ranges_are_kept_apart),
    };
    alarm(100);
    return cmocka_run_group_tests(tests, set_up, take_away);
}
