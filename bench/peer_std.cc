/* bench/peer_std.cc - std::unordered_map and std::map, with their default hash and order. Texts are looked up by string_view
 * through a transparent hash (C++20).
 *
 * SPDX-License-Identifier: MIT */
#include "table_class.h"

#include <functional>
#include <map>
#include <string>
#include <unordered_map>

namespace
{
struct text_hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const
    {
        return std::hash<std::string_view>()(s);
    }
};
using hash_table = number_container<std::unordered_map<uint64_t, uint64_t>>;
using tree_table = ordered_container<std::map<uint64_t, uint64_t>>;
using hash_texts = text_container<std::unordered_map<std::string, uint64_t, text_hash, std::equal_to<>>>;
} // namespace

extern "C" {
extern const table_kind peer_std_hash = numbers<hash_table>::kind("std", true);
extern const table_kind peer_std_tree = ordered<tree_table>::kind("std", true);
extern const text_kind peer_std_hash_texts = strings<hash_texts>::kind("std", true);
}
