/* case_coll.c - vectors, byte strings, queues and stacks: changes exclude each other, readers without a lock see whole things, nothing is lost or there twice. */
#include <errno.h>

#include "explore.h"

static tarn_ref named; /* the object of the case: tarn_check reaches its blocks by its name */
static void *object(int p, size_t size)
{
    return tarn_ptr(seg_of(p), named, size);
}
#define VECTOR(p) ((tarn_vector *)object(p, sizeof(tarn_vector)))
#define BYTES(p) ((tarn_bytes *)object(p, sizeof(tarn_bytes)))
#define QUEUE(p) ((tarn_queue *)object(p, sizeof(tarn_queue)))
#define STACK(p) ((tarn_stack *)object(p, sizeof(tarn_stack)))

/* ---- vector ---- */

static void make_vector(void)
{
    tarn_vector *v;
    MUST(tarn_object(seg_of(DRIVER), "vector", tarn_vector, &v));
    named = tarn_ref_of(seg_of(DRIVER), v);
}

/* One more fits into the first chunk. */
static void seven(void)
{
    make_vector();
    for (uint64_t i = 0; i < 7; i++)
        MUST(tarn_vector_push(seg_of(DRIVER), VECTOR(DRIVER), &i, 8, NULL));
}
static void two_push(int p)
{
    uint64_t x = 100 + (uint64_t)p, index = 0;
    MUST(tarn_vector_push(seg_of(p), VECTOR(p), &x, 8, &index));
    ghost[p] = 1 + index;
}
static const char *both_pushed(void)
{
    uint64_t size = tarn_vector_size(seg_of(DRIVER), VECTOR(DRIVER)), x;
    for (uint64_t i = 0; i < 7; i++)
        if (tarn_vector_get(seg_of(DRIVER), VECTOR(DRIVER), i, &x, 8) || x != i)
            return "a push changed another element";
    for (uint64_t p = 0; p < 2; p++)
        if (ghost[p] && (tarn_vector_get(seg_of(DRIVER), VECTOR(DRIVER), ghost[p] - 1, &x, 8) || x != 100 + p))
            return "a push was lost";
    if (size > 9 || size < 7u + !!ghost[0] + !!ghost[1] || (!anyone_died() && size != 9))
        return "a vector's size is not what was pushed";
    for (uint64_t i = 7; i < size; i++)
        if (tarn_vector_get(seg_of(DRIVER), VECTOR(DRIVER), i, &x, 8) || x < 100 || x > 101)
            return "an element is there that nobody pushed";
    return NULL;
}

/* The reader finds what is counted, in the new chunk too. */
static void push_and_get(int p)
{
    uint64_t x;
    if (p == 0) {
        for (x = 7; x < 9; x++)
            MUST(tarn_vector_push(seg_of(p), VECTOR(p), &x, 8, NULL));
        ghost[0] = 1;
        return;
    }
    for (uint64_t i = 8; i >= 6; i--) {
        int e = tarn_vector_get(seg_of(p), VECTOR(p), i, &x, 8);
        must_be(e == 0 || (e == -ENOENT && i > 6), "an element was not there that was there all the time");
        must_be(e || x == i, "a reader got what is no element");
    }
}
static const char *nine(void)
{
    uint64_t size = tarn_vector_size(seg_of(DRIVER), VECTOR(DRIVER));
    return size > 9 || size < 7 || (!died(0) && size != 9) ? "a push was lost" : NULL;
}

/* Elements of more than a word. One was popped, so a push writes over what a reader may still be copying. */
struct wide {
    uint64_t word[2];
};
static void wide_ones(void)
{
    make_vector();
    for (uint64_t i = 0; i < 3; i++) {
        const struct wide w = {{i, i}};
        MUST(tarn_vector_push(seg_of(DRIVER), VECTOR(DRIVER), &w, sizeof w, NULL));
    }
}
static void get_wide(int p, uint64_t i, bool there)
{
    struct wide w;
    int e = tarn_vector_get(seg_of(p), VECTOR(p), i, &w, sizeof w);
    must_be(e == 0 || (e == -ENOENT && !there), "an element was not there that was there all the time");
    must_be(e || w.word[0] == w.word[1], "a reader got half of an element");
}
static void set_and_get(int p)
{
    const struct wide w = {{50, 50}};
    if (p == 1) {
        get_wide(p, 1, true);
        return;
    }
    MUST(tarn_vector_set(seg_of(p), VECTOR(p), 1, &w, sizeof w));
    ghost[0] = 1;
}
static void push_over_and_get(int p)
{
    const struct wide w = {{50, 50}};
    if (p == 1) {
        get_wide(p, 2, false);
        return;
    }
    MUST(tarn_vector_pop(seg_of(p), VECTOR(p), NULL, sizeof w));
    MUST(tarn_vector_push(seg_of(p), VECTOR(p), &w, sizeof w, NULL));
    ghost[0] = 1;
}
/* What was popped is zeros again, which is to write over it. */
static void resize_over_and_get(int p)
{
    if (p == 1) {
        get_wide(p, 2, false);
        return;
    }
    MUST(tarn_vector_pop(seg_of(p), VECTOR(p), NULL, sizeof(struct wide)));
    MUST(tarn_vector_resize(seg_of(p), VECTOR(p), 3, sizeof(struct wide)));
}
static void set_undone_and_get(int p)
{
    const struct wide w = {{50, 50}};
    if (p == 1) {
        get_wide(p, 1, true);
        return;
    }
    MUST(tarn_begin(seg_of(p)));
    MUST(tarn_vector_set(seg_of(p), VECTOR(p), 1, &w, sizeof w));
    MUST(tarn_abort(seg_of(p)));
}
static const char *three_whole(void)
{
    uint64_t size = tarn_vector_size(seg_of(DRIVER), VECTOR(DRIVER));
    struct wide w;
    if (size > 3 || size < 2 || (!died(0) && size != 3))
        return "a vector's size is another";
    for (uint64_t i = 0; i < size; i++)
        if (tarn_vector_get(seg_of(DRIVER), VECTOR(DRIVER), i, &w, sizeof w) || w.word[0] != w.word[1])
            return "half of an element was left";
    return NULL;
}
static const char *undone(void)
{
    struct wide w;
    return tarn_vector_get(seg_of(DRIVER), VECTOR(DRIVER), 1, &w, sizeof w) || w.word[0] != 1 || w.word[1] != 1
               ? "what was undone is not as it was"
               : NULL;
}

/* The chunk, of 0's own memory, goes, and is used for something else, while the reader is at it. */
static void seven_of_its_own(int p)
{
    for (uint64_t i = 0; i < 7 && p == 0; i++)
        MUST(tarn_vector_push(seg_of(p), VECTOR(p), &i, 8, NULL));
}
static void shrink_and_get(int p)
{
    uint64_t x;
    if (p == 1) {
        int e = tarn_vector_get(seg_of(p), VECTOR(p), 3, &x, 8);
        must_be(e == -ENOENT || (e == 0 && x == 3), "a reader got what is no element");
        return;
    }
    MUST(tarn_vector_resize(seg_of(p), VECTOR(p), 0, 8));
    MUST(tarn_alloc_into(seg_of(p), &root()->ref[0], 64)); /* zeroed */
    ghost[0] = 1;
}
static const char *shrunk(void)
{
    uint64_t size = tarn_vector_size(seg_of(DRIVER), VECTOR(DRIVER));
    return size != 0 && (size != 7 || ghost[0]) ? "half of a resize happened" : NULL;
}

/* The first element's size, and so all elements', is undone, and is another then. */
static void resettle_and_get(int p)
{
    uint64_t x = 5;
    uint32_t half = 1;
    if (p == 1) {
        int e = tarn_vector_get(seg_of(p), VECTOR(p), 0, &x, 8);
        must_be(e == -ENOENT || e == -EPROTO || (e == 0 && x == 5), "a reader got elements of another size");
        return;
    }
    MUST(tarn_begin(seg_of(p)));
    MUST(tarn_vector_push(seg_of(p), VECTOR(p), &x, 8, NULL));
    MUST(tarn_abort(seg_of(p)));
    MUST(tarn_vector_push(seg_of(p), VECTOR(p), &half, 4, NULL));
    ghost[0] = 1;
}
static const char *resettled(void)
{
    uint64_t size = tarn_vector_size(seg_of(DRIVER), VECTOR(DRIVER));
    uint32_t half = 1;
    if (!size)
        return ghost[0] ? "a push was lost" : NULL;
    return size > 1 || tarn_vector_get(seg_of(DRIVER), VECTOR(DRIVER), 0, &half, 4) || half != 1
               ? "elements are of the size that was undone"
               : NULL;
}

/* ---- byte strings ---- */

static void make_bytes(void)
{
    tarn_bytes *b;
    MUST(tarn_object(seg_of(DRIVER), "bytes", tarn_bytes, &b));
    named = tarn_ref_of(seg_of(DRIVER), b);
}
static void of_its_own(int p) /* of 0's memory, where what is freed is handed out next */
{
    if (p == 0)
        MUST(tarn_bytes_set(seg_of(p), BYTES(p), "aaaaaaaaaaaaaaaa", 16));
}
static void get_bytes(int p)
{
    char text[64];
    size_t size = 0;
    int e = tarn_bytes_get(seg_of(p), BYTES(p), text, sizeof text, &size);
    must_be(e == 0 && (size == 16 || size == 24), "a byte string was not there");
    for (size_t i = 0; i < size; i++)
        must_be(text[i] == (size == 16 ? 'a' : 'b'), "a reader got half of a byte string");
}
static void replace_and_get(int p)
{
    if (p == 1) {
        get_bytes(p);
        return;
    }
    MUST(tarn_bytes_set(seg_of(p), BYTES(p), "bbbbbbbbbbbbbbbbbbbbbbbb", 24));
    MUST(tarn_alloc_into(seg_of(p), &root()->ref[0], 24)); /* of the old one's size class; zeroed */
    ghost[0] = 1;
}
static void replace_in_a_section(int p)
{
    if (p == 1) {
        get_bytes(p);
        return;
    }
    MUST(tarn_begin(seg_of(p)));
    MUST(tarn_bytes_set(seg_of(p), BYTES(p), "bbbbbbbbbbbbbbbbbbbbbbbb", 24));
    MUST(tarn_commit(seg_of(p)));
    MUST(tarn_alloc_into(seg_of(p), &root()->ref[0], 24));
    ghost[0] = 1;
}
static const char *replaced(void)
{
    char text[64];
    size_t size = 0;
    tarn_bytes_get(seg_of(DRIVER), BYTES(DRIVER), text, sizeof text, &size);
    if (size != 24 && (size != 16 || ghost[0]))
        return "a byte string was lost";
    for (size_t i = 0; i < size; i++)
        if (text[i] != (size == 16 ? 'a' : 'b'))
            return "half of a byte string was left";
    return NULL;
}
static void two_append(int p)
{
    const char text[2] = {(char)('0' + p), (char)('0' + p)};
    MUST(tarn_bytes_append(seg_of(p), BYTES(p), text, 2));
    ghost[p] = 1;
}
static const char *both_appended(void)
{
    char text[64];
    size_t size = 0, of[2] = {0};
    tarn_bytes_get(seg_of(DRIVER), BYTES(DRIVER), text, sizeof text, &size);
    for (size_t i = 16; i < size && i < sizeof text; i += 2) {
        if (text[i] != text[i + 1] || (text[i] != '0' && text[i] != '1'))
            return "half of what was appended is there";
        of[text[i] - '0']++;
    }
    for (int p = 0; p < 2; p++)
        if (of[p] > 1 || (of[p] == 0 && ghost[p]))
            return "what was appended is lost, or there twice";
    return NULL;
}

/* ---- queue, stack: 24 bytes a block, of root's refs; the third word is its number ---- */

static void make_chain(bool queue)
{
    void *at;
    tarn_ref ref;
    const struct tarn_type type = queue ? (struct tarn_type){"tarn_queue", sizeof(tarn_queue), 0}
                                        : (struct tarn_type){"tarn_stack", sizeof(tarn_stack), 0};
    MUST(tarn_find_or_make(seg_of(DRIVER), "chain", &type, &at));
    MUST(tarn_find(seg_of(DRIVER), "chain", &type, &ref));
    named = ref;
}
/* Blocks 0 and 1 are in it, and then reached by it alone. */
static void fill_chain(bool queue)
{
    make_chain(queue);
    for (int i = 0; i < 4; i++)
        MUST(tarn_alloc_into(seg_of(DRIVER), &root()->ref[i], 32));
    for (int i = 0; i < 2; i++)
        MUST(queue ? tarn_queue_push_from(seg_of(DRIVER), QUEUE(DRIVER), &root()->ref[i])
                   : tarn_stack_push_from(seg_of(DRIVER), STACK(DRIVER), &root()->ref[i]));
}
static void a_queue(void)
{
    fill_chain(true);
}
static void a_stack(void)
{
    fill_chain(false);
}
enum { TO = 6 }; /* root's ref of participant 0, into which it pops; of 1 the next */
static void queue_two_push(int p)
{
    MUST(tarn_queue_push_from(seg_of(p), QUEUE(p), &root()->ref[2 + p]));
    ghost[p] = 1;
}
static void queue_two_pop(int p)
{
    MUST(tarn_queue_pop_into(seg_of(p), QUEUE(p), &root()->ref[TO + p]));
    ghost[p] = 1;
}
static void stack_two_pop(int p)
{
    MUST(tarn_stack_pop_into(seg_of(p), STACK(p), &root()->ref[TO + p]));
    ghost[p] = 1;
}
static void stack_push_and_pop(int p)
{
    if (p == 0)
        MUST(tarn_stack_push_from(seg_of(p), STACK(p), &root()->ref[2]));
    else
        MUST(tarn_stack_pop_into(seg_of(p), STACK(p), &root()->ref[TO + 1]));
    ghost[p] = 1;
}
static void queue_push_and_pop(int p)
{
    if (p == 0)
        MUST(tarn_queue_push_from(seg_of(p), QUEUE(p), &root()->ref[2]));
    else
        MUST(tarn_queue_pop_into(seg_of(p), QUEUE(p), &root()->ref[TO + 1]));
    ghost[p] = 1;
}

/* Four blocks, each in the chain, or in one of root's refs (two there, or none: the explorer says so), with a node that is right; and who was done
 * is done. */
static const char *four_blocks(bool queue)
{
    struct tarn *seg = seg_of(DRIVER);
    tarn_ref at = queue ? QUEUE(DRIVER)->first : STACK(DRIVER)->first;
    uint64_t in = 0, out = 0;
    for (; at && in < 5; in++) {
        const tarn_node *n = tarn_ptr(seg, at, sizeof *n);
        if (!n || n->in != named)
            return "a block in a chain is not in it";
        for (int i = 0; i < ROOT_REFS; i++)
            if (root()->ref[i] == at)
                return "a block is in a chain, and somebody has it";
        at = n->next;
    }
    for (int i = 0; i < ROOT_REFS; i++)
        if (root()->ref[i]) {
            const tarn_node *n = tarn_ptr(seg, root()->ref[i], sizeof *n);
            if (n->in || n->next)
                return "a block that is in nothing says that it is";
            out++;
        }
    if (in + out != 4 || in != (queue ? QUEUE(DRIVER)->count : STACK(DRIVER)->count))
        return "a block was lost, or is there twice";
    return NULL;
}
static const char *queue_pushed(void)
{
    for (int p = 0; p < 2; p++)
        if ((root()->ref[2 + p] != 0) != !ghost[p] && !died(p))
            return "a push was not made";
    return four_blocks(true);
}
static const char *popped(bool queue)
{
    for (int p = 0; p < 2; p++)
        if (ghost[p] && !root()->ref[TO + p])
            return "a pop was lost";
    return four_blocks(queue);
}
static const char *queue_popped(void)
{
    return popped(true);
}
static const char *stack_popped(void)
{
    return popped(false);
}
static const char *queue_is_right(void)
{
    if ((ghost[0] && root()->ref[2]) || (ghost[1] && !root()->ref[TO + 1]))
        return "a push or a pop was lost";
    return four_blocks(true);
}
static const char *stack_is_right(void)
{
    if ((ghost[0] && root()->ref[2]) || (ghost[1] && !root()->ref[TO + 1]))
        return "a push or a pop was lost";
    return four_blocks(false);
}

const struct test_case coll_cases[] = {
    {"vector, two push", 2, 3, 4, CASE_ALIKE, seven, NULL, two_push, both_pushed},
    {"vector, push and get", 2, 3, 4, 0, seven, NULL, push_and_get, nine},
    {"vector, set and get", 2, 3, 4, 0, wide_ones, NULL, set_and_get, three_whole},
    {"vector, push over and get", 2, 3, 4, 0, wide_ones, NULL, push_over_and_get, three_whole},
    {"vector, resize over and get", 2, 3, 4, 0, wide_ones, NULL, resize_over_and_get, three_whole},
    {"vector, set undone and get", 2, 3, 4, 0, wide_ones, NULL, set_undone_and_get, undone},
    {"vector, shrink and get", 2, 3, 4, 0, make_vector, seven_of_its_own, shrink_and_get, shrunk},
    {"vector, another size and get", 2, 3, 4, 0, make_vector, NULL, resettle_and_get, resettled},
    {"bytes, replace and get", 2, 3, 4, 0, make_bytes, of_its_own, replace_and_get, replaced},
    {"bytes, replace in a section and get", 2, 3, 4, 0, make_bytes, of_its_own, replace_in_a_section, replaced},
    {"bytes, two append", 2, 3, 4, 0, make_bytes, of_its_own, two_append, both_appended},
    {"queue, two push", 2, 3, 4, 0, a_queue, NULL, queue_two_push, queue_pushed},
    {"queue, two pop", 2, 3, 4, 0, a_queue, NULL, queue_two_pop, queue_popped},
    {"queue, push and pop", 2, 3, 4, 0, a_queue, NULL, queue_push_and_pop, queue_is_right},
    {"stack, two pop", 2, 3, 4, 0, a_stack, NULL, stack_two_pop, stack_popped},
    {"stack, push and pop", 2, 3, 4, 0, a_stack, NULL, stack_push_and_pop, stack_is_right},
    {0},
};
