/* bench/table_tarn.cc - tarn's map and tree as contenders: in a nameless segment, committed and faulted in beforehand.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "table_class.h"
#include "tables.h"

#include <cerrno>

namespace
{

/* Of segment for an entry: ample. Is it too little, the segment grows, and the pages are paid for. */
constexpr size_t number_bytes = 64, text_bytes = 192;

struct map_calls {
    using handle = tarn_map;
    static constexpr char name[] = "tarn_map";
    static constexpr unsigned u64 = TARN_MAP_U64;
    static constexpr auto open = tarn_map_open;
    static constexpr auto close = tarn_map_close;
    static constexpr auto count = tarn_map_count;
    static constexpr auto put64 = tarn_map_put64;
    static constexpr auto get64 = tarn_map_get64;
    static constexpr auto remove64 = tarn_map_remove64;
    static constexpr auto put = tarn_map_put;
    static constexpr auto get = tarn_map_get;
    static constexpr auto remove = tarn_map_remove;
};
struct tree_calls {
    using handle = tarn_tree;
    static constexpr char name[] = "tarn_tree";
    static constexpr unsigned u64 = TARN_TREE_U64;
    static constexpr auto open = tarn_tree_open;
    static constexpr auto close = tarn_tree_close;
    static constexpr auto count = tarn_tree_count;
    static constexpr auto put64 = tarn_tree_put64;
    static constexpr auto get64 = tarn_tree_get64;
    static constexpr auto remove64 = tarn_tree_remove64;
    static constexpr auto put = tarn_tree_put;
    static constexpr auto get = tarn_tree_get;
    static constexpr auto remove = tarn_tree_remove;
};

uint64_t committed(tarn *seg)
{
    struct tarn_stat st;
    core_good(tarn_stat(seg, &st), "tarn_stat");
    return st.total;
}

template <class C> void good(int e, const char *what)
{
    if (__builtin_expect(e, 0))
        bench_die("%s_%s: %s", C::name, what, tarn_error());
}

struct in_segment : table_defaults {
    tarn *seg;
    explicit in_segment(size_t initial) : seg(core_segment(initial))
    {
        bench_populate(tarn_base(seg), committed(seg));
    }
    ~in_segment()
    {
        core_close(seg);
    }
};

template <class C> struct table : in_segment {
    typename C::handle *entries;
    table(size_t bytes, unsigned kind) : in_segment(bytes + (4u << 20))
    {
        good<C>(C::open(seg, "bench", TARN_CREATE | kind, &entries), "open");
    }
    ~table()
    {
        C::close(entries);
    }
    uint64_t size()
    {
        uint64_t n;
        good<C>(C::count(entries, &n), "count");
        return n;
    }
    static void *inner(void *t)
    {
        return static_cast<table *>(t)->entries;
    }
    static typename C::handle *of(void *inner)
    {
        return static_cast<typename C::handle *>(inner);
    }
    /* Was it there? */
    static bool there(int e, const char *what)
    {
        if (e != -ENOENT)
            good<C>(e, what);
        return !e;
    }
};

template <class C> struct of_numbers : table<C> {
    explicit of_numbers(size_t n) : table<C>(n * number_bytes, C::u64) {}
    static void put(void *t, uint64_t key, uint64_t value)
    {
        good<C>(C::put64(table<C>::of(t), key, value), "put64");
    }
    static bool find(void *t, uint64_t key, uint64_t *ret_value)
    {
        return table<C>::there(C::get64(table<C>::of(t), key, ret_value), "get64");
    }
    static bool erase(void *t, uint64_t key)
    {
        return table<C>::there(C::remove64(table<C>::of(t), key), "remove64");
    }
};
template <class C> struct of_texts : table<C> {
    explicit of_texts(size_t n) : table<C>(n * text_bytes, 0) {}
    static void put(void *t, std::string_view key, uint64_t value)
    {
        good<C>(C::put(table<C>::of(t), key.data(), key.size(), &value, sizeof value), "put");
    }
    static bool find(void *t, std::string_view key, uint64_t *ret_value)
    {
        return table<C>::there(
            C::get(table<C>::of(t), key.data(), key.size(), ret_value, sizeof *ret_value, nullptr), "get");
    }
    static bool erase(void *t, std::string_view key)
    {
        return table<C>::there(C::remove(table<C>::of(t), key.data(), key.size()), "remove");
    }
};

struct ordered_numbers : of_numbers<tree_calls> {
    using of_numbers::of_numbers;
    struct cursor {
        tarn_tree_cursor *c;
        explicit cursor(void *t)
        {
            core_good(tarn_tree_cursor_open(of(inner(t)), &c), "tarn_tree_cursor_open");
        }
        ~cursor()
        {
            tarn_tree_cursor_close(c);
        }
        bool next(uint64_t *ret_key, uint64_t *ret_value)
        {
            return there(tarn_tree_next64(c, ret_key, ret_value), "next64");
        }
        bool seek(uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
        {
            good<tree_calls>(tarn_tree_seek64(c, from, TARN_TREE_LOWER), "seek64");
            return next(ret_key, ret_value);
        }
    };
};

template <class C> double committed_for(const struct keys *keys)
{
    tarn *seg;
    typename C::handle *entries;
    core_good(tarn_open("anon:", TARN_CREATE, nullptr, &seg), "tarn_open");
    uint64_t before = committed(seg);
    good<C>(C::open(seg, "bench", TARN_CREATE | C::u64, &entries), "open");
    for (size_t i = 0; i < keys->n; i++)
        good<C>(C::put64(entries, keys->key[i], table_value(keys->key[i])), "put64");
    uint64_t after = committed(seg);
    C::close(entries);
    core_close(seg);
    return (double)(after - before);
}

} // namespace

extern "C" {
extern const table_kind tarn_map_numbers = numbers<of_numbers<map_calls>>::kind("tarn", false);
extern const table_kind tarn_tree_numbers = ordered<ordered_numbers>::kind("tarn", false);
extern const text_kind tarn_map_texts = strings<of_texts<map_calls>>::kind("tarn", false);
extern const text_kind tarn_tree_texts = strings<of_texts<tree_calls>>::kind("tarn", false);

void *tarn_table_sight(void *t, size_t *ret_size)
{
    tarn *seg = static_cast<in_segment *>(t)->seg;
    *ret_size = committed(seg);
    return tarn_base(seg);
}
double tarn_map_committed(const struct keys *keys)
{
    return committed_for<map_calls>(keys);
}
double tarn_tree_committed(const struct keys *keys)
{
    return committed_for<tree_calls>(keys);
}
}
