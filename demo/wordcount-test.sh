#!/usr/bin/env bash
# wordcount-test.sh WORDCOUNT BACKING TEXT...: a short run of the demo, and of its ways out. Each check names what it found.
set -uo pipefail
wordcount=$1 backing=$2
shift 2

fail() { printf 'wordcount-test: %s\n' "$*" >&2; exit 1; }
children() { grep -ls "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | cut -d/ -f3; } # no ps: it may not be installed
field() { sed -n "s/^RESULT .*\b$1=\([a-z0-9]*\).*/\1/p" <<<"$out"; }

# 30 kills: every word counted exactly once, nothing leaked, and the killer met open sections
out=$("$wordcount" --backing "$backing" --kills 30 --text "$@") || fail "exit status $?: $out"
printf '%s\n' "$out"
[[ $(tail -n 1 <<<"$out") == "RESULT backing=$backing "* ]] || fail "the last line is no RESULT"
[[ $(field kills) == 30 ]] || fail "not 30 kills"
[[ $(field mismatches) == 0 && $(field leaked_bytes) == 0 ]] || fail "mismatches or leaks, and yet the exit status was 0"
[[ $(field undone) -ge 3 ]] || fail "only $(field undone) kills of 30 met an open section"
[[ $(field recovered) -ge $(field undone) && $(field recovered) -le 30 ]] || fail "$(field recovered) recovered of 30"

# interrupted: says so by its status, and takes its workers and its name along
"$wordcount" --backing "$backing" --kills 100000 --text "$@" >/dev/null 2>&1 &
demo=$!
for ((i = 0; i < 400; i++)); do
    mapfile -t workers < <(children "$demo")
    [[ ${#workers[@]} -lt 2 ]] || break
    sleep 0.05
done
[[ ${#workers[@]} -ge 2 ]] || fail "no workers were started"
kill -TERM "$demo"
wait "$demo"
status=$?
[[ $status -eq 143 ]] || fail "exit status $status after SIGTERM"
for worker in "${workers[@]}"; do
    ! kill -0 "$worker" 2>/dev/null || fail "worker $worker outlived it"
done
[[ -z $(find /dev/shm "${TMPDIR:-/tmp}" -maxdepth 1 -name "tarn-demo-$demo*" 2>/dev/null) ]] || fail "it left its name"
key=$(printf '0x%08x' $((0x74000000 + demo)))
[[ $backing != sysv ]] || ! grep -q "^ *$((key))\b" /proc/sysvipc/shm || fail "it left its key"

# wrong arguments
for arguments in "--backing shm" "--kills" "--kills -1" "--workers 0" "--workers 33" "--nothing" "--text"; do
    # shellcheck disable=SC2086 # words
    "$wordcount" $arguments >/dev/null 2>&1
    status=$?
    [[ $status -eq 2 ]] || fail "exit status $status of: wordcount $arguments"
done
"$wordcount" --help | grep -q '^usage: wordcount' || fail "--help does not help"
exit 0
