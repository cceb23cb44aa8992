/* keyed.h - for tests of maps and of trees: several processes at different addresses, which are killed at random moments. Include it after helper.h
 * and a typedef of `keyed`, which is tarn_map or tarn_tree; who includes it defines `of`, and main calls run_keyed.
 *
 * Each writer owns the keys that are its number modulo WRITERS, and keeps what it knows of them in memory that outlives it: versions, and the
 * change under way. Half of its changes are sections over two collections (bytes and numbers) and several keys; the others are single operations on a
 * third. Whoever follows a killed writer finds each change wholly there or not at all, and everything else exact. Meanwhile readers, with writable and
 * with read-only attachments, find no torn value, no key that nobody put, and each lasting key always, and once in every walk.
 * The parent never opens the segment, so each child maps it where it likes. */
#ifndef TARN_TEST_KEYED_H
#define TARN_TEST_KEYED_H

#include <sched.h>
#include <time.h>

#define WRITERS 3u
#define READERS 2u
#define KEYS 6000u /* in all */
#define MOST 5u    /* keys in a section */
#define URL "posix:/keyed"

struct writer {
    uint32_t version[KEYS], single[KEYS]; /* 0: not there. By the writer, between its changes */
    volatile uint32_t busy;               /* 0; 1: a section is under way; 2: a single operation */
    uint32_t count, key[MOST], to[MOST];
    uint64_t done, undone, lived;
    uintptr_t address;
};
struct shared {
    struct writer writer[WRITERS];
    volatile uint32_t stop, filled[WRITERS];
    volatile uint64_t reads, walks, checks, again;
};
static struct shared *all;

static tarn *seg;
static keyed *bytes, *numbers, *singles;
static uint64_t seed;

typedef int see_entry(const void *key, size_t key_size, const void *value, size_t size, void *arg);
static const struct kind {
    const char *test;
    unsigned of_numbers; /* the flag of one whose keys and values are numbers */
    int (*open)(tarn *seg, const char *name, unsigned flags, keyed **ret);
    void (*close)(keyed *one);
    int (*get)(keyed *one, const void *key, size_t key_size, void *value, size_t room, size_t *ret_size);
    int (*get64)(keyed *one, uint64_t key, uint64_t *ret_value);
    int (*put)(keyed *one, const void *key, size_t key_size, const void *value, size_t size);
    int (*put64)(keyed *one, uint64_t key, uint64_t value);
    int (*remove)(keyed *one, const void *key, size_t key_size);
    int (*remove64)(keyed *one, uint64_t key);
    int (*each)(keyed *one, see_entry *see, void *arg);
    int (*count)(keyed *one, uint64_t *ret_count);
    bool (*lasts)(uint32_t key);                                       /* once put, never removed */
    bool (*removes)(const struct writer *w, uint32_t key, bool there); /* or puts; by chance */
    void (*walk_more)(bool lasting);                                   /* NULL: there are no other walks */
} of;

static uint64_t next_random(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

/* ---- what a key's values look like ---- */

struct value {
    uint32_t key, version;
    uint8_t rest[250];
};
static size_t value_of(uint32_t key, uint32_t version, struct value *v)
{
    size_t n = version % 4 == 0 ? 0 : (key * 7 + version * 13) % sizeof v->rest; /* 8 bytes in all, or more */
    v->key = key;
    v->version = version;
    memset(v->rest, (int)(version + key), n);
    return 8 + n;
}
static void check_value(const char *key, size_t key_size, const void *value, size_t size)
{
    struct value v, want;
    char name[16];
    check(size >= 8 && size <= sizeof v);
    memcpy(&v, value, size);
    check(v.version && v.key < KEYS);
    check(key_size == 1 + (size_t)snprintf(name, sizeof name, "key %u", v.key) && !memcmp(name, key, key_size));
    check(size == value_of(v.key, v.version, &want) && !memcmp(&v, &want, size));
}
static uint64_t number_of(uint32_t key, uint32_t version)
{
    return (uint64_t)key << 32 | version;
}

/* ---- children ---- */

/* Somewhere else than the others. */
static void attach(unsigned who, unsigned flags)
{
    size_t pad = (size_t)(who + 1) * (97 << 20);
    seed = 88172645463325252ull * (who + 1) ^ (uint64_t)getpid() << 32 ^ (uint64_t)clock();
    next_random();
    check(mmap(NULL, pad, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED);
    check(tarn_open(URL, flags, NULL, &seg) == 0);
    flags = flags & TARN_RDONLY ? 0 : TARN_CREATE;
    check(of.open(seg, "bytes", flags, &bytes) == 0);
    check(of.open(seg, "numbers", flags | (flags ? of.of_numbers : 0), &numbers) == 0);
    check(of.open(seg, "singles", flags | (flags ? of.of_numbers : 0), &singles) == 0);
}

static uint32_t version_in(uint32_t key)
{
    char name[16];
    struct value v;
    size_t size = 0;
    uint64_t n = 0;
    size_t length = 1 + (size_t)snprintf(name, sizeof name, "key %u", key);
    int e = of.get(bytes, name, length, &v, sizeof v, &size), f = of.get64(numbers, key, &n);
    check((e == 0 || e == -ENOENT) && f == e); /* they change together */
    if (e)
        return 0;
    check_value(name, length, &v, size);
    check(n == number_of(key, v.version));
    return v.version;
}
static uint32_t single_in(uint32_t key)
{
    uint64_t n = 0;
    int e = of.get64(singles, key, &n);
    check(e == 0 || e == -ENOENT);
    check(e || (n >> 32 == key && (uint32_t)n));
    return e ? 0 : (uint32_t)n;
}

/* The change that the predecessor left: all of it, or nothing. */
static void settle(struct writer *w)
{
    bool section = w->busy == 1;
    uint32_t *known = section ? w->version : w->single, is, as_new = 0, as_old = 0;
    if (!w->busy)
        return;
    for (uint32_t i = 0; i < w->count; i++) {
        is = section ? version_in(w->key[i]) : single_in(w->key[i]);
        as_new += is == w->to[i];
        as_old += is == known[w->key[i]];
    }
    check(as_new == w->count || as_old == w->count);
    if (as_new == w->count)
        for (uint32_t i = 0; i < w->count; i++)
            known[w->key[i]] = w->to[i];
    w->busy = 0;
    if (as_new == w->count)
        w->done++;
    else
        w->undone++;
}

static void verify(const struct writer *w, unsigned who, unsigned step)
{
    for (uint32_t k = who; k < KEYS; k += WRITERS * step) {
        check(version_in(k) == w->version[k]);
        check(single_in(k) == w->single[k]);
    }
}

static int change_section(const struct writer *w)
{
    int e = tarn_begin(seg);
    for (uint32_t i = 0; i < w->count && e == 0; i++) {
        uint32_t k = w->key[i];
        char name[16];
        struct value v;
        size_t length = 1 + (size_t)snprintf(name, sizeof name, "key %u", k);
        if (w->to[i]) {
            e = of.put(bytes, name, length, &v, value_of(k, w->to[i], &v));
            e = e ? e : of.put64(numbers, k, number_of(k, w->to[i]));
        } else {
            e = of.remove(bytes, name, length);
            check(e == (w->version[k] ? 0 : -ENOENT) || e == -EDEADLK);
            e = e == -EDEADLK ? e : of.remove64(numbers, k);
            check(e == (w->version[k] ? 0 : -ENOENT) || e == -EDEADLK);
            e = e == -EDEADLK ? e : 0;
        }
    }
    if (e) {
        check(e == -EDEADLK);
        check(tarn_abort(seg) == 0);
        return 1;
    }
    if (next_random() % 8 == 0) { /* thinks better of it */
        check(tarn_abort(seg) == 0);
        return 1;
    }
    check(tarn_commit(seg) == 0);
    return 0;
}

static void change(struct writer *w, unsigned who)
{
    bool section = next_random() % 2;
    uint32_t *known = section ? w->version : w->single;
    w->count = section ? 1 + (uint32_t)(next_random() % MOST) : 1;
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t k;
        bool again;
        do {
            k = (uint32_t)(next_random() % (KEYS / WRITERS)) * WRITERS + who;
            again = false;
            for (uint32_t j = 0; j < i; j++)
                again |= w->key[j] == k;
        } while (again);
        w->key[i] = k;
        w->to[i] = of.removes(w, k, known[k]) ? 0 : 1 + (uint32_t)(next_random() % 0xfffffff);
    }
    __atomic_store_n(&w->busy, section ? 1 : 2, __ATOMIC_SEQ_CST);
    if (section)
        while (change_section(w))
            ;
    else if (w->to[0])
        check(of.put64(singles, w->key[0], number_of(w->key[0], w->to[0])) == 0);
    else
        check(of.remove64(singles, w->key[0]) == (known[w->key[0]] ? 0 : -ENOENT));
    for (uint32_t i = 0; i < w->count; i++)
        known[w->key[i]] = w->to[i];
    w->done++;
    __atomic_store_n(&w->busy, 0, __ATOMIC_SEQ_CST);
}

static void write_on(unsigned who)
{
    struct writer *w = &all->writer[who];
    tarn_ref ref;
    attach(who, TARN_CREATE);
    check(tarn_find(seg, "bytes", NULL, &ref) == 0);
    w->address = (uintptr_t)tarn_ptr(seg, ref, 1);
    w->lived++;
    check(tarn_recover(seg) >= 0);
    settle(w);
    verify(w, who, 7);
    while (!all->stop) {
        change(w, who);
        if (!all->filled[who]) { /* the lasting keys, first of all */
            for (uint32_t k = who; k < KEYS; k += WRITERS)
                if (of.lasts(k) && !w->version[k]) {
                    w->count = 1, w->key[0] = k, w->to[0] = 1;
                    __atomic_store_n(&w->busy, 1, __ATOMIC_SEQ_CST);
                    while (change_section(w))
                        ;
                    w->version[k] = 1;
                    __atomic_store_n(&w->busy, 0, __ATOMIC_SEQ_CST);
                }
            all->filled[who] = 1;
        }
    }
    of.close(bytes), of.close(numbers), of.close(singles);
    check(tarn_close(seg) == 0);
}

static uint32_t shown[KEYS];
static int see_bytes(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    uint32_t k;
    (void)arg;
    check_value(key, key_size, value, size);
    memcpy(&k, value, 4);
    shown[k]++;
    return 0;
}
static int see_number(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    uint64_t k, v;
    (void)arg;
    check(key_size == 8 && size == 8);
    memcpy(&k, key, 8);
    memcpy(&v, value, 8);
    check(k < KEYS && v >> 32 == k && (uint32_t)v);
    shown[k]++;
    return 0;
}

static void walk_once(keyed *one, bool lasting)
{
    int e;
    memset(shown, 0, sizeof shown);
    e = of.each(one, one == bytes ? see_bytes : see_number, NULL);
    all->again += e == -EAGAIN;
    check(e == 0 || (e == -EAGAIN));
    for (uint32_t k = 0; e == 0 && k < KEYS; k++) {
        bool well = lasting && of.lasts(k) ? shown[k] == 1 : shown[k] <= 1;
        if (!well)
            fprintf(stderr, "key %u was shown %u times\n", k, shown[k]);
        check(well);
    }
    all->walks++;
}

static void read_on(unsigned who)
{
    attach(who, who % 2 ? TARN_RDONLY : 0); /* one of each kind */
    while (!all->stop) {
        bool lasting = true;
        for (uint32_t i = 0; i < WRITERS; i++)
            lasting &= all->filled[i] != 0;
        for (int i = 0; i < 300; i++) {
            uint32_t k = (uint32_t)(next_random() % KEYS);
            char name[16];
            struct value v;
            uint64_t n;
            size_t size, length = 1 + (size_t)snprintf(name, sizeof name, "key %u", k);
            int e = of.get(bytes, name, length, &v, sizeof v, &size);
            check(e == 0 || e == -EAGAIN || (e == -ENOENT && !(lasting && of.lasts(k))));
            if (e == 0)
                check_value(name, length, &v, size);
            e = of.get64(numbers, k, &n);
            check(e == 0 || e == -EAGAIN || (e == -ENOENT && !(lasting && of.lasts(k))));
            check(e || (n >> 32 == k && (uint32_t)n));
            all->reads++;
        }
        walk_once(bytes, lasting);
        walk_once(numbers, lasting);
        walk_once(singles, false);
        if (of.walk_more)
            of.walk_more(lasting);
        check(tarn_check(seg, print_damage, NULL) == 0);
        all->checks++;
    }
}

static void at_the_end(void *unused)
{
    uint64_t leaked = 1, count, want = 0, want_singles = 0;
    (void)unused;
    attach(20, TARN_CREATE);
    check(tarn_recover(seg) >= 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        settle(&all->writer[i]);
        verify(&all->writer[i], i, 1);
        for (uint32_t k = i; k < KEYS; k += WRITERS) {
            want += all->writer[i].version[k] != 0;
            want_singles += all->writer[i].single[k] != 0;
        }
    }
    check(of.count(bytes, &count) == 0 && count == want);
    check(of.count(numbers, &count) == 0 && count == want);
    check(of.count(singles, &count) == 0 && count == want_singles);
    check(tarn_check(seg, print_damage, NULL) == 0);
    check(tarn_leaked(seg, &leaked) == 0 && leaked == 0);
    check(tarn_unbind(seg, "bytes", 1) == 0 && tarn_unbind(seg, "numbers", 1) == 0 &&
          tarn_unbind(seg, "singles", 1) == 0);
    check(tarn_check(seg, print_damage, NULL) == 0);
    check(tarn_leaked(seg, &leaked) == 0 && leaked == 0);
    check(tarn_close(seg) == 0);
}

/* ---- the parent ---- */

static pid_t started[WRITERS + READERS]; /* by number: the last child of it */

static pid_t start(void (*run)(unsigned), unsigned who)
{
    fflush(NULL);
    pid_t p = fork();
    if (p == 0) {
        alarm(100);
        run(who);
        _exit(0);
    }
    started[who] = p;
    return p;
}

/* What a test that failed in the midst left: children, and the segment's name. */
static int sweep(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        if (started[i] > 0 && waitpid(started[i], NULL, WNOHANG) == 0) {
            kill(started[i], SIGKILL);
            waitpid(started[i], NULL, 0);
        }
    memset(started, 0, sizeof started);
    (void)tarn_unlink(URL);
    return 0;
}

static void make(void *unused)
{
    struct tarn_options o = {.size = sizeof o, .limit = 64 << 20, .participants = 8};
    (void)unused;
    check(tarn_open(URL, TARN_CREATE | TARN_EXCL, &o, &seg) == 0);
    check(tarn_close(seg) == 0);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

enum { CHANGES_LEAST = 200 };

static bool few_changes(uint64_t least)
{
    for (unsigned i = 0; i < WRITERS; i++)
        if (all->writer[i].done < least)
            return true;
    return false;
}

/* ms of work by all, with a kill every few ms if `kills`; else longer, until each has made CHANGES_LEAST, however slow the machine is. Returns how many
 * were killed. */
static uint64_t hammer(uint64_t ms, bool kills)
{
    pid_t writer[WRITERS], reader[READERS];
    uint64_t killed = 0, until = now_ms() + ms, x = 88172645463325252ull ^ until;
    int status;
    memset(all, 0, sizeof *all);
    assert_int_equal(in_child(make, NULL), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        writer[i] = start(write_on, i);
    for (;;) {
        bool there = true;
        for (unsigned i = 0; i < WRITERS; i++)
            there &= all->writer[i].lived != 0;
        if (there)
            break;
        usleep(1000);
        assert_true(now_ms() < until + 30000);
    }
    for (unsigned i = 0; i < READERS; i++)
        reader[i] = start(read_on, WRITERS + i);
    while (now_ms() < until || (!kills && few_changes(CHANGES_LEAST))) {
        unsigned victim;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        victim = (unsigned)(x >> 20) % WRITERS;
        usleep((unsigned)(x % 12000));
        if (!kills)
            continue;
        kill(writer[victim], SIGKILL);
        assert_int_equal(waitpid(writer[victim], &status, 0), writer[victim]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            break;
        killed++;
        writer[victim] = start(write_on, victim);
    }
    all->stop = 1;
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(writer[i], &status, 0), writer[i]);
        assert_int_equal(status, 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(waitpid(reader[i], &status, 0), reader[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(in_child(at_the_end, NULL), 0);
    assert_int_equal(tarn_unlink(URL), 0);
    assert_true(all->writer[0].address != all->writer[1].address &&
                all->writer[1].address != all->writer[2].address);
    assert_true(all->reads && all->walks);
    return killed;
}

static void together(void **state)
{
    (void)state;
    hammer(getenv("TARN_SOAK") ? 60000 : 2000, false);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_in_range(all->writer[i].done, CHANGES_LEAST, ~0ull);
    print_message("%llu changes, %llu reads, %llu walks, %llu checks, %llu times -EAGAIN\n",
                  (unsigned long long)(all->writer[0].done + all->writer[1].done + all->writer[2].done),
                  (unsigned long long)all->reads, (unsigned long long)all->walks,
                  (unsigned long long)all->checks, (unsigned long long)all->again);
}

static void killed(void **state)
{
    uint64_t deaths = 0, undone = 0, rounds = getenv("TARN_SOAK") ? 60 : 6;
    (void)state;
    for (uint64_t round = 0; round < rounds; round++) { /* new ones each time: splits and growth under kills */
        deaths += hammer(700, true);
        for (unsigned i = 0; i < WRITERS; i++)
            undone += all->writer[i].undone;
    }
    print_message("%llu killed, %llu of them in a change that was undone\n", (unsigned long long)deaths,
                  (unsigned long long)undone);
    assert_in_range(deaths, 20, ~0ull);
}

static int run_keyed(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(together, sweep),
        cmocka_unit_test_teardown(killed, sweep),
    };
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests_name(of.test, tests, own_directory, remove_directory);
}

#endif
