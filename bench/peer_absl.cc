/* bench/peer_absl.cc - Abseil's flat_hash_map and btree_map, with their default hash and order, counting what they ask of their
 * allocator. Texts are looked up by string_view, as its manual advises (heterogeneous look-up).
 *
 * SPDX-License-Identifier: MIT */
#include "table_class.h"

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/strings/string_view.h>
#include <functional>
#include <string>

namespace
{
struct of_map {
    static uint64_t asked;
};
struct of_tree {
    static uint64_t asked;
};
uint64_t of_map::asked, of_tree::asked;

using pair_of = std::pair<const uint64_t, uint64_t>;
using hash_map =
    absl::flat_hash_map<uint64_t, uint64_t, absl::container_internal::hash_default_hash<uint64_t>,
                        absl::container_internal::hash_default_eq<uint64_t>, counting<pair_of, of_map>>;
using tree_map = absl::btree_map<uint64_t, uint64_t, std::less<uint64_t>, counting<pair_of, of_tree>>;

using hash_table = number_container<hash_map>;
using tree_table = ordered_container<tree_map>;
template <class Tag> uint64_t asked_of()
{
    return Tag::asked;
}
template <class Tag> constexpr table_kind counted(table_kind k)
{
    k.bytes = asked_of<Tag>;
    return k;
}
using hash_texts = text_container<absl::flat_hash_map<std::string, uint64_t>, absl::string_view>;
using tree_texts = text_container<absl::btree_map<std::string, uint64_t>, absl::string_view>;
} // namespace

extern "C" {
extern const table_kind peer_absl_map = counted<of_map>(numbers<hash_table>::kind("absl", true));
extern const table_kind peer_absl_tree = counted<of_tree>(ordered<tree_table>::kind("absl", true));
extern const text_kind peer_absl_map_texts = strings<hash_texts>::kind("absl", true);
extern const text_kind peer_absl_tree_texts = strings<tree_texts>::kind("absl", true);
}
