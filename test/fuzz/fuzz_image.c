/* fuzz_image.c - hostile bytes: a good segment, of one of several kinds, with some of its words spoiled is opened, checked and read, and written to as
 * far as that takes no lock (a hostile writer may hold a lock for ever, and that is no fault). Nothing may crash, hang, or touch what is not
 * committed. In one of two rounds the stamp is spoiled, with its sum made right or not; in the other what is behind it, so that it passes the door.
 * usage: fuzz_image ROUNDS [SEED [KIND]]. Rounds are done in forked children, many in each, with an alarm for each round; of one that fails the
 * seed is said. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collection/layout.h"
#include "fuzz.h"
#include "segment/lifecycle.h"

#define BATCH 1000u

static uint64_t seed;
uint64_t rnd(uint64_t n)
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

/* One of each, in the midst of its life. */
struct meeting {
    tarn_mutex lock;
    tarn_rwlock rwlock;
    tarn_condition condition;
    tarn_semaphore semaphore;
    tarn_held held;
    tarn_barrier barrier;
    tarn_once once;
    tarn_event event, automatic;
};

void must(int e, const char *what)
{
    if (e < 0) {
        fprintf(stderr, "set-up: %s: %d: %s\n", what, e, tarn_error());
        exit(2);
    }
}

/* ---- good images, of every kind of segment ---- */

enum kind { MEMFD, POSIX, SYSV, FILE_, EXCHANGE, WIDE, DEAD, TALKING, TALKED, SAME, LOCKED, KINDS };
static const char *const kind_name[KINDS] = {"memfd",
                                             "posix",
                                             "sysv",
                                             "file",
                                             "exchange unlock",
                                             "spans of 64 KiB",
                                             "with a participant who died in a section",
                                             "with channels that have parties",
                                             "with channels that have dead ones",
                                             "same address",
                                             "locked and mapped beforehand"};

/* Named objects with blocks of their own */
enum { VECTOR, BYTES, QUEUE, STACK, COLLECTIONS };
static const char *const collection_name[COLLECTIONS] = {"vector", "bytes", "queue", "stack"};

struct image {
    enum kind kind;
    char *bytes;
    uint64_t size, zone[ZONES];
    uint64_t meeting; /* where its objects of synchronisation are */
    uint64_t collection[COLLECTIONS];
    uint64_t first[FUZZ_CHANNELS][CHANNEL_PARTS], last[FUZZ_CHANNELS][CHANNEL_PARTS]; /* words of its channels */
};

/* Other kinds are not slowed down by them. */
static bool has_channels(enum kind kind)
{
    return kind == TALKING || kind == TALKED;
}

struct element {
    uint64_t word[3];
};

static void furnish_collections(tarn *seg)
{
    tarn_vector *v;
    tarn_bytes *b;
    tarn_queue *q;
    tarn_stack *k;
    must(tarn_object(seg, "vector", tarn_vector, &v), "object");
    must(tarn_object(seg, "bytes", tarn_bytes, &b), "object");
    must(tarn_object(seg, "queue", tarn_queue, &q), "object");
    must(tarn_object(seg, "stack", tarn_stack, &k), "object");
    must(tarn_bytes_set(seg, b, "some bytes", 10), "set");
    for (uint64_t i = 0; i < 30; i++) {
        const struct element e = {{i, i, i}};
        tarn_ref block;
        must(tarn_vector_push(seg, v, &e, sizeof e, NULL), "push");
        must(tarn_begin(seg), "begin");
        must(tarn_alloc(seg, 40, &block), "alloc");
        must(i % 2 ? tarn_queue_push(seg, q, block) : tarn_stack_push(seg, k, block), "push");
        must(tarn_commit(seg), "commit");
    }
    must(tarn_vector_pop(seg, v, NULL, sizeof(struct element)), "pop");
}

/* Trees of both kinds, of several levels. */
static void make_trees(tarn *seg)
{
    tarn_tree *tree, *numbers;
    must(tarn_tree_open(seg, "tree", TARN_CREATE, &tree), "tree");
    must(tarn_tree_open(seg, "tree of numbers", TARN_CREATE | TARN_TREE_U64, &numbers), "tree");
    for (uint64_t i = 0; i < 400; i++) {
        char key[32];
        int n = snprintf(key, sizeof key, "key number %d", (int)(i * 7 % 400));
        must(tarn_tree_put(tree, key, (size_t)n, "some value", i % 11), "put");
        must(tarn_tree_put64(numbers, i * 77 % 400, i), "put");
    }
    tarn_tree_close(tree);
    tarn_tree_close(numbers);
}

/* Names, maps of both kinds (grown past a split), blocks of many sizes, a run, freed and retired ones. */
static void furnish(tarn *seg)
{
    tarn_map *map, *numbers;
    struct thing *t;
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
    make_trees(seg);
    struct meeting *k;
    must(tarn_object(seg, "meeting", struct meeting, &k), "object");
    for (int i = 0; i < 70; i++) { /* so that the quick way to read is granted */
        must(tarn_rwlock_read(seg, &k->rwlock), "read");
        must(tarn_rwlock_unlock(seg, &k->rwlock), "unlock");
    }
    must(tarn_semaphore_init(seg, &k->semaphore, 3), "units");
    must(tarn_held_set(seg, &k->held, 7), "units");
    must(tarn_barrier_init(seg, &k->barrier, 0, TARN_BARRIER_DROP), "barrier");
    must(tarn_event_init(seg, &k->automatic, TARN_EVENT_AUTOMATIC), "event");
    must(tarn_event_set(seg, &k->event), "set");
    furnish_collections(seg);
    must(tarn_thread_detach(seg), "detach");
}

/* Dies with a lock, in a section that changed, allocated and freed. */
static void die_in(tarn *seg)
{
    struct thing *t;
    tarn_ref block;
    int status;
    pid_t p = fork();
    if (p == 0) {
        must(tarn_object(seg, "thing", struct thing, &t), "object");
        must(tarn_begin(seg), "begin");
        must(tarn_mutex_lock(seg, &t->lock), "lock");
        must(tarn_save(seg, t->ref, sizeof t->ref), "save");
        must(tarn_alloc(seg, 500, &block), "alloc");
        must(tarn_retire(seg, t->ref[4]), "retire");
        t->ref[4] = block;
        raise(SIGKILL);
    }
    if (p < 0 || waitpid(p, &status, 0) != p || !WIFSIGNALED(status))
        exit(2);
}

static void make_image(enum kind kind, struct image *ret)
{
    struct tarn_options o = {.size = sizeof o,
                             .initial = 192 << 10,
                             .limit = 2 << 20,
                             .participants = 3,
                             .record_size = 2048,
                             .span_size = kind == WIDE ? 65536 : 4096,
                             .exchange_unlock = kind == EXCHANGE,
                             .same_address = kind == SAME,
                             .locked = kind == LOCKED,
                             .prefault = kind == LOCKED};
    char url[64];
    tarn *seg;
    snprintf(url, sizeof url,
             kind == POSIX   ? "posix:/tarn-fuzz-%d"
             : kind == SYSV  ? "sysv:%d"
             : kind == FILE_ ? "file:/tmp/tarn-fuzz-%d"
                             : "memfd:fuzz-%d",
             (int)getpid() + (kind == SYSV ? 0x5a000000 : 0));
    if (kind == WIDE)
        o.initial = 640 << 10;
    int e = tarn_open(url, TARN_CREATE, &o, &seg);
    if (e == -ENOMEM && o.locked) { /* a small RLIMIT_MEMLOCK: nobody could attach it */
        o.locked = 0;
        e = tarn_open(url, TARN_CREATE, &o, &seg);
    }
    must(e, url);
    if (kind == POSIX || kind == SYSV)
        must(tarn_unlink(url), "unlink");
    furnish(seg);
    if (has_channels(kind))
        furnish_channels(seg, kind == TALKED);
    if (kind == DEAD)
        die_in(seg);
    else if (tarn_check(seg, NULL, NULL) != 0) {
        printf("the good image of kind %d is not good\n", kind);
        exit(2);
    }
    ret->kind = kind;
    ret->size = seg->geometry.zone[ZONE_DATA] + committed_of(seg);
    memcpy(ret->zone, seg->geometry.zone, sizeof ret->zone);
    must(tarn_find(seg, "meeting", NULL, &ret->meeting), "find");
    for (int i = 0; i < COLLECTIONS; i++)
        must(tarn_find(seg, collection_name[i], NULL, &ret->collection[i]), "find");
    for (unsigned i = 0; i < FUZZ_CHANNELS && has_channels(kind); i++)
        channel_words(seg, i, ret->first[i], ret->last[i]);
    ret->bytes = malloc(ret->size);
    int fd = kind == FILE_ ? fcntl(tarn_fd(seg), F_DUPFD_CLOEXEC, 0) : -1;
    if (kind != FILE_)
        memcpy(ret->bytes, seg->base, ret->size);
    must(tarn_close(seg), "close");
    if (kind == FILE_) { /* it is clean only now */
        must(tarn_unlink(url), "unlink");
        if (pread(fd, ret->bytes, ret->size, 0) != (ssize_t)ret->size || close(fd))
            exit(2);
    }
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
static int nothing_l(const struct tarn_lock *lock, void *arg)
{
    return (void)arg, lock->id == 1u << 31;
}
static int nothing_e(const void *k, size_t ks, const void *v, size_t vs, void *arg)
{
    const unsigned char *a = k, *b = v;
    (void)arg;
    return ks && vs && a[ks - 1] + b[vs - 1] == 1000; /* reads both ends */
}

static void read_trees(tarn *seg)
{
    static const char *const name[] = {"tree", "tree of numbers"};
    struct tarn_tree_entry e;
    tarn_tree *tree;
    tarn_tree_cursor *c;
    uint64_t n;
    for (int kind = 0; kind < 2; kind++) {
        if (tarn_tree_open(seg, name[kind], kind ? TARN_TREE_U64 : 0, &tree))
            continue;
        if (tarn_tree_cursor_open(tree, &c)) {
            tarn_tree_close(tree);
            continue;
        }
        for (uint64_t i = 0; i < 400; i += 9) {
            char key[32], value[16];
            int k = snprintf(key, sizeof key, "key number %d", (int)i);
            if (kind ? tarn_tree_get64(tree, i, &n) : tarn_tree_get(tree, key, (size_t)k, value, sizeof value, NULL))
                continue;
            if (kind ? tarn_tree_seek64(c, i, (unsigned)i % 2) : tarn_tree_seek(c, key, (size_t)k, (unsigned)i % 2))
                continue;
            tarn_tree_previous(c, &e);
            tarn_tree_next(c, &e);
        }
        tarn_tree_seek_last(c);
        for (int i = 0; i < 500 && tarn_tree_previous(c, &e) == 0; i++)
            ;
        tarn_tree_count(tree, &n);
        tarn_tree_each(tree, nothing_e, NULL);
        tarn_tree_cursor_close(c);
        tarn_tree_close(tree);
    }
}

bool held_for_ever(tarn *seg, uint32_t owner)
{
    owner &= ~ID_DIRTY;
    return owner && ID_INDEX(owner) < seg->geometry.records && fate_of(seg, owner) == ALIVE;
}

static void *collection(tarn *seg, int which, size_t size)
{
    tarn_ref ref;
    return tarn_find(seg, collection_name[which], NULL, &ref) == 0 && ref % 8 == 0 ? tarn_ptr(seg, ref, size)
                                                                                   : NULL;
}

static void read_collections(tarn *seg, bool readonly)
{
    tarn_vector *v = collection(seg, VECTOR, sizeof *v);
    tarn_bytes *b = collection(seg, BYTES, sizeof *b);
    tarn_queue *q = collection(seg, QUEUE, sizeof *q);
    struct element e;
    char text[64];
    size_t size;
    if (v && (readonly || !held_for_ever(seg, v->lock.owner)))
        for (uint64_t i = rnd(2); i < 40; i += 13) {
            const struct element *at = tarn_vector_at(seg, v, i, sizeof e);
            tarn_vector_get(seg, v, i, &e, sizeof e);
            e.word[0] += at ? at->word[0] + at->word[2] : tarn_vector_size(seg, v);
        }
    if (b)
        tarn_bytes_get(seg, b, text, sizeof text, &size);
    if (q)
        tarn_queue_count(seg, q);
}

static void change_collections(tarn *seg)
{
    const struct element e = {{1, 2, 3}};
    struct element out;
    tarn_vector *v = collection(seg, VECTOR, sizeof *v);
    tarn_bytes *b = collection(seg, BYTES, sizeof *b);
    tarn_queue *q = collection(seg, QUEUE, sizeof *q);
    tarn_stack *k = collection(seg, STACK, sizeof *k);
    if (v && !held_for_ever(seg, v->lock.owner)) {
        tarn_vector_push(seg, v, &e, sizeof e, NULL);
        tarn_vector_set(seg, v, rnd(40), &e, sizeof e);
        tarn_vector_get(seg, v, rnd(40), &out, sizeof out);
        tarn_vector_resize(seg, v, rnd(rnd(4) ? 60 : 10000), sizeof e);
        tarn_vector_pop(seg, v, &out, sizeof out);
    }
    if (b && !held_for_ever(seg, b->lock.owner)) {
        tarn_bytes_append(seg, b, "more", 4);
        if (tarn_begin(seg) == 0) {
            tarn_bytes_set(seg, b, &e, rnd(sizeof e));
            tarn_commit(seg);
        }
    }
    if (q && k && !held_for_ever(seg, q->lock.owner) && !held_for_ever(seg, k->lock.owner))
        for (int i = 0; i < 6; i++) {
            tarn_ref ref;
            if (tarn_queue_pop(seg, q, &ref) == 0)
                tarn_stack_push(seg, k, ref);
            if (tarn_stack_pop(seg, k, &ref) == 0 && rnd(2))
                tarn_queue_push(seg, q, ref);
        }
    if (rnd(4) == 0 && v && !held_for_ever(seg, v->lock.owner))
        tarn_vector_resize(seg, v, 0, sizeof e);
}

static void read_all(tarn *seg, bool readonly)
{
    struct tarn_stat st;
    struct tarn_heap_stats heap;
    uint64_t n;
    tarn_ref ref;
    tarn_map *map;
    char value[64];
    tarn_check(seg, nothing_d, NULL);
    tarn_stat(seg, &st);
    tarn_heap_stats(seg, &heap);
    tarn_leaked(seg, &n);
    tarn_names(seg, nothing, NULL);
    tarn_participants(seg, nothing_p, NULL);
    tarn_locks(seg, nothing_l, NULL);
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
    read_collections(seg, readonly);
    read_trees(seg);
}

static int run_nothing(tarn *seg, void *arg)
{
    return (void)seg, (void)arg, (int)rnd(2) - 1;
}
static int nothing_w(const struct tarn_waiting *w, void *arg)
{
    return (void)arg, w->id == 1u << 31;
}

static void meet(tarn *seg)
{
    struct tarn_type type = TARN_TYPE(struct meeting);
    struct tarn_awaited any[2];
    struct tarn_rwlock_state rw;
    struct tarn_barrier_state b;
    struct timespec soon, past = {0, 0};
    struct meeting *k;
    tarn_ref ref;
    uint32_t n, all;
    int set;
    if (tarn_find(seg, "meeting", &type, &ref) || !(k = tarn_ptr(seg, ref, sizeof *k)) || ref % 8)
        return;
    clock_gettime(CLOCK_MONOTONIC, &soon); /* over when it is looked at, or a little later */
    tarn_rwlock_state(seg, &k->rwlock, &rw);
    tarn_barrier_state(seg, &k->barrier, &b);
    tarn_semaphore_units(seg, &k->semaphore, &n);
    tarn_held_state(seg, &k->held, &n, &all);
    tarn_event_state(seg, &k->event, &set);
    tarn_mutex_owner(seg, &k->lock, &n);
    tarn_who_waits(seg, nothing_w, NULL);
    if (tarn_rwlock_read_try(seg, &k->rwlock) >= 0) {
        tarn_rwlock_upgrade_try(seg, &k->rwlock);
        tarn_rwlock_downgrade(seg, &k->rwlock);
        tarn_rwlock_unlock(seg, &k->rwlock);
    }
    if (tarn_rwlock_write_timed(seg, &k->rwlock, &soon) >= 0) {
        tarn_rwlock_consistent(seg, &k->rwlock);
        tarn_rwlock_unlock(seg, &k->rwlock);
    }
    if (tarn_rwlock_read_timed(seg, &k->rwlock, &soon) >= 0)
        tarn_rwlock_unlock(seg, &k->rwlock);
    tarn_condition_signal(seg, &k->condition);
    tarn_condition_broadcast(seg, &k->condition);
    if (tarn_mutex_timed_nested(seg, &k->lock, &soon) >= 0) {
        if (!held_for_ever(seg, k->lock.owner) || (k->lock.owner & ~ID_DIRTY) == self_if(seg)->id)
            tarn_condition_timed(seg, &k->condition, &k->lock, &past);
        tarn_mutex_unlock(seg, &k->lock);
    }
    tarn_semaphore_post(seg, &k->semaphore);
    tarn_semaphore_post_many(seg, &k->semaphore, 1 + (uint32_t)rnd(1 << 30));
    tarn_semaphore_try(seg, &k->semaphore);
    tarn_semaphore_timed(seg, &k->semaphore, &soon);
    if (!held_for_ever(seg, k->held.lock.owner)) {
        tarn_held_try(seg, &k->held, 2);
        tarn_held_timed(seg, &k->held, 1000, &soon);
        tarn_held_give(seg, &k->held, 1);
        tarn_held_set(seg, &k->held, (uint32_t)rnd(9));
        tarn_held_give(seg, &k->held, 1);
        tarn_held_give(seg, &k->held, 1000);
    }
    if (!held_for_ever(seg, k->barrier.lock.owner)) {
        tarn_barrier_join(seg, &k->barrier);
        tarn_barrier_timed(seg, &k->barrier, &soon);
        tarn_barrier_reset(seg, &k->barrier);
        tarn_barrier_timed(seg, &k->barrier, &past);
        tarn_barrier_leave(seg, &k->barrier);
    }
    if (!held_for_ever(seg, k->once.lock.owner))
        tarn_once_run(seg, &k->once, run_nothing, NULL);
    tarn_event_timed(seg, &k->event, &soon);
    tarn_event_signal(seg, &k->automatic, rnd(2) ? SIGURG : 0);
    tarn_event_set(seg, &k->automatic);
    tarn_event_reset(seg, &k->event);
    any[0] = (struct tarn_awaited){.kind = TARN_EVENT, .event = &k->automatic};
    any[1] = (struct tarn_awaited){.kind = TARN_SEMAPHORE, .semaphore = &k->semaphore};
    tarn_wait_any(seg, any, 2, &soon, &n);
    if (rnd(4) == 0) {
        tarn_rwlock_fini(seg, &k->rwlock);
        tarn_condition_fini(seg, &k->condition);
        tarn_semaphore_fini(seg, &k->semaphore);
        tarn_event_fini(seg, &k->event);
    }
}

/* What takes no lock. */
static void write_some(tarn *seg, enum kind kind)
{
    struct tarn_type type = TARN_TYPE(struct thing);
    struct thing *t;
    tarn_ref ref, block;
    if (tarn_thread_attach(seg) < 0) /* no record is to be had: each call would try for half a second */
        return;
    tarn_recover(seg);
    if (has_channels(kind)) {
        use_channels(seg);
        tarn_thread_detach(seg);
        return;
    }
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
    meet(seg);
    change_collections(seg);
    tarn_thread_detach(seg);
}

/* ---- spoiling ---- */

/* What a child is at, for its parent to tell of. Shared. */
static struct progress {
    uint64_t rounds, opened[KINDS], refused[KINDS]; /* of all children */
    uint64_t seed;                                  /* of the round under way */
    int kind;
} * progress;

/* Some words of [first, last): mostly such as are not zero, changed a little or wholly. */
static void spoil(uint64_t *words, uint64_t first, uint64_t last, uint64_t n)
{
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
    }
}

/* One of the image's zones, or all of it: so that small ones are met as often as large ones. */
static void spoil_somewhere(uint64_t *words, const struct image *m)
{
    uint64_t stamp = offsetof(struct segment_header, committed) / 8, end = m->size / 8, first = stamp, last = end;
    uint64_t of = m->collection[rnd(COLLECTIONS)];
    if (has_channels(m->kind) && rnd(8)) {
        uint64_t which = rnd(FUZZ_CHANNELS), part = rnd(CHANNEL_PARTS);
        spoil(words, m->first[which][part], m->last[which][part], 1 + rnd(rnd(4) ? 4 : 60));
        return;
    }
    switch (rnd(8)) {
    case 6:
        first = of / 8,
        last = first + (of == m->collection[VECTOR] ? sizeof(tarn_vector) / 16 : sizeof(tarn_bytes) / 8 + 2);
        break;
    case 5: first = m->meeting / 8, last = first + sizeof(struct meeting) / 8; break;
    case 0: last = sizeof(struct segment_header) / 8; break;
    case 1: first = m->zone[ZONE_PARTICIPANT] / 8, last = m->zone[ZONE_NAME] / 8; break;
    case 2: first = m->zone[ZONE_NAME] / 8, last = m->zone[ZONE_SIDE] / 8; break;
    case 3: first = m->zone[ZONE_SIDE] / 8, last = first + (m->zone[ZONE_DATA] / 8 - first) / 4; break;
    case 4: first = m->zone[ZONE_DATA] / 8; break;
    default: break;
    }
    spoil(words, first, last, 1 + rnd(rnd(4) ? 4 : 60));
}

/* The stamp itself; its sum made right, or not. */
static void spoil_stamp(uint64_t *words)
{
    struct segment_header *h = (struct segment_header *)(void *)words;
    spoil(words, 0, offsetof(struct segment_header, sum) / 8, 1 + rnd(3));
    if (rnd(2))
        h->sum = stamp_sum(h);
}

/* An address where it may hurt: at what this process has already, at the ends of all addresses, beside a page. */
static uint64_t some_address(uint64_t good)
{
    const uint64_t page = 4096;
    uint64_t here = (uintptr_t)&good, heap = (uintptr_t)sbrk(0), a;
    switch (rnd(9)) {
    case 0: return 0;
    case 1: a = here - rnd(4096) * page; break; /* the stack, and below it */
    case 2: a = here + rnd(64) * page; break;
    case 3: a = heap + rnd(64) * page; break;
    case 4: a = (uintptr_t)progress - rnd(4096) * page; break; /* mappings */
    case 5: a = (UINT64_C(1) << 47) - rnd(2048) * page; break;
    case 6: a = rnd(64) * page; break;
    case 7: a = rnd(UINT64_C(1) << 47); break;
    default: a = good + rnd(4096) * page - 2048 * page;
    }
    return rnd(8) ? a & ~(page - 1) : a;
}

/* What says where and how it is to be attached. The sum is mostly made right: else it is only the sum that is looked at. */
static void spoil_attaching(uint64_t *words)
{
    struct segment_header *h = (struct segment_header *)(void *)words;
    uint32_t known = SEGMENT_SAME_ADDRESS | SEGMENT_LOCKED | SEGMENT_DUMPED | SEGMENT_PREFAULTED |
                     SEGMENT_EXCHANGE_UNLOCK | SEGMENT_UNINITIALIZED | SEGMENT_COPY_ON_WRITE;
    uint64_t how = rnd(4);
    if (how != 0)
        h->address = some_address(h->address);
    if (how == 0 || how == 3)
        h->options = rnd(4) ? (uint32_t)rnd(known + 1) & known : h->options ^ 1u << rnd(32);
    if (h->address && rnd(2)) /* else it is refused for that alone */
        h->options |= SEGMENT_SAME_ADDRESS;
    if (rnd(16) == 0)
        spoil(words, offsetof(struct segment_header, committed) / 8, sizeof *h / 8, 1 + rnd(2));
    if (rnd(8))
        h->sum = stamp_sum(h);
}

/* ---- rounds ---- */

/* One round. 1: something of it is still there, and this process must not go on. */
static int round_in(int fd, uint64_t *words, const struct image *m)
{
    bool stamp = rnd(has_channels(m->kind) ? 3 : 2) == 0;
    tarn *seg;
    int left = 0;
    memcpy(words, m->bytes, m->size);
    if (stamp && m->kind >= SAME && rnd(4))
        spoil_attaching(words);
    else if (stamp)
        spoil_stamp(words);
    else
        spoil_somewhere(words, m);
    if (tarn_open_fd(fd, TARN_RDONLY, &seg) == 0) {
        progress->opened[m->kind]++;
        read_all(seg, true);
        if (has_channels(m->kind))
            read_channels(seg);
        left |= tarn_close(seg) != 0;
    } else
        progress->refused[m->kind]++;
    if (tarn_open_fd(fd, 0, &seg) == 0) {
        write_some(seg, m->kind);
        read_all(seg, false);
        left |= tarn_close(seg) != 0;
    }
    return left;
}

/* A file's image is whole and a copy, which its opener puts right; the other one that is let in is in use, and of this machine and this file. */
static struct image in_use(int fd, uint64_t *words, const struct image *m)
{
    struct image used = *m;
    tarn *seg;
    memcpy(words, m->bytes, m->size);
    must(tarn_open_fd(fd, 0, &seg), "a copy of a file");
    if (!(used.bytes = malloc(m->size)))
        exit(2);
    memcpy(used.bytes, words, m->size);
    must(tarn_close(seg), "close");
    return used;
}

static void child(const struct image *m, uint64_t rounds)
{
    struct rlimit no_core = {0, 0};
    int fd = memfd_create("fuzzed", MFD_CLOEXEC);
    uint64_t *words;
    setrlimit(RLIMIT_CORE, &no_core);
    if (fd < 0 || ftruncate(fd, (off_t)m->size))
        _exit(2);
    words = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED)
        _exit(2);
    struct image used = m->kind == FILE_ ? in_use(fd, words, m) : *m;
    for (uint64_t i = 0; i < rounds; i++) {
        alarm(60);
        progress->seed = seed;
        progress->rounds++;
        if (round_in(fd, words, rnd(2) ? m : &used)) /* it holds something that a hostile word says it holds: only its end ends that */
            _exit(0);
        if (ftruncate(fd, (off_t)m->size)) /* it may have grown */
            _exit(2);
    }
    _exit(0);
}

int main(int c, char **v)
{
    uint64_t rounds = c > 1 ? strtoull(v[1], NULL, 0) : 1000, failed = 0;
    uint64_t batch = rounds < BATCH * 4 * KINDS ? rounds / (4 * KINDS) + 1 : BATCH; /* so that each kind has its turn */
    uint64_t opened = 0, refused = 0;
    bool lame = false;
    uint64_t only = c > 3 ? strtoull(v[3], NULL, 0) : UINT64_MAX;
    static struct image image[KINDS];
    seed = c > 2 ? strtoull(v[2], NULL, 0) : 88172645463325252ull;
    setvbuf(stdout, NULL, _IOLBF, 0);
    check_pause_ns = 0; /* nobody changes anything meanwhile */
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED)
        return perror("mmap"), 2;
    for (int k = 0; k < KINDS; k++)
        make_image(k, &image[k]);
    for (uint64_t turn = 0; progress->rounds < rounds && failed < 5; turn++) {
        uint64_t left = rounds - progress->rounds, told = progress->rounds;
        int kind = only < KINDS ? (int)only : (int)(turn % KINDS), status;
        progress->kind = kind;
        fflush(stdout);
        pid_t p = fork();
        if (p == 0)
            child(&image[kind], left < batch ? left : batch);
        if (p < 0 || waitpid(p, &status, 0) != p)
            return perror("fork"), 2;
        if (status) {
            failed++;
            printf("a child ended with %s %d: kind %d (%s); again: fuzz_image 1 %#llx %d\n",
                   WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), kind, kind_name[kind],
                   (unsigned long long)progress->seed, kind);
        }
        seed = progress->seed; /* from where the child was: the parent's own stands still */
        (void)rnd(2);
        if (progress->rounds / 500000 != told / 500000)
            printf("%llu of %llu rounds\n", (unsigned long long)progress->rounds, (unsigned long long)rounds);
    }
    /* about half are to pass the door: else the fuzzing is of the door alone, or of what is behind it alone */
    for (int k = 0; k < KINDS; k++) {
        uint64_t in = progress->opened[k], out = progress->refused[k];
        opened += in, refused += out;
        if ((only >= KINDS || (int)only == k) && rounds >= 1000 && !failed && (in < out / 4 || out < in / 4)) {
            printf("of kind %d (%s) too few passed the door, or too few did not: %llu, %llu\n", k,
                   kind_name[k], (unsigned long long)in, (unsigned long long)out);
            lame = true;
        }
    }
    printf("FUZZ rounds=%llu opened=%llu refused=%llu failed=%llu\n", (unsigned long long)progress->rounds,
           (unsigned long long)opened, (unsigned long long)refused, (unsigned long long)failed);
    return failed || lame;
}
