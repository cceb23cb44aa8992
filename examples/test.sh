#!/usr/bin/env bash
# test.sh PROGRAM: run an example as its reader would, and compare what it prints. Objects go to a directory of its own.
set -uo pipefail
program=$1 name=$(basename "$1")
TARN_SHM_DIR=$(mktemp -d /dev/shm/tarn-example-XXXXXX) || exit 1
export TARN_SHM_DIR
trap 'rm -rf "$TARN_SHM_DIR"' EXIT

fail() { printf 'examples: %s: %s\n' "$name" "$*" >&2; exit 1; }

# expect STATUS OUTPUT ARGUMENTS...: the program says just this, and ends so
expect() {
    local status=$1 want=$2 out got
    shift 2
    out=$("$program" "$@")
    got=$?
    [[ $got -eq $status ]] || fail "exit status $got, not $status, of: $name $*"
    [[ $out == "$want" ]] || fail "$name $* printed: $out"
}

case $name in
counter)
    expect 0 "hit 1"
    expect 0 "hit 2"
    ;;
section)
    expect 0 "a transfer of 30:         70 + 30
the child was killed at:  20 + 30
under the lock again:     70 + 30
open sections undone:     1"
    ;;
grow)
    out=$("$program") || fail "exit status $?"
    [[ $out =~ ^"child:  attached, 1 MiB"$'\n'"parent: allocated, "([0-9]+)" MiB"$'\n'"child:  still attached, "([0-9]+)" MiB; it reads: written after the child attached"$ ]] ||
        fail "it printed: $out"
    [[ ${BASH_REMATCH[1]} -ge 8 && ${BASH_REMATCH[2]} -eq ${BASH_REMATCH[1]} ]] || fail "it did not grow: $out"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
list)
    expect 0 "the other process did jobs for 5050
left in the list: none"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
tree)
    expect 0 "from 12:00 to 13:00:
  12:05 lunch
  12:40 coffee
after 12:00 comes 12:05, before it 09:30
in the morning:
  09:30 mail
  08:00 tea
left in the diary: 4 entries"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
ring)
    expect 0 "the first was killed with 500 in hand
all are in the sum: 500500, and 1 was received again"
    ;;
send)
    expect 0 "helper: it reads: look, but do not touch
helper: to write, it has no right
parent: afterwards it is gone"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
guard)
    export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0 # it strays on purpose
    expect 0 "client: reads a price: 42; a write would be SIGSEGV
client: caught: a write to the prices
market: the client was ended by a signal; the price is 42
market: and now 43"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
cameras)
    expect 0 "viewer: the second camera was killed in the midst of a frame; another goes on
viewer: 12 frames of the first camera, 12 of the second; 0 lost, 0 skipped, 0 broken"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
jobs)
    expect 0 "a worker was killed with job 3 in hand
another one did job 3, which somebody had begun
12 jobs done, the urgent one first"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
phonebook)
    expect 0 "another process:        4 people; Ada is there
killed in the midst:    4 people; Grace is not there
the same, and committed: 5 people; Grace is there"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
array)
    expect 0 "the child was killed while it appended
the array is whole
one number more was appended"
    [[ -z $(ls -A "$TARN_SHM_DIR") ]] || fail "it left its name"
    ;;
command-server)
    url=posix:/commands
    # started anew until one ends by itself, or for half a minute
    serve() {
        local end=$((SECONDS + 30))
        while ((SECONDS < end)); do
            timeout 30 "$program" "$url" serve 2>/dev/null && return 0
        done
    }
    serve 2>/dev/null &
    expect 0 "add 2 3: 5
upper shared memory: SHARED MEMORY
dance: no such command
crash: the server died
add 20 3: 23
crash-once: done by the second server" "$url" ask "add 2 3" "upper shared memory" dance crash "add 20 3" crash-once
    # clients that are killed, and servers, while others ask
    for i in {1..20}; do
        timeout -s KILL 0.05 "$program" "$url" ask crash "add 1 1" >/dev/null 2>&1
        expect 0 "add $i 1: $((i + 1))" "$url" ask "add $i 1"
    done
    expect 0 "quit: the server ends" "$url" ask quit
    wait
    [[ $(ls -A "$TARN_SHM_DIR") == commands ]] || fail "it left more than its segment: $(ls -A "$TARN_SHM_DIR")"
    ;;
*) fail "no test for this example" ;;
esac
