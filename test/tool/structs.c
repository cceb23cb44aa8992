/* structs.c - for test_show.py: a program whose structs tarn show is to tell, with what they are made of in C. Compiled with -g, whatever else is.
 *
 * usage: structs URL [same | join | wait]
 * Makes the segment and all that is in it, prints its descriptor's number, and then does what a letter on its input says: "h": a hit more, "g": a list grows;
 * each is answered by a line. It ends with its input. same: at one address for all. join: it only takes part in the one that is there; wait: and waits
 * for the lock that the first one holds. */
#include <tarn.h>
#include <tarn/channel.h>
#include <tarn/typed.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum colour { RED, GREEN = 5, BLUE = -3 };
enum level {
    LOW = 1,
    HIGH = 200,
    HIGHER = 50000,
    HIGHEST = 0xf0000000
}; /* forms of all sizes, whose upper bit is no sign */
enum rights { READ = 1, WRITE = 2, EXECUTE = 4 };
typedef struct point {
    short x, y;
} point_t;
typedef tarn_ref node_ref; /* leads to a struct node */

struct node {
    int value;
    node_ref next;
    struct other_ref {
        tarn_ref ref;
    } other; /* to nothing of that name */
};

struct everything {
    tarn_mutex lock;
    bool yes, no;
    char letter, name[12], full[4], odd[6];
    signed char small;
    unsigned char id[4];
    short negative;
    unsigned long large;
    enum colour colour, strange;
    enum rights rights;
    enum level level[4];
    unsigned three : 3;
    int minus : 5;
    unsigned long wide : 40;
    float real;
    double precise;
    long double longer;
    double not_a_number;
    union {
        uint32_t whole;
        uint16_t halves[2];
    }; /* anonymous: its fields are the struct's */
    union both {
        int64_t i;
        double d;
    } both;
    point_t corner[2], grid[2][2];
    struct {
        int inner;
    } unnamed;
    int numbers[40];
    const char *text;
    void (*function)(void);
    struct everything *self;
    tarn_ref plain, here, far;
    tarn_event event;
    tarn_semaphore semaphore;
    tarn_rwlock rwlock;
    tarn_once once;
    tarn_bytes bytes;
    tarn_held held;
    tarn_barrier barrier;
    tarn_condition condition;
    tarn_stack stack;
};

struct job {
    int number;
    tarn_link link;
    char what[8];
};
struct block {
    tarn_node node;
    int cost;
};
struct tail {
    uint32_t count;
    point_t points[]; /* to the end of the block */
};

TARN_VECTOR_OF(points, point_t);
TARN_LIST_OF(jobs, struct job, link);
TARN_QUEUE_OF(blocks, struct block, node);
TARN_MAP_OF(ages, int32_t, point_t);
// cppcheck-suppress uninitvar ; tarn_typed_bytes_ fills it, through a pointer
TARN_TREE_OF(years, int32_t, point_t);

#define OK(call)                                                                                             \
    do                                                                                                       \
        if ((call) < 0)                                                                                      \
            return fprintf(stderr, "structs: %s: %s\n", #call, tarn_error()), 1;                             \
    while (0)

static void nothing(void) {}

/* For test_gdb.py: what it looks at, once ready is called. */
extern tarn *the_segment;
extern struct everything *everything;
extern struct jobs *all_jobs;
extern struct points *all_points;
extern struct blocks *all_blocks;
extern tarn_bytes *the_string;
extern tarn_map *the_words;
extern tarn_topic *the_topic;
extern tarn_ref the_ref;
tarn *the_segment;
struct everything *everything;
struct jobs *all_jobs;
struct points *all_points;
struct blocks *all_blocks;
tarn_bytes *the_string;
tarn_map *the_words;
tarn_topic *the_topic;
tarn_ref the_ref;
void ready(void);
__attribute__((noinline)) void ready(void)
{
    __asm__ volatile("" ::: "memory");
}

static void fill(struct everything *e, tarn *seg)
{
    e->yes = true;
    e->letter = 'q';
    strcpy(e->name, "it's \"so\"");
    memcpy(e->full, "full", 4);
    memcpy(e->odd, "a\0b\033\n", 5);
    e->small = -7;
    memcpy(e->id, "\xde\xad\xbe\xef", 4);
    e->negative = -2;
    e->large = UINT64_MAX;
    e->colour = BLUE;
    e->strange = (enum colour)77;
    e->rights = (enum rights)(READ | EXECUTE);
    e->level[0] = HIGH;
    e->level[1] = HIGHER;
    e->level[2] = HIGHEST;
    e->three = 5;
    e->minus = -9;
    e->wide = 0xabcdef0123;
    e->real = 0.1f;
    e->precise = 1e100;
    e->longer = 2.5L;
    e->not_a_number = __builtin_nan("");
    e->whole = 0x00020001;
    e->both.i = -1;
    e->corner[1] = (point_t){3, -4};
    e->grid[1][0].x = 9;
    e->unnamed.inner = 11;
    for (int i = 0; i < 40; i++)
        e->numbers[i] = i * i;
    e->text = "private";
    e->function = nothing;
    e->self = e;
    e->plain = tarn_ref_of(seg, e);
    e->here = tarn_ref_of(seg, &e->numbers);
    e->far = UINT64_C(1) << 40;
}

static int make_nodes(tarn *seg)
{
    struct node *first, *second;
    tarn_ref third;
    OK(tarn_object(seg, "first", struct node, &first));
    OK(tarn_object(seg, "second", struct node, &second));
    OK(tarn_begin(seg));
    OK(tarn_alloc(seg, sizeof(struct node), &third));
    ((struct node *)tarn_ptr(seg, third, sizeof *first))->value = 3;
    OK(tarn_commit(seg));
    ((struct node *)tarn_ptr(seg, third, sizeof *first))->next = tarn_ref_of(seg, first); /* round again */
    first->value = 1;
    first->next = tarn_ref_of(seg, second);
    first->other.ref = tarn_ref_of(seg, second);
    second->value = 2;
    second->next = third;
    return 0;
}

static int make_collections(tarn *seg, struct jobs **ret_jobs)
{
    struct points *points;
    struct blocks *queue;
    struct ages ages;
    struct years years;
    tarn_map *words;
    tarn_bytes *string;
    OK(points_object(seg, "points", &points));
    OK(blocks_object(seg, "queue", &queue));
    OK(jobs_object(seg, "jobs", ret_jobs));
    OK(ages_open(seg, "ages", TARN_CREATE, &ages));
    OK(years_open(seg, "years", TARN_CREATE, &years));
    OK(tarn_map_open(seg, "words", TARN_CREATE, &words));
    OK(tarn_object(seg, "string", tarn_bytes, &string));
    for (short i = 0; i < 20; i++)
        OK(points_push(seg, points, (point_t){i, (short)-i}, NULL));
    for (int i = 0; i < 3; i++) {
        struct block *block;
        char name[16];
        snprintf(name, sizeof name, "block%d", i);
        OK(tarn_object(seg, name, struct block, &block));
        block->cost = 100 + i;
        OK(blocks_push(seg, queue, block));
        OK(years_put(years, i - 1, (point_t){(short)i, 0}));
    }
    OK(ages_put(ages, -5, (point_t){1, 2}));
    OK(tarn_map_put(words, "key\033", 4, "value", 5));
    OK(tarn_bytes_set(seg, string, "some\0bytes\n", 11));
    all_points = points;
    all_blocks = queue;
    the_string = string;
    the_words = words;
    return 0;
}

static int add_job(tarn *seg, struct jobs *jobs, int number)
{
    struct job *job;
    char name[16];
    snprintf(name, sizeof name, "job%d", number);
    OK(tarn_object(seg, name, struct job, &job));
    job->number = number;
    strcpy(job->what, "work");
    OK(jobs_insert_last(seg, jobs, job));
    return 0;
}

static int make_channels(tarn *seg)
{
    const struct tarn_channel_options size = {.size = sizeof size, .message = 16};
    tarn_topic *topic;
    tarn_ring *ring;
    tarn_mq *mq;
    tarn_call *call;
    point_t p = {5, 6};
    OK(tarn_topic_open(seg, "news", TARN_CREATE | TARN_SEND, &size, &topic));
    OK(tarn_topic_send(topic, &p, sizeof p));
    the_topic = topic;
    OK(tarn_ring_open(seg, "ring", TARN_CREATE | TARN_SEND, &size, &ring));
    OK(tarn_ring_send(ring, "x", 1));
    OK(tarn_mq_open(seg, "mq", TARN_CREATE | TARN_SEND | TARN_RECEIVE, &size, &mq));
    return tarn_call_open(seg, "call", TARN_CREATE | TARN_RECEIVE, &size, &call);
}

/* Types of a function are found, too. */
static int make_local(tarn *seg)
{
    struct local {
        long only_here;
    };
    struct twice {
        long whole;
    };
    struct local *l;
    struct twice *first;
    struct tail *t;
    tarn_ref ref;
    struct tarn_type type = TARN_TYPE(struct tail);
    OK(tarn_object(seg, "local", struct local, &l));
    OK(tarn_object(seg, "twice", struct twice, &first));
    first->whole = 1;
    l->only_here = 12345;
    type.size = sizeof(struct tail) + 2 * sizeof(point_t);
    OK(tarn_find_or_make(seg, "tail", &type, (void **)&t));
    t->count = 2;
    t->points[1].y = 8;
    OK(tarn_begin(seg));
    OK(tarn_alloc(seg, 100, &ref));
    memcpy(tarn_ptr(seg, ref, 100), "no type at all", 14);
    OK(tarn_bind(seg, "bytes", &(struct tarn_type){"struct unheard_of", 100, 0}, ref) == -EPERM ? tarn_commit(seg)
                                                                                                : -1);
    return tarn_bind(seg, "bytes", &(struct tarn_type){"struct unheard_of", 100, 0}, ref);
}

static int make_numbers(tarn *seg)
{
    struct twice { /* another one */
        int halves[2];
    };
    struct twice *second;
    unsigned long *number;
    int *array;
    struct tarn_type type = {"int[3]", 3 * sizeof(int), 0};
    OK(tarn_object(seg, "number", unsigned long, &number));
    *number = 7;
    OK(tarn_object(seg, "twice", struct twice, &second));
    second->halves[1] = 0;
    OK(tarn_find_or_make(seg, "array", &type, (void **)&array));
    array[1] = -1;
    return 0;
}

static int join(const char *url, bool waits)
{
    struct everything *e;
    tarn *seg;
    OK(tarn_open(url, 0, NULL, &seg));
    OK(tarn_object(seg, "all \033", struct everything, &e));
    OK(tarn_thread_attach(seg));
    puts("");
    fflush(stdout);
    return waits ? tarn_mutex_lock(seg, &e->lock) : getchar() != EOF;
}

int main(int argc, char **argv)
{
    struct tarn_options options = {
        .size = sizeof options, .limit = 1 << 22, .initial = 1 << 20, .same_address = argc > 2};
    struct everything *e;
    struct jobs *jobs;
    tarn *seg;
    int jobs_count = 2;
    if (argc > 2 && strcmp(argv[2], "same") != 0)
        return join(argv[1], strcmp(argv[2], "wait") == 0);
    OK(argc > 1 ? tarn_open(argv[1], TARN_CREATE, &options, &seg) : -1);
    OK(tarn_object(seg, "all \033", struct everything, &e));
    fill(e, seg);
    OK(tarn_event_set(seg, &e->event));
    OK(tarn_semaphore_init(seg, &e->semaphore, 4));
    OK(tarn_rwlock_read(seg, &e->rwlock));
    OK(tarn_held_set(seg, &e->held, 5));
    OK(tarn_held_take(seg, &e->held, 2));
    OK(tarn_barrier_init(seg, &e->barrier, 3, 0));
    OK(tarn_barrier_join(seg, &e->barrier));
    OK(tarn_bytes_set(seg, &e->bytes, "inside", 6));
    if (make_nodes(seg) || make_collections(seg, &jobs) || make_channels(seg) || make_local(seg) ||
        make_numbers(seg) || add_job(seg, jobs, 0) || add_job(seg, jobs, 1))
        return 1;
    OK(tarn_mutex_lock(seg, &e->lock));
    the_segment = seg;
    everything = e;
    all_jobs = jobs;
    the_ref = e->here;
    ready();
    printf("%d\n", tarn_fd(seg));
    fflush(stdout);
    for (int c; (c = getchar()) != EOF; fflush(stdout)) {
        if (c == 'h')
            printf("%d\n", ++e->numbers[0]);
        else if (c == 'g' && add_job(seg, jobs, jobs_count++) == 0)
            printf("%d\n", jobs_count);
    }
    return 0;
}
