#!/usr/bin/env bash
# test.sh NAME PLAIN TARN: run a program of the textbook, and the same on tarn, as their readers would, and compare what they print. All of it in an IPC
# and a mount namespace of its own, with a small tmpfs at /dev/shm: the programs have fixed keys and names. Skipped where that is not allowed.
set -uo pipefail
if [[ ${TARN_TEXTBOOK_INSIDE:-} != yes ]]; then
    export TARN_TEXTBOOK_INSIDE=yes
    as_root=()
    [[ $EUID -eq 0 ]] || as_root=(--map-root-user)
    unshare "${as_root[@]}" --ipc --mount true 2>/dev/null ||
        { echo "textbook: skipped: no IPC and mount namespaces of one's own are allowed here" >&2; exit 77; }
    exec unshare "${as_root[@]}" --ipc --mount bash "$0" "$@"
fi
name=$1 plain=$2 ours=$3
unset TARN_SHM_DIR
mount -t tmpfs -o size=16m tmpfs /dev/shm || exit 77
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT

fail() { printf 'textbook: %s: %s\n' "$name" "$*" >&2; exit 1; }

# says WANT PROGRAM ARGUMENTS...
says() {
    local want=$1 out
    shift
    out=$(timeout 60 "$@") || fail "exit status $? of: $*"
    [[ $out == "$want" ]] || fail "$* printed: $out"
}

if [[ $name == raw ]]; then
    for url in posix:/raw sysv:5678 "file:$directory/raw"; do
        says "visit 1" "$ours" "$url"
        says "visit 2" "$ours" "$url"
        [[ $url != sysv:* ]] || says "visit 3" "$plain" # the same memory
        says "" "$ours" -r "$url"
        says "visit 1" "$ours" "$url"
        says "" "$ours" -r "$url"
    done
    says "visit 1" "$ours" anon:
    says "visit 1" "$ours" sysv:private
    says "visit 1" "$plain"
    says "visit 2" "$ours" sysv:5678
    [[ -z $(ls -A /dev/shm) && ! -e $directory/raw ]] || fail "it left its name"
    exit 0
fi
for program in "$plain" "$ours"; do
    case $name in
    sysv)
        says "visit 1" "$program"
        says "visit 2" "$program"
        says "" "$program" remove
        says "visit 1" "$program"
        says "" "$program" remove
        [[ $(ipcs -m | grep -c '^0x') -eq 0 ]] || fail "it left its memory"
        ;;
    posix)
        says "" "$program" "the first text"
        says "the first text" "$program"
        says "" "$program" "another one"
        says "another one" "$program"
        says "" "$program" -r
        [[ -z $(ls -A /dev/shm) ]] || fail "it left its name"
        ;;
    file)
        says "1 1 1 1 1 1 1 1 1 1" "$program" "$directory/$(basename "$program")"
        says "2 2 2 2 2 2 2 2 2 2" "$program" "$directory/$(basename "$program")"
        ;;
    anon) says "the child's sum is 5050" "$program" ;;
    mutex)
        if [[ $program == "$plain" ]]; then
            says $'counted 200000\nits owner died: locked for ever' "$program"
        else
            says $'counted 200000\nits owner died: locked, and told so' "$program"
        fi
        ;;
    semaphore)
        if [[ $program == "$plain" ]]; then
            says "who had the unit died: it is gone for ever" "$program"
        else
            says "who had the unit died: it came back" "$program"
        fi
        ;;
    condition)
        if [[ $program == "$plain" ]]; then # what it prints is glibc's affair: it must only come to its end, and have tried
            out=$(timeout 60 "$program") || fail "exit status $? of: $program"
            [[ $out == "signal 1: "* ]] || fail "$program printed: $out"
        else
            says $'signal 1: received\nsignal 2: received\nsignal 3: received' "$program"
        fi
        ;;
    *) fail "no test for this program" ;;
    esac
done
