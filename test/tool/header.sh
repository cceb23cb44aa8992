#!/usr/bin/env bash
# header.sh LIBRARY INCLUDE CC C++: tarn.h and tarn/channel.h are good C11 and good C++17, with all warnings, and a C++ program with them links and runs.
# C++ is skipped, with a word, if there is no compiler for it.
set -euo pipefail
library=$1 include=$2 cc=$3 cxx=$4
dir=$(mktemp -d)
export TARN_SHM_DIR=$dir
trap 'rm -rf "$dir"' EXIT

cat >"$dir/use.c" <<'C'
#include <tarn/channel.h> /* and with it tarn.h */
struct counter { tarn_mutex lock; long hits; };
int main(void)
{
    tarn *seg;
    struct counter *c;
    tarn_call *call;
    if (tarn_open("posix:/a", TARN_CREATE, NULL, &seg) < 0 || tarn_object(seg, "counter", struct counter, &c) < 0 ||
        tarn_mutex_lock(seg, &c->lock) != 0)
        return 1;
    c->hits++;
    if (tarn_call_open(seg, "call", TARN_CREATE | TARN_SEND, NULL, &call) != 0 || tarn_call_close(call) != 0)
        return 2;
    return tarn_mutex_unlock(seg, &c->lock) != 0 || tarn_close(seg) != 0 || tarn_unlink("posix:/a") != 0;
}
C
cp "$dir/use.c" "$dir/use.cc"
flags=(-pedantic -Wall -Wextra -Werror -I "$include")
"$cc" -std=c11 -Wshadow "${flags[@]}" -o "$dir/c" "$dir/use.c" "$library" -Wl,-rpath,"$(dirname "$library")"
"$dir/c"

if ! command -v "$cxx" >/dev/null; then
    echo "no C++ compiler ($cxx): only C was tried"
    exit 0
fi
# without -Wshadow: tarn_stat is a struct and a function, as stat is, and C++ calls that hiding a constructor
"$cxx" -std=c++17 "${flags[@]}" -o "$dir/cc" "$dir/use.cc" "$library" -Wl,-rpath,"$(dirname "$library")"
"$dir/cc"
