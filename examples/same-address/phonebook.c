/* phonebook.c - another's library, which knows plain pointers only, in shared memory: uthash (Debian: uthash-dev) builds its hash table in a segment that
 * everybody maps at one address, by an allocator of ours; a second process walks it by the same pointers. A process killed in the midst of
 * a change leaves the table as it was before, for the change is a section, and saves what the library may write. docs/same-address.md */
#include <tarn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The library's allocator: blocks of the segment, which are given back if the section does not commit, and freed only when it does. */
static tarn *seg;
static bool full;
static void *segment_malloc(size_t size)
{
    tarn_ref ref;
    return tarn_alloc(seg, size, &ref) < 0 ? NULL : tarn_ptr(seg, ref, size);
}
static void segment_free(void *at)
{
    tarn_free(seg, tarn_ref_of(seg, at));
}
#define uthash_malloc(size) segment_malloc(size)
#define uthash_free(at, size) segment_free(at)
#define HASH_NONFATAL_OOM 1 /* it tells of a full segment, and does not end the program */
#define uthash_nonfatal_oom(element) (full = true)
#include <uthash.h>

struct person {
    char name[24];
    int number;
    UT_hash_handle hh; /* plain pointers */
};
struct phonebook {
    tarn_mutex lock;
    struct person *first; /* a plain pointer */
};

/* All that uthash may write when somebody is put in: its table, its buckets, and the handles in its elements. */
static int save_all(struct phonebook *book)
{
    int e = tarn_save(seg, &book->first, sizeof book->first);
    if (!book->first)
        return e;
    const UT_hash_table *table = book->first->hh.tbl;
    if (e == 0)
        e = tarn_save(seg, (void *)table, sizeof *table);
    if (e == 0)
        e = tarn_save(seg, table->buckets, table->num_buckets * sizeof *table->buckets);
    for (struct person *p = book->first; p && e == 0; p = p->hh.next)
        e = tarn_save(seg, &p->hh, sizeof p->hh);
    return e;
}

/* In a section, with the lock. */
static int put(struct phonebook *book, const char *name, int number)
{
    struct person *p = segment_malloc(sizeof *p), *first = book->first;
    if (!p || save_all(book) < 0)
        return -1;
    snprintf(p->name, sizeof p->name, "%s", name);
    p->number = number;
    full = false;
    HASH_ADD_STR(first, name, p);
    book->first = first; /* of a first one, this is what publishes the whole */
    return full ? -1 : 0;
}

static int put_all(struct phonebook *book)
{
    static const struct {
        const char *name;
        int number;
    } people[] = {{"Ada", 1815}, {"Alan", 1912}, {"Edsger", 1930}, {"Barbara", 1939}};
    int e = tarn_begin(seg);
    if (e == 0 && (e = tarn_mutex_lock(seg, &book->lock)) >= 0) {
        for (size_t i = 0; i < sizeof people / sizeof *people && e >= 0; i++)
            e = put(book, people[i].name, people[i].number);
        tarn_mutex_unlock(seg, &book->lock); /* at the section's end */
    }
    return e < 0 ? (tarn_abort(seg), e) : tarn_commit(seg);
}

static void show(struct phonebook *book, const char *who, const char *name)
{
    struct person *p = NULL;
    tarn_mutex_lock(seg, &book->lock); /* the library's readers need it: it knows of no others */
    HASH_FIND_STR(book->first, name, p);
    printf("%s %u people; %s %s\n", who, HASH_COUNT(book->first), name, p ? "is there" : "is not there");
    tarn_mutex_unlock(seg, &book->lock);
    fflush(stdout);
}

/* Opens it: at the address that it records, or not at all. */
static struct phonebook *open_book(unsigned flags)
{
    static const struct tarn_options options = {.size = sizeof options, .same_address = 1};
    struct phonebook *book;
    if (tarn_open("posix:/phonebook", flags, &options, &seg) == 0 &&
        tarn_object(seg, "phonebook", struct phonebook, &book) == 0)
        return book;
    fprintf(stderr, "%s\n", tarn_error());
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc > 1) { /* the second process: it follows the first one's pointers */
        show(open_book(0), "another process:       ", "Ada");
        return tarn_close(seg) < 0;
    }
    struct phonebook *book = open_book(TARN_CREATE);
    if (put_all(book) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    if (fork() == 0)
        execl("/proc/self/exe", argv[0], "walk", (char *)NULL);
    wait(NULL);

    if (fork() == 0) { /* in its parent's segment, as itself */
        tarn_begin(seg);
        tarn_mutex_lock(seg, &book->lock);
        put(book, "Grace", 1906);
        raise(SIGKILL); /* the table is half-way, for all that anybody knows */
    }
    wait(NULL);
    show(book, "killed in the midst:   ", "Grace");

    tarn_begin(seg);
    tarn_mutex_lock(seg, &book->lock);
    put(book, "Grace", 1906);
    tarn_mutex_unlock(seg, &book->lock);
    tarn_commit(seg);
    show(book, "the same, and committed:", "Grace");
    tarn_unlink("posix:/phonebook");
    return tarn_close(seg) < 0;
}
