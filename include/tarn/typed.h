/* tarn/typed.h - tarn's collections with the types that are in them: macros that emit static inline functions over the calls of tarn.h.
 *
 *     TARN_VECTOR_OF(points, struct point);                 points_push(seg, vector, p, &index), points_get(seg, vector, index, &p), ...
 *     TARN_MAP_OF(ages, struct name, uint32_t);             ages_put(map, name, 7), ages_get(map, name, &age), ...
 *     TARN_LIST_OF(jobs, struct job, link);                 jobs_insert_last(seg, list, job), jobs_first(seg, list), ...
 *     TARN_QUEUE_OF(orders, struct order, node);            orders_push(seg, queue, order), orders_pop(seg, queue, &order), ...
 *     TARN_STACK_OF(free_orders, struct order, node);       the same, last in, first out
 *     TARN_TREE_OF(log, int64_t, struct entry);             log_put(tree, when, e), log_range(tree, from, to, each, arg), ...
 *
 * Each stands once, outside functions, and makes `struct NAME`, which is the collection itself (of a map: a handle on it), so that one is not taken for
 * another. NAME_object finds the one of that name in the segment, or makes it; a `struct NAME` may also be a member of a struct of your own.
 * What the functions do and return is said in tarn.h of those whose names they have. A wrong type is an error of the compiler: in C++ anyway; in C,
 * because this header makes errors of two warnings (as gcc 14 does by itself), for all that is compiled with it, unless TARN_TYPED_LAX is
 * defined before it. Numbers of other types are converted, as everywhere in C.
 *
 * Types are copied byte by byte, so they hold no pointers (but in same-address segments, into the segment), and in C++ they are trivially
 * copyable. A map compares its keys' bytes: a key must have no padding, or be cleared before its fields are set (gcc, from 11 on, clears it).
 *
 * SPDX-License-Identifier: MIT */
#ifndef TARN_TYPED_H
#define TARN_TYPED_H

#include <errno.h>
#include <string.h>
#include <tarn.h>

#ifdef __cplusplus
#define TARN_TYPED_ASSERT(condition, what) static_assert(condition, what)
#define TARN_TYPED_PLAIN(type)                                                                               \
    static_assert(__is_trivially_copyable(type),                                                             \
                  #type " is not trivially copyable: it cannot be in a segment")
#else
#define TARN_TYPED_ASSERT(condition, what) _Static_assert(condition, what)
#define TARN_TYPED_PLAIN(type) _Static_assert(sizeof(type) > 0, "it has no size")
#if defined __GNUC__ && !defined TARN_TYPED_LAX
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#pragma GCC diagnostic error "-Wint-conversion"
#endif
#endif

#ifdef __has_builtin
#if __has_builtin(__builtin_clear_padding)
#define TARN_TYPED_CLEAR(pointer) __builtin_clear_padding(pointer)
#endif
#endif
#ifndef TARN_TYPED_CLEAR
#define TARN_TYPED_CLEAR(pointer) ((void)0)
#endif

#define TARN_TYPED static inline __attribute__((unused))

/* The object of this name, of a type that tarn_check knows. */
TARN_TYPED int tarn_typed_object_(tarn *seg, const char *object, const char *type, size_t size, void **ret_at)
{
    struct tarn_type t;
    memset(&t, 0, sizeof t);
    t.name = type;
    t.size = size;
    return tarn_find_or_make(seg, object, &t, ret_at);
}
#define TARN_TYPED_OBJECT(NAME, what)                                                                        \
    TARN_TYPED int NAME##_object(tarn *seg, const char *object, struct NAME **ret)                           \
    {                                                                                                        \
        void *at_ = NULL;                                                                                    \
        int e_ = tarn_typed_object_(seg, object, #what, sizeof(what), &at_);                                 \
        if (e_ >= 0)                                                                                         \
            *ret = (struct NAME *)at_;                                                                       \
        return e_;                                                                                           \
    }

/* ---- vector: elements of this type ---- */
#define TARN_VECTOR_OF(NAME, TYPE)                                                                           \
    TARN_TYPED_PLAIN(TYPE);                                                                                  \
    TARN_TYPED_ASSERT(sizeof(TYPE) <= TARN_VECTOR_ELEMENT_MOST, "an element is too large for a vector");     \
    struct NAME {                                                                                            \
        tarn_vector vector;                                                                                  \
    };                                                                                                       \
    TARN_TYPED_OBJECT(NAME, tarn_vector)                                                                     \
    TARN_TYPED int NAME##_push(tarn *seg, struct NAME *vector, TYPE element, uint64_t *ret_index)            \
    {                                                                                                        \
        return tarn_vector_push(seg, &vector->vector, &element, sizeof(TYPE), ret_index);                    \
    }                                                                                                        \
    TARN_TYPED int NAME##_pop(tarn *seg, struct NAME *vector, TYPE *ret_element)                             \
    {                                                                                                        \
        return tarn_vector_pop(seg, &vector->vector, ret_element, sizeof(TYPE));                             \
    }                                                                                                        \
    TARN_TYPED int NAME##_set(tarn *seg, struct NAME *vector, uint64_t index, TYPE element)                  \
    {                                                                                                        \
        return tarn_vector_set(seg, &vector->vector, index, &element, sizeof(TYPE));                         \
    }                                                                                                        \
    TARN_TYPED int NAME##_get(tarn *seg, struct NAME *vector, uint64_t index, TYPE *ret_element)             \
    {                                                                                                        \
        return tarn_vector_get(seg, &vector->vector, index, ret_element, sizeof(TYPE));                      \
    }                                                                                                        \
    TARN_TYPED TYPE *NAME##_at(tarn *seg, struct NAME *vector, uint64_t index)                               \
    {                                                                                                        \
        return (TYPE *)tarn_vector_at(seg, &vector->vector, index, sizeof(TYPE));                            \
    }                                                                                                        \
    TARN_TYPED int NAME##_resize(tarn *seg, struct NAME *vector, uint64_t size)                              \
    {                                                                                                        \
        return tarn_vector_resize(seg, &vector->vector, size, sizeof(TYPE));                                 \
    }                                                                                                        \
    TARN_TYPED uint64_t NAME##_size(tarn *seg, const struct NAME *vector)                                    \
    {                                                                                                        \
        return tarn_vector_size(seg, &vector->vector);                                                       \
    }                                                                                                        \
    struct NAME

/* ---- map: `struct NAME` is a handle, in private memory, made by NAME_open. A value of another size is -EPROTO. ---- */
#define TARN_MAP_OF(NAME, KEY, VALUE)                                                                        \
    TARN_TYPED_PLAIN(KEY);                                                                                   \
    TARN_TYPED_PLAIN(VALUE);                                                                                 \
    TARN_TYPED_ASSERT(sizeof(KEY) <= 65535, "a key is too large for a map");                                 \
    struct NAME {                                                                                            \
        tarn_map *map;                                                                                       \
    };                                                                                                       \
    struct NAME##_each_ {                                                                                    \
        int (*each)(KEY key, VALUE value, void *arg);                                                        \
        void *arg;                                                                                           \
    };                                                                                                       \
    TARN_TYPED int NAME##_open(tarn *seg, const char *object, unsigned flags, struct NAME *ret_map)          \
    {                                                                                                        \
        return tarn_map_open(seg, object, flags, &ret_map->map);                                             \
    }                                                                                                        \
    TARN_TYPED void NAME##_close(struct NAME map)                                                            \
    {                                                                                                        \
        tarn_map_close(map.map);                                                                             \
    }                                                                                                        \
    TARN_TYPED int NAME##_get(struct NAME map, KEY key, VALUE *ret_value)                                    \
    {                                                                                                        \
        VALUE value_;                                                                                        \
        size_t size_ = 0;                                                                                    \
        TARN_TYPED_CLEAR(&key);                                                                              \
        int e_ = tarn_map_get(map.map, &key, sizeof(KEY), &value_, sizeof(VALUE), &size_);                   \
        if (e_ >= 0 && size_ != sizeof(VALUE))                                                               \
            return -EPROTO;                                                                                  \
        if (e_ >= 0)                                                                                         \
            *ret_value = value_;                                                                             \
        return e_;                                                                                           \
    }                                                                                                        \
    TARN_TYPED int NAME##_put(struct NAME map, KEY key, VALUE value)                                         \
    {                                                                                                        \
        TARN_TYPED_CLEAR(&key);                                                                              \
        return tarn_map_put(map.map, &key, sizeof(KEY), &value, sizeof(VALUE));                              \
    }                                                                                                        \
    TARN_TYPED int NAME##_remove(struct NAME map, KEY key)                                                   \
    {                                                                                                        \
        TARN_TYPED_CLEAR(&key);                                                                              \
        return tarn_map_remove(map.map, &key, sizeof(KEY));                                                  \
    }                                                                                                        \
    TARN_TYPED int NAME##_count(struct NAME map, uint64_t *ret_count)                                        \
    {                                                                                                        \
        return tarn_map_count(map.map, ret_count);                                                           \
    }                                                                                                        \
    TARN_TYPED int NAME##_show_(const void *key, size_t key_size, const void *value, size_t size, void *arg) \
    {                                                                                                        \
        struct NAME##_each_ *each_ = (struct NAME##_each_ *)arg;                                             \
        KEY key_;                                                                                            \
        VALUE value_;                                                                                        \
        if (key_size != sizeof(KEY) || size != sizeof(VALUE))                                                \
            return -EPROTO;                                                                                  \
        memcpy(&key_, key, sizeof(KEY));                                                                     \
        memcpy(&value_, value, sizeof(VALUE));                                                               \
        return each_->each(key_, value_, each_->arg);                                                        \
    }                                                                                                        \
    TARN_TYPED int NAME##_each(struct NAME map, int (*each)(KEY key, VALUE value, void *arg), void *arg)     \
    {                                                                                                        \
        struct NAME##_each_ each_ = {each, arg};                                                             \
        return tarn_map_each(map.map, NAME##_show_, &each_);                                                 \
    }                                                                                                        \
    struct NAME

/* ---- list: of structs of this type, by their member MEMBER, a tarn_link ---- */
#define TARN_LIST_OF(NAME, TYPE, MEMBER)                                                                       \
    struct NAME {                                                                                              \
        tarn_list list;                                                                                        \
    };                                                                                                         \
    struct NAME##_each_ {                                                                                      \
        int (*each)(TYPE * member, void *arg);                                                                 \
        void *arg;                                                                                             \
    };                                                                                                         \
    TARN_TYPED_OBJECT(NAME, tarn_list)                                                                         \
    TARN_TYPED tarn_link *NAME##_link_(TYPE *member)                                                           \
    {                                                                                                          \
        return &member->MEMBER;                                                                                \
    }                                                                                                          \
    TARN_TYPED TYPE *NAME##_member_(tarn_link *link)                                                           \
    {                                                                                                          \
        return link ? TARN_MEMBER(link, TYPE, MEMBER) : NULL;                                                  \
    }                                                                                                          \
    TARN_TYPED int NAME##_insert_first(tarn *seg, struct NAME *list, TYPE *member)                             \
    {                                                                                                          \
        return tarn_list_insert_first(seg, &list->list, NAME##_link_(member));                                 \
    }                                                                                                          \
    TARN_TYPED int NAME##_insert_last(tarn *seg, struct NAME *list, TYPE *member)                              \
    {                                                                                                          \
        return tarn_list_insert_last(seg, &list->list, NAME##_link_(member));                                  \
    }                                                                                                          \
    TARN_TYPED int NAME##_insert_after(tarn *seg, struct NAME *list, TYPE *member, TYPE *at)                   \
    {                                                                                                          \
        return tarn_list_insert_after(seg, &list->list, NAME##_link_(member), NAME##_link_(at));               \
    }                                                                                                          \
    TARN_TYPED int NAME##_insert_before(tarn *seg, struct NAME *list, TYPE *member, TYPE *at)                  \
    {                                                                                                          \
        return tarn_list_insert_before(seg, &list->list, NAME##_link_(member), NAME##_link_(at));              \
    }                                                                                                          \
    TARN_TYPED int NAME##_remove(tarn *seg, struct NAME *list, TYPE *member)                                   \
    {                                                                                                          \
        return tarn_list_remove(seg, &list->list, NAME##_link_(member));                                       \
    }                                                                                                          \
    TARN_TYPED TYPE *NAME##_first(tarn *seg, struct NAME *list)                                                \
    {                                                                                                          \
        return NAME##_member_(tarn_list_first(seg, &list->list));                                              \
    }                                                                                                          \
    TARN_TYPED TYPE *NAME##_last(tarn *seg, struct NAME *list)                                                 \
    {                                                                                                          \
        return NAME##_member_(tarn_list_last(seg, &list->list));                                               \
    }                                                                                                          \
    TARN_TYPED TYPE *NAME##_next(tarn *seg, const TYPE *member)                                                \
    {                                                                                                          \
        return NAME##_member_(tarn_list_next(seg, &member->MEMBER));                                           \
    }                                                                                                          \
    TARN_TYPED TYPE *NAME##_previous(tarn *seg, const TYPE *member)                                            \
    {                                                                                                          \
        return NAME##_member_(tarn_list_previous(seg, &member->MEMBER));                                       \
    }                                                                                                          \
    TARN_TYPED int NAME##_show_(void *member, void *arg)                                                       \
    {                                                                                                          \
        struct NAME##_each_ *each_ = (struct NAME##_each_ *)arg;                                               \
        return each_->each((TYPE *)member, each_->arg);                                                        \
    }                                                                                                          \
    TARN_TYPED int NAME##_each(tarn *seg, struct NAME *list, int (*each)(TYPE * member, void *arg), void *arg) \
    {                                                                                                          \
        struct NAME##_each_ each_ = {each, arg};                                                               \
        return tarn_list_each(seg, &list->list, offsetof(TYPE, MEMBER), sizeof(TYPE), NAME##_show_, &each_);   \
    }                                                                                                          \
    struct NAME

/* ---- queue, stack: of structs of this type, which begin with MEMBER, a tarn_node ---- */
#define TARN_QUEUE_OF(NAME, TYPE, MEMBER) TARN_TYPED_CHAIN(NAME, TYPE, MEMBER, queue)
#define TARN_STACK_OF(NAME, TYPE, MEMBER) TARN_TYPED_CHAIN(NAME, TYPE, MEMBER, stack)
#define TARN_TYPED_CHAIN(NAME, TYPE, MEMBER, WHAT)                                                           \
    TARN_TYPED_ASSERT(offsetof(TYPE, MEMBER) == 0, #TYPE " does not begin with its " #MEMBER);               \
    struct NAME {                                                                                            \
        tarn_##WHAT WHAT;                                                                                    \
    };                                                                                                       \
    TARN_TYPED_OBJECT(NAME, tarn_##WHAT)                                                                     \
    TARN_TYPED int NAME##_push(tarn *seg, struct NAME *WHAT, TYPE *block)                                    \
    {                                                                                                        \
        const tarn_node *node_ = &block->MEMBER;                                                             \
        return tarn_##WHAT##_push(seg, &WHAT->WHAT, tarn_ref_of(seg, node_));                                \
    }                                                                                                        \
    TARN_TYPED int NAME##_push_from(tarn *seg, struct NAME *WHAT, tarn_ref *place)                           \
    {                                                                                                        \
        return tarn_##WHAT##_push_from(seg, &WHAT->WHAT, place);                                             \
    }                                                                                                        \
    TARN_TYPED int NAME##_pop(tarn *seg, struct NAME *WHAT, TYPE **ret_block)                                \
    {                                                                                                        \
        tarn_ref ref_ = 0;                                                                                   \
        int e_ = tarn_##WHAT##_pop(seg, &WHAT->WHAT, &ref_);                                                 \
        TYPE *block_ = e_ < 0 ? NULL : (TYPE *)tarn_ptr(seg, ref_, sizeof(TYPE));                            \
        if (e_ >= 0 && !block_)                                                                              \
            return -EUCLEAN; /* what was in it is no TYPE */                                                 \
        if (e_ >= 0)                                                                                         \
            *ret_block = block_;                                                                             \
        return e_;                                                                                           \
    }                                                                                                        \
    TARN_TYPED int NAME##_pop_into(tarn *seg, struct NAME *WHAT, tarn_ref *place)                            \
    {                                                                                                        \
        return tarn_##WHAT##_pop_into(seg, &WHAT->WHAT, place);                                              \
    }                                                                                                        \
    TARN_TYPED uint64_t NAME##_count(tarn *seg, const struct NAME *WHAT)                                     \
    {                                                                                                        \
        return tarn_##WHAT##_count(seg, &WHAT->WHAT);                                                        \
    }                                                                                                        \
    struct NAME

/* ---- tree: as of maps, in the order of its keys, which are integers. NAME_range shows those from `from` to `to`, both included. ---- */

/* An integer's bits as bytes whose order is the integers'. */
TARN_TYPED void tarn_typed_bytes_(unsigned char *to, uint64_t bits, size_t size, int is_signed)
{
    bits ^= is_signed ? UINT64_C(1) << (8 * size - 1) : 0;
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(bits >> 8 * (size - 1 - i));
}
TARN_TYPED uint64_t tarn_typed_bits_(const unsigned char *from, size_t size, int is_signed)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++)
        bits = bits << 8 | from[i];
    return bits ^ (is_signed ? UINT64_C(1) << (8 * size - 1) : 0);
}

#define TARN_TREE_OF(NAME, KEY, VALUE)                                                                       \
    TARN_TYPED_ASSERT((KEY)0.5 == 0 && sizeof(KEY) <= 8, "a tree's keys are integers of 64 bits at most");   \
    TARN_TYPED_PLAIN(VALUE);                                                                                 \
    struct NAME {                                                                                            \
        tarn_tree *tree;                                                                                     \
    };                                                                                                       \
    struct NAME##_key_ {                                                                                     \
        unsigned char byte[sizeof(KEY)];                                                                     \
    };                                                                                                       \
    struct NAME##_each_ {                                                                                    \
        int (*each)(KEY key, VALUE value, void *arg);                                                        \
        void *arg;                                                                                           \
    };                                                                                                       \
    TARN_TYPED struct NAME##_key_ NAME##_bytes_(KEY key)                                                     \
    {                                                                                                        \
        struct NAME##_key_ k_;                                                                               \
        tarn_typed_bytes_(k_.byte, (uint64_t)key, sizeof(KEY), (KEY)-1 < (KEY)1);                            \
        return k_;                                                                                           \
    }                                                                                                        \
    TARN_TYPED int NAME##_open(tarn *seg, const char *object, unsigned flags, struct NAME *ret_tree)         \
    {                                                                                                        \
        return tarn_tree_open(seg, object, flags, &ret_tree->tree);                                          \
    }                                                                                                        \
    TARN_TYPED void NAME##_close(struct NAME tree)                                                           \
    {                                                                                                        \
        tarn_tree_close(tree.tree);                                                                          \
    }                                                                                                        \
    TARN_TYPED int NAME##_get(struct NAME tree, KEY key, VALUE *ret_value)                                   \
    {                                                                                                        \
        const struct NAME##_key_ k_ = NAME##_bytes_(key);                                                    \
        VALUE value_;                                                                                        \
        size_t size_ = 0;                                                                                    \
        int e_ = tarn_tree_get(tree.tree, k_.byte, sizeof(KEY), &value_, sizeof(VALUE), &size_);             \
        if (e_ >= 0 && size_ != sizeof(VALUE))                                                               \
            return -EPROTO;                                                                                  \
        if (e_ >= 0)                                                                                         \
            *ret_value = value_;                                                                             \
        return e_;                                                                                           \
    }                                                                                                        \
    TARN_TYPED int NAME##_put(struct NAME tree, KEY key, VALUE value)                                        \
    {                                                                                                        \
        const struct NAME##_key_ k_ = NAME##_bytes_(key);                                                    \
        return tarn_tree_put(tree.tree, k_.byte, sizeof(KEY), &value, sizeof(VALUE));                        \
    }                                                                                                        \
    TARN_TYPED int NAME##_insert(struct NAME tree, KEY key, VALUE value)                                     \
    {                                                                                                        \
        const struct NAME##_key_ k_ = NAME##_bytes_(key);                                                    \
        return tarn_tree_insert(tree.tree, k_.byte, sizeof(KEY), &value, sizeof(VALUE));                     \
    }                                                                                                        \
    TARN_TYPED int NAME##_replace(struct NAME tree, KEY key, VALUE value)                                    \
    {                                                                                                        \
        const struct NAME##_key_ k_ = NAME##_bytes_(key);                                                    \
        return tarn_tree_replace(tree.tree, k_.byte, sizeof(KEY), &value, sizeof(VALUE));                    \
    }                                                                                                        \
    TARN_TYPED int NAME##_remove(struct NAME tree, KEY key)                                                  \
    {                                                                                                        \
        const struct NAME##_key_ k_ = NAME##_bytes_(key);                                                    \
        return tarn_tree_remove(tree.tree, k_.byte, sizeof(KEY));                                            \
    }                                                                                                        \
    TARN_TYPED int NAME##_count(struct NAME tree, uint64_t *ret_count)                                       \
    {                                                                                                        \
        return tarn_tree_count(tree.tree, ret_count);                                                        \
    }                                                                                                        \
    TARN_TYPED int NAME##_show_(const void *key, size_t key_size, const void *value, size_t size, void *arg) \
    {                                                                                                        \
        struct NAME##_each_ *each_ = (struct NAME##_each_ *)arg;                                             \
        VALUE value_;                                                                                        \
        if (key_size != sizeof(KEY) || size != sizeof(VALUE))                                                \
            return -EPROTO;                                                                                  \
        memcpy(&value_, value, sizeof(VALUE));                                                               \
        return each_->each((KEY)tarn_typed_bits_((const unsigned char *)key, sizeof(KEY), (KEY)-1 < (KEY)1), \
                           value_, each_->arg);                                                              \
    }                                                                                                        \
    TARN_TYPED int NAME##_each(struct NAME tree, int (*each)(KEY key, VALUE value, void *arg), void *arg)    \
    {                                                                                                        \
        struct NAME##_each_ each_ = {each, arg};                                                             \
        return tarn_tree_each(tree.tree, NAME##_show_, &each_);                                              \
    }                                                                                                        \
    TARN_TYPED int NAME##_range(struct NAME tree, KEY from, KEY to,                                          \
                                int (*each)(KEY key, VALUE value, void *arg), void *arg)                     \
    {                                                                                                        \
        const struct NAME##_key_ from_ = NAME##_bytes_(from), to_ = NAME##_bytes_(to);                       \
        struct NAME##_each_ each_ = {each, arg};                                                             \
        struct tarn_tree_entry entry_;                                                                       \
        tarn_tree_cursor *cursor_ = NULL;                                                                    \
        int e_ = tarn_tree_cursor_open(tree.tree, &cursor_);                                                 \
        if (e_ < 0)                                                                                          \
            return e_;                                                                                       \
        e_ = tarn_tree_seek(cursor_, from_.byte, sizeof(KEY), TARN_TREE_LOWER);                              \
        while (e_ == 0) {                                                                                    \
            if ((e_ = tarn_tree_next(cursor_, &entry_)) < 0) {                                               \
                e_ = e_ == -ENOENT ? 0 : e_;                                                                 \
                break;                                                                                       \
            }                                                                                                \
            if (entry_.key_size == sizeof(KEY) && memcmp(entry_.key, to_.byte, sizeof(KEY)) > 0)             \
                break;                                                                                       \
            e_ = NAME##_show_(entry_.key, entry_.key_size, entry_.value, entry_.size, &each_);               \
        }                                                                                                    \
        tarn_tree_cursor_close(cursor_);                                                                     \
        return e_;                                                                                           \
    }                                                                                                        \
    struct NAME

#endif
