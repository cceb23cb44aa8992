/* life.c - a worker's life: it comes, works, stands still with the others, takes its things down, and leaves. See soak.h. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/futex.h>
#include <unistd.h>

#include "worker.h"

tarn_list *lists[LISTS];

static uint32_t my_round;
static pthread_t threads[THREADS];

/* ---- at the end of a round ---- */

static void tear_down_lists(void)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        tarn_ref *place = &root->area[me.slot].member[i];
        uint64_t number = me.log->item[MEMBER + i];
        if (!number)
            continue;
        struct member *m = tarn_ptr(segment, *place, sizeof *m);
        WANT(tarn_begin(segment));
        WANT(tarn_save(segment, place, 8));
        WANT(tarn_list_remove(segment, lists[number - 1], &m->link));
        WANT(tarn_retire(segment, *place));
        expect(MEMBER + i, 0);
        put(place, 0);
        WANT(tarn_commit(segment));
        settle();
    }
}

static void tear_down_hot(void)
{
    for (;;) {
        WANT(tarn_begin(segment));
        int e = tarn_map_add64(numbers, number_key(SLOTS, 0), -me.log->item[HOT], NULL);
        if (e == 0)
            e = tarn_map_remove64(numbers, number_key(me.slot, 1000));
        if (e == 0)
            break;
        if (e != -EDEADLK)
            violation("the hot key: %d %s", e, tarn_error());
        WANT(tarn_abort(segment));
    }
    WANT(tarn_commit(segment));
}

void tear_down(void)
{
    char text[128];
    me.log->what = 1000;
    resolve();
    tear_down_lists();
    for (unsigned i = 0; i < ITEMS; i++) {
        if (i < CELL || !me.log->item[i] || (i >= MEMBER && i < KEY))
            continue;
        if (i < MEMBER) /* after its name */
            continue;
        expect(i, 0);
        if (i < STRING)
            WANT(tarn_map_remove64(numbers, number_key(me.slot, i - KEY)));
        else if (i < LEAF)
            WANT(tarn_map_remove(strings, text, string_key(text, me.slot, i - STRING)));
        else if (i < WORD)
            WANT(tarn_tree_remove64(leaves, number_key(me.slot, i - LEAF)));
        else if (i < NAME)
            WANT(tarn_tree_remove(phrases, text, string_key(text, me.slot, i - WORD)));
        else if (i < HOT) {
            object_name(text, me.slot, i - NAME);
            WANT(tarn_unbind(segment, text, i != NAME));
        } else
            tear_down_hot();
        settle();
    }
    for (unsigned i = 0; i < CELLS; i++)
        if (me.log->item[CELL + i]) {
            verify_cell(i);
            expect(CELL + i, 0);
            WANT(tarn_free_from(segment, &root->area[me.slot].cell[i]));
            settle();
        }
}

/* By the controller, as the last. */
void empty_boxes(void)
{
    for (unsigned c = 0; c < COUNTERS; c++) {
        struct counter *k = &root->counter[c];
        if (!k->box)
            continue;
        expect(TAKES + c, now_is(TAKES + c) + 1);
        WANT(tarn_begin(segment));
        WANT(tarn_save(segment, &k->box, 8));
        WANT(tarn_save(segment, &k->takes[me.slot], 8));
        WANT(tarn_free(segment, k->box));
        put(&k->takes[me.slot], k->takes[me.slot] + 1);
        put(&k->box, 0);
        WANT(tarn_commit(segment));
        settle();
    }
}

/* ---- a worker's life ---- */

int open_segment(unsigned flags, tarn **ret)
{
    return shared->segment_fd >= 0 ? tarn_open_fd(shared->segment_fd, flags, ret)
                                   : tarn_open(shared->url, flags, NULL, ret);
}

void open_maps(void)
{
    char name[16];
    if (my_round == shared->round)
        return;
    tarn_map_close(numbers);
    tarn_map_close(strings);
    tarn_tree_close(leaves);
    tarn_tree_close(phrases);
    numbers = strings = NULL;
    leaves = phrases = NULL;
    WANT(tarn_map_open(segment, "numbers", TARN_CREATE | TARN_MAP_U64, &numbers));
    WANT(tarn_map_open(segment, "strings", TARN_CREATE, &strings));
    WANT(tarn_tree_open(segment, "leaves", TARN_CREATE | TARN_TREE_U64, &leaves));
    WANT(tarn_tree_open(segment, "words", TARN_CREATE, &phrases));
    for (unsigned l = 0; l < LISTS; l++) {
        sprintf(name, "list %u", l);
        WANT(tarn_object(segment, name, tarn_list, &lists[l]));
    }
    open_collections();
    my_round = shared->round;
}

static void *thread(void *slot)
{
    work((unsigned)(uintptr_t)slot, false);
    return NULL;
}

static void start_threads(void)
{
    unsigned count = chance(6) ? 0 : 1 + chance(THREADS - 1);
    for (unsigned t = 1; t <= count; t++) {
        shared->log[me.slot + t].active = 1;
        if (pthread_create(&threads[t], NULL, thread, (void *)(uintptr_t)(me.slot + t)) != 0)
            shared->log[me.slot + t].active = 0;
    }
}

static void join_threads(void)
{
    for (unsigned t = 1; t < THREADS; t++)
        if (shared->log[me.slot + t].active && threads[t]) {
            pthread_join(threads[t], NULL);
            threads[t] = 0;
            shared->log[me.slot + t].active = 0;
        }
}

/* All wait until the controller has looked. */
static void stand_still(void)
{
    static uint32_t torn_down;
    unsigned first = me.slot;
    no_death();
    alarm(300);
    join_threads();
    wait_for_child(0);
    while (shared->phase != RUN) {
        uint32_t turn = __atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE);
        if (shared->phase == LEAVE) {
            tarn_map_close(numbers);
            tarn_map_close(strings);
            tarn_tree_close(leaves);
            tarn_tree_close(phrases);
            WANT(tarn_close(segment));
            _exit(0);
        }
        if (shared->phase == TEAR_DOWN && torn_down != turn) {
            for (unsigned t = 0; t < THREADS; t++) {
                be(first + t);
                tear_down();
            }
            be(first);
            WANT(tarn_thread_detach(segment)); /* what an idle one owns nobody else can have */
            torn_down = turn;
        }
        __atomic_store_n(&me.log->parked, turn, __ATOMIC_RELEASE);
        syscall(SYS_futex, &shared->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
    }
    open_maps();
    plan_death();
    start_threads();
}

void work(unsigned slot, bool as_guest)
{
    uint32_t left = as_guest ? 1 + chance(20) : chance(3) ? UINT32_MAX : 1 + chance(2000);
    bool first_of_process = slot % LANE == 0;
    be(slot);
    count_soiled(); /* what the last user of the slot may have */
    count_units();
    me.random = mix(shared->seed ^ mix((uint64_t)slot << 40 | me.log->incarnation) ^ shared->life);
    me.log->pid = getpid();
    me.log->since_ms = now_ms();
    if (first_of_process)
        open_maps();
    if (shared->phase == RUN) { /* else: first to the standstill */
        plan_death();
        if (first_of_process)
            start_threads();
        resolve();
    }
    while (left--) {
        if (__atomic_load_n(&shared->phase, __ATOMIC_ACQUIRE) != RUN) {
            if (!first_of_process)
                break;
            stand_still();
        }
        one_operation();
    }
    no_death();
    if (first_of_process) { /* it leaves as one should */
        join_threads();
        wait_for_child(0);
        WANT(tarn_close(segment));
        _exit(0);
    }
    if (!as_guest)
        me.log->active = 2;
}
