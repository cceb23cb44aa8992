/* bench/peer_glib.cc - GLib's GHashTable. Numbers are its pointers, both keys and values, with its own hash of pointers. Texts: it
 * owns structs of size and bytes, in one allocation each, and is asked with such a struct that leads to the caller's bytes. For texts
 * that may hold zeros GLib has no hash of its own but GString's, which goes byte by byte: the standard library's is quicker, so it
 * gets that.
 *
 * SPDX-License-Identifier: MIT */
#include "table_class.h"

#include <functional>
#include <glib.h>

namespace
{

struct glib_numbers : table_defaults {
    GHashTable *h;
    explicit glib_numbers(size_t) : h(g_hash_table_new(g_direct_hash, g_direct_equal)) {}
    ~glib_numbers()
    {
        g_hash_table_destroy(h);
    }
    uint64_t size()
    {
        return g_hash_table_size(h);
    }
    static GHashTable *of(void *t)
    {
        return static_cast<glib_numbers *>(t)->h;
    }
    static void put(void *t, uint64_t key, uint64_t value)
    {
        g_hash_table_insert(of(t), reinterpret_cast<gpointer>(key), reinterpret_cast<gpointer>(value));
    }
    static bool find(void *t, uint64_t key, uint64_t *ret_value)
    {
        gpointer value;
        if (!g_hash_table_lookup_extended(of(t), reinterpret_cast<gpointer>(key), nullptr, &value))
            return false;
        *ret_value = reinterpret_cast<uint64_t>(value);
        return true;
    }
    static bool erase(void *t, uint64_t key)
    {
        return g_hash_table_remove(of(t), reinterpret_cast<gpointer>(key));
    }
};

struct own_text {
    const char *at;
    size_t size;
};
guint text_hash(gconstpointer p)
{
    auto *s = static_cast<const own_text *>(p);
    return static_cast<guint>(std::hash<std::string_view>()(std::string_view(s->at, s->size)));
}
gboolean text_equal(gconstpointer p, gconstpointer q)
{
    auto *a = static_cast<const own_text *>(p), *b = static_cast<const own_text *>(q);
    return a->size == b->size && memcmp(a->at, b->at, a->size) == 0;
}

struct glib_texts : table_defaults {
    GHashTable *h;
    explicit glib_texts(size_t) : h(g_hash_table_new_full(text_hash, text_equal, g_free, nullptr)) {}
    ~glib_texts()
    {
        g_hash_table_destroy(h);
    }
    uint64_t size()
    {
        return g_hash_table_size(h);
    }
    static GHashTable *of(void *t)
    {
        return static_cast<glib_texts *>(t)->h;
    }
    static void put(void *t, std::string_view key, uint64_t value)
    {
        auto *own = static_cast<own_text *>(g_malloc(sizeof(own_text) + key.size()));
        own->at = static_cast<const char *>(memcpy(own + 1, key.data(), key.size()));
        own->size = key.size();
        g_hash_table_insert(of(t), own, reinterpret_cast<gpointer>(value));
    }
    static bool find(void *t, std::string_view key, uint64_t *ret_value)
    {
        own_text asked = {key.data(), key.size()};
        gpointer value;
        if (!g_hash_table_lookup_extended(of(t), &asked, nullptr, &value))
            return false;
        *ret_value = reinterpret_cast<uint64_t>(value);
        return true;
    }
    static bool erase(void *t, std::string_view key)
    {
        own_text asked = {key.data(), key.size()};
        return g_hash_table_remove(of(t), &asked);
    }
};

} // namespace

extern "C" {
extern const table_kind peer_glib_hash = numbers<glib_numbers>::kind("glib", true);
extern const text_kind peer_glib_hash_texts = strings<glib_texts>::kind("glib", true);
}
