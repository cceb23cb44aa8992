/* fuzz_image.c - hostile bytes: a good segment with some of its words spoiled is opened, checked and read, and written to as far as that takes no
 * lock (a hostile writer may hold a lock for ever, and that is no fault). Nothing may crash, hang, or touch what is not committed.
 * usage: fuzz_image ROUNDS [SEED]. Each round is a forked child with an alarm; the spoiled words are said when one fails. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "segment/segment.h"

static uint64_t seed;
static uint64_t rnd(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

struct thing {
    tarn_mutex lock;
    tarn_ref ref[8];
};

static void must(int e, const char *what)
{
    if (e < 0) {
        fprintf(stderr, "set-up: %s: %d: %s\n", what, e, tarn_error());
        exit(2);
    }
}

/* Names, maps of both kinds (grown past a split), blocks of many sizes, a run, freed and retired ones, an open section left by nobody. */
static tarn *make_image(void)
{
    struct tarn_options o = {.size = sizeof o,
                             .initial = 192 << 10,
                             .limit = 1 << 20,
                             .participants = 3,
                             .record_size = 2048,
                             .span_size = 4096};
    tarn *seg;
    tarn_map *map, *numbers;
    struct thing *t;
    must(tarn_open("memfd:fuzz", TARN_CREATE, &o, &seg), "open");
    must(tarn_object(seg, "thing", struct thing, &t), "object");
    must(tarn_map_open(seg, "map", TARN_CREATE, &map), "map");
    must(tarn_map_open(seg, "numbers", TARN_CREATE | TARN_MAP_U64, &numbers), "map");
    for (uint64_t i = 0; i < 150; i++) {
        char key[32];
        int n = snprintf(key, sizeof key, "key %llu", (unsigned long long)i);
        must(tarn_map_put(map, key, (size_t)n, "some value", i % 11), "put");
        must(tarn_map_put64(numbers, i * 77, i), "put");
    }
    for (int i = 0; i < 8; i++)
        must(tarn_alloc_into(seg, &t->ref[i], 16u << i), "alloc");
    must(tarn_free_from(seg, &t->ref[1]), "free");
    must(tarn_retire_from(seg, &t->ref[3]), "retire");
    must(tarn_alloc_into(seg, &t->ref[1], 9000), "alloc");
    tarn_map_close(map);
    tarn_map_close(numbers);
    must(tarn_thread_detach(seg), "detach");
    return seg;
}

static int nothing(const struct tarn_name *n, void *arg)
{
    return (void)arg, n->name[0] == 1;
}
static int nothing_d(const struct tarn_damage *d, void *arg)
{
    return (void)arg, d->what[0] == 1;
}
static int nothing_p(const struct tarn_participant *p, void *arg)
{
    return (void)arg, p->id == 1u << 31;
}
static int nothing_e(const void *k, size_t ks, const void *v, size_t vs, void *arg)
{
    const unsigned char *a = k, *b = v;
    (void)arg;
    return ks && vs && a[ks - 1] + b[vs - 1] == 1000; /* reads both ends */
}

static void read_all(tarn *seg)
{
    struct tarn_stat st;
    uint64_t n;
    tarn_ref ref;
    tarn_map *map;
    char value[64];
    tarn_check(seg, nothing_d, NULL);
    tarn_stat(seg, &st);
    tarn_leaked(seg, &n);
    tarn_names(seg, nothing, NULL);
    tarn_participants(seg, nothing_p, NULL);
    tarn_find(seg, "thing", NULL, &ref);
    tarn_find(seg, "absent", NULL, &ref);
    if (tarn_map_open(seg, "map", 0, &map) == 0) {
        for (int i = 0; i < 150; i += 3) {
            char key[32];
            int k = snprintf(key, sizeof key, "key %d", i);
            tarn_map_get(map, key, (size_t)k, value, sizeof value, NULL);
        }
        tarn_map_each(map, nothing_e, NULL);
        tarn_map_close(map);
    }
    if (tarn_map_open(seg, "numbers", TARN_MAP_U64, &map) == 0) {
        for (uint64_t i = 0; i < 150; i += 3)
            tarn_map_get64(map, i * 77, &n);
        tarn_map_each(map, nothing_e, NULL);
        tarn_map_close(map);
    }
}

/* What takes no lock. */
static void write_some(tarn *seg)
{
    struct tarn_type type = TARN_TYPE(struct thing);
    struct thing *t;
    tarn_ref ref, block;
    tarn_recover(seg);
    if (tarn_find(seg, "thing", &type, &ref) || !(t = tarn_ptr(seg, ref, sizeof *t)) || ref % 8)
        return;
    for (int i = 0; i < 8; i++) {
        if (t->ref[i])
            tarn_free_from(seg, &t->ref[i]);
        else
            tarn_alloc_into(seg, &t->ref[i], 16u << rnd(9));
    }
    for (int i = 0; i < 40; i++)
        if (tarn_begin(seg) == 0) {
            tarn_save(seg, t, sizeof *t);
            if (tarn_alloc(seg, 1 + rnd(6000), &block) == 0 && rnd(2))
                tarn_retire(seg, block);
            tarn_free(seg, ref + rnd(1 << 18));
            if (rnd(2))
                tarn_abort(seg);
            else
                tarn_commit(seg);
        }
    tarn_block_size(seg, rnd(1 << 20));
    tarn_thread_detach(seg);
}

/* Not the stamp: that is refused as a whole (test_segment). Mostly words that are not zero, changed a little or wholly. */
static void spoil(uint64_t *words, uint64_t first, uint64_t last, char *said, size_t room)
{
    uint64_t n = 1 + rnd(rnd(4) ? 4 : 60);
    size_t used = 0;
    said[0] = 0;
    for (uint64_t tries = 0; n && tries < 100000; tries++) {
        uint64_t i = first + rnd(last - first), v = words[i];
        if (!v && rnd(50))
            continue;
        switch (rnd(7)) {
        case 0: v = ~0ull; break;
        case 1: v = 0; break;
        case 2: v ^= 1ull << rnd(64); break;
        case 3: v += 8; break;
        case 4: v = words[first + rnd(last - first)]; break;
        case 5: v = rnd(1 << 20) & ~7ull; break;
        default: v = seed;
        }
        words[i] = v;
        n--;
        if (used + 60 < room)
            used += (size_t)snprintf(said + used, room - used, " %#llx=%#llx", (unsigned long long)i * 8,
                                     (unsigned long long)v);
    }
}

static int round_of(tarn *good, uint64_t size, char *said, size_t room)
{
    int fd = memfd_create("fuzzed", MFD_CLOEXEC), status;
    uint64_t *words;
    pid_t p;
    if (fd < 0 || ftruncate(fd, (off_t)size))
        return perror("memfd"), 2;
    words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memcpy(words, good->base, size);
    spoil(words, offsetof(struct segment_header, committed) / 8, size / 8, said, room);
    munmap(words, size);
    p = fork();
    if (p == 0) {
        struct rlimit no_core = {0, 0};
        tarn *seg;
        setrlimit(RLIMIT_CORE, &no_core);
        alarm(60);
        if (tarn_open_fd(fd, TARN_RDONLY, &seg) == 0) {
            read_all(seg);
            tarn_close(seg);
        }
        if (tarn_open_fd(fd, 0, &seg) == 0) {
            write_some(seg);
            read_all(seg);
            tarn_close(seg);
        }
        _exit(0);
    }
    close(fd);
    waitpid(p, &status, 0);
    if (status)
        printf("a child ended with %s %d\n", WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return status != 0;
}

int main(int c, char **v)
{
    long rounds = c > 1 ? atol(v[1]) : 1000, failed = 0;
    tarn *good = make_image();
    uint64_t size = good->geometry.zone[ZONE_DATA] + committed_of(good);
    seed = c > 2 ? strtoull(v[2], NULL, 0) : 88172645463325252ull;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (tarn_check(good, NULL, NULL) != 0)
        return printf("the good image is not good\n"), 2;
    for (long i = 0; i < rounds && failed < 5; i++) {
        char said[2000];
        uint64_t before = seed;
        if (round_of(good, size, said, sizeof said)) {
            failed++;
            printf("round %ld (seed %#llx) failed; spoiled:%s\n", i, (unsigned long long)before, said);
        }
    }
    printf("FUZZ rounds=%ld failed=%ld\n", rounds, failed);
    return failed != 0;
}
