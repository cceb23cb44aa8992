/* tarn.h - shared memory in which any thread of any process may be SIGKILLed at any instruction, and the others go on.
 *
 * Read this first
 * - A *segment* is memory that several processes attach; `tarn *` is one process's handle on it, shared by its threads, and
 *   counted: two opens of one segment in one process share one mapping. Inside it, memory is named by *refs* (`tarn_ref`,
 *   offsets that mean the same everywhere), never by pointers: pointers are good in one process, while it is attached.
 * - Each thread that changes a segment is a *participant* of it, from its first lock, section, allocation or read pin on
 *   (or tarn_thread_attach) until it ends (or tarn_thread_detach). What it holds when it dies is undone or released by the
 *   others, before anybody sees it.
 * - What must happen wholly or not at all stands in a *section*: tarn_begin, then tarn_save before each change, then
 *   tarn_commit. A store that was not saved first is not undone. Locks unlocked inside a section are given up at its end.
 * - A lock that comes with TARN_RECOVERED (a positive result) had a holder who died between lock and unlock, outside a
 *   section: what it guards may be half-done. Mend it, and call tarn_mutex_consistent; else the next one is told too.
 * - Results are 0, or positive for success with news, or a negative errno. Results come through the last `ret_` parameters,
 *   which are untouched on failure. tarn_error() says the last failure of the calling thread as a sentence.
 * - Nothing here is async-signal-safe; no call is a cancellation point; system calls interrupted by signals are restarted.
 *   The library prints nothing, never exits, installs no signal handler that it was not asked for, and starts no thread unasked.
 *
 * Open by nature
 * - Whoever may write a POSIX object or a file may truncate it, which is SIGBUS for the rest (memfd and anon segments are sealed).
 *   So is a disk that fails, and a file system that writes elsewhere what is written over, once it is full.
 * - A participant's liveness is a robust pthread mutex in the segment, in which glibc keeps raw list pointers: a *hostile*
 *   process with a writable attachment can turn these into a write in another process when that one leaves. Give write
 *   access only to processes that you would let crash you.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TARN_H
#define TARN_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARN_VERSION "0.1.0"

/* The symbols below are all that the shared library exports. */
#define TARN_API __attribute__((visibility("default")))

/* ---- types ---------------------------------------------------------------------------------------------------------- */

/* One process's handle on a segment. Private memory; any thread may use it; gone after the last tarn_close. */
typedef struct tarn tarn;

/* Offset in bytes of an object from the segment's first byte; 0 is null. Below 2^48. Lives in segments. */
typedef uint64_t tarn_ref;

/* A positive result of the lock calls: the last holder died with the lock held; see tarn_mutex_consistent. */
#define TARN_RECOVERED 1

/* What a named object is: its C name, size in bytes and a version that its owners count. Two programs that disagree on any
 * of the three are kept apart (-EPROTO). */
struct tarn_type {
    const char *name; /* 1 to 63 bytes */
    uint64_t size;    /* in bytes, 1 or more */
    uint32_t version;
};
#ifdef __cplusplus
#define TARN_TYPE_V(type, v) (tarn_type{#type, sizeof(type), static_cast<uint32_t>(v)})
#else
#define TARN_TYPE_V(type, v) ((struct tarn_type){#type, sizeof(type), (v)})
#endif
#define TARN_TYPE(type) TARN_TYPE_V(type, 0)

/* A mutex, for a segment's memory. Zeroed bytes are an unlocked one; needs no initialisation and no destruction.
 * owner:   0 free | {dirty:1, generation:15, participant:16}; stored by its holder only, taken by compare-and-swap only.
 * waiters: 0 | somebody sleeps. (After 'Futexes are tricky', U. Drepper, but with an unlock that needs no atomic.) */
typedef struct tarn_mutex {
    uint32_t owner __attribute__((aligned(8)));
    uint32_t waiters;
} tarn_mutex;

/* The other objects of synchronisation, for a segment's memory, aligned to 8. Zeroed bytes are a good one of each: a free rwlock, a condition that
 * nobody waits for, a semaphore without units, a barrier of whoever comes, something not done yet, an event that is not set. Their fields belong to
 * the library; what they mean is at the top of its sources. */
typedef struct tarn_rwlock {
    uint32_t owner __attribute__((aligned(8)));
    uint32_t waiters, drain, flags;
    uint64_t slow, fast;
    uint32_t reads, reserved;
} tarn_rwlock;

typedef struct tarn_condition {
    uint32_t turn __attribute__((aligned(8)));
    uint32_t waiting;
} tarn_condition;

typedef struct tarn_semaphore {
    uint32_t word __attribute__((aligned(8)));
    uint32_t reserved;
} tarn_semaphore;

typedef struct tarn_held {
    uint32_t available __attribute__((aligned(8)));
    uint32_t units;
    tarn_mutex lock;
    uint32_t deaths, counted, sleepers, over;
} tarn_held;

typedef struct tarn_barrier {
    uint32_t turn __attribute__((aligned(8)));
    uint32_t parties;
    tarn_mutex lock;
    uint32_t flags, reserved[3];
} tarn_barrier;

typedef struct tarn_once {
    tarn_mutex lock;
    uint32_t done, reserved;
} tarn_once;

typedef struct tarn_event {
    uint32_t word __attribute__((aligned(8)));
    uint32_t reserved;
    uint64_t listener;
} tarn_event;

/* ---- segments ------------------------------------------------------------------------------------------------------- */

/* Flags of tarn_open and tarn_open_fd */
#define TARN_CREATE 0x1u /* make it if it is not there */
#define TARN_EXCL 0x2u   /* with TARN_CREATE: -EEXIST if it is there */
#define TARN_RDONLY 0x4u /* map it read-only: no byte of it is written; not with TARN_CREATE */
#define TARN_PRIVATE                                                                                         \
    0x10u /* a copy of one's own, as it is now: what is written there nobody sees, and it is put right first. For looking, and for what-if.
           * -EBUSY while others have it attached for writing (sysv: at all); who comes later may still change pages not written here */
#define TARN_EXEC 0x20u /* what is in it may be executed */
#define TARN_RAW                                                                                             \
    0x40u /* not a segment: an object's bytes as they are, at tarn_base; nothing is promised but the mapping. With TARN_CREATE it makes an object
           * of raw_length zeros. For tarn_open_fd: all of it. Every call that wants a segment is -EINVAL */
#define TARN_FOREIGN                                                                                         \
    0x8u /* also if it belongs to (of System V: or was made by) another user than this process's and root: that one can crash this process */
#define TARN_NO_GROWTH 0x800u /* tarn_send, tarn_receive: without the right to grow it */

/* When a segment ends by itself: its name is removed, and who has it attached goes on. Options of a creation */
#define TARN_UNTIL_UNLINKED 0u /* it does not: tarn_unlink removes its name */
#define TARN_UNTIL_UNUSED                                                                                    \
    1u /* when its last user closes it, or was killed: nobody has it attached any more */
#define TARN_UNTIL_CREATOR 2u /* when the process that made it ends, or closes it */

/* options.raw_protection */
#define TARN_PROT_READ 1u
#define TARN_PROT_WRITE 2u /* and reading, as the machine has it */
#define TARN_PROT_EXEC 4u
#define TARN_PROT_NONE 8u /* alone: neither */

/* options.huge, tarn_stat.huge */
#define TARN_HUGE_TRANSPARENT                                                                                \
    1u /* data space lies so that the kernel can map it by huge pages, and is asked to: where it can, also of what is added later */
#define TARN_HUGE_RESERVED                                                                                   \
    2u /* memfd:, anon:, sysv:: all of it in huge pages that the machine keeps for this (vm.nr_hugepages). If there are not enough, or another backing: as
        * TARN_HUGE_TRANSPARENT, which tarn_stat tells */

/* options.numa: on which of `nodes` memory is taken, by whoever it is committed, for as long as the segment lasts */
#define TARN_NUMA_BIND 1u       /* on these and no others */
#define TARN_NUMA_INTERLEAVE 2u /* page by page on one after the other */
#define TARN_NUMA_PREFER 3u     /* on the first of them, if it has room */

/* Options of a creation; a segment that exists keeps its own. Zero the struct, set size to sizeof, and what you want;
 * 0 in a field means the default. */
struct tarn_options {
    size_t size;      /* sizeof(struct tarn_options) */
    uint64_t initial; /* bytes of data space committed at once; default 1 MiB; rounded up to spans */
    uint64_t limit; /* bytes of data space it may grow to, 64 KiB to 2^46; default 16 GiB (address space, not memory) */
    void *address; /* also at opening: map it there, a multiple of a page, or nowhere (-EADDRINUSE); default: anywhere */
    uint64_t nodes;                  /* with numa: a bit for each node, from bit 0 on */
    uint64_t raw_offset, raw_length; /* TARN_RAW, also at opening: which bytes; a length of 0: to the object's end */
    uint32_t raw_protection; /* ... and for what: of TARN_PROT_; default: reading, and writing unless TARN_RDONLY */
    uint32_t mode;         /* permission bits; default 0600 (the umask is not applied to what you ask for) */
    uint32_t participants; /* most threads at one time, 1 to 4096; default 64 */
    uint32_t record_size;  /* bytes of a participant's record, power of two, 2048 to 65536; default 8192 */
    uint32_t span_size;    /* bytes of a span, power of two, 4096 to 65536; default 65536 */
    uint32_t exchange_unlock; /* 1: unlock by an atomic exchange, for processes that cannot register for membarrier */
    uint32_t uninitialized; /* 1: tarn_alloc and tarn_alloc_into do not clear blocks: they show what was there before. For speed */
    uint32_t copy_on_write; /* 1: file: also on btrfs, ZFS and the like, where a later write may find no room: that is a SIGBUS */
    uint32_t same_address; /* 1: everybody maps it at one address, or fails to: plain pointers into it are good. Up to 2 TiB with its tables */
    uint32_t locked; /* 1: whoever attaches it keeps it in memory (as mlock, page by page): RLIMIT_MEMLOCK must allow its limit */
    uint32_t dumped;   /* 1: not left out of core dumps, which delay the notice of a death */
    uint32_t prefault; /* 1: what is committed is mapped when it is attached, and what is committed later by who commits it, not at first use */
    uint32_t lifetime; /* TARN_UNTIL_UNLINKED (default), TARN_UNTIL_UNUSED, TARN_UNTIL_CREATOR: see below, 'lifetimes' */
    uint32_t huge; /* TARN_HUGE_; default: pages of the usual size */
    uint32_t numa; /* TARN_NUMA_; not of a file: on a disk (-EOPNOTSUPP). Default: where who first touches it runs, or commits it */
    uint32_t reserved[5]; /* 0 */
};

/* Lifetimes. TARN_UNTIL_UNUSED: the last tarn_close removes the name; if the last user was killed, the next to come does: tarn_open finds the segment as if
 * it were not there (-ENOENT, or makes it anew), and tarn rm removes it. A user is who has it attached, to read it too, a forked child, and a
 * segment on its way by tarn_send. A child made by raw clone shares its parent's part. TARN_UNTIL_CREATOR: the creator's end, his exec, or his last
 * tarn_close ends it, in the same manner; of sysv: his exec is not seen, nor from another PID namespace his end. Segments without a name (memfd:, anon:,
 * sysv:private) are there as long as somebody has them, whatever is said; tarn_current tells of their creator's end. */

/* tarn_open - open the segment that a URL names.
 *   posix:/name     a POSIX shared memory object: lives until unlinked or the machine stops
 *   sysv:KEY        System V shared memory, by a key of 32 bits (5678, 0x162e): the same. From another PID namespace deaths are reported
 *                   (tarn_participants), and recovered by somebody of the dead one's own
 *   sysv:private    the same without a key: for children by fork, gone with its last user; needs TARN_CREATE
 *   file:PATH       a file: survives reboots. A relative path is taken from the working directory at the call. Its last tarn_close brings all to
 *                   the disk and marks it clean; whoever opens it after a reboot, or as a copy, puts right what the dead left. In use when the
 *                   machine stopped or when it was copied, it is refused (-EUCLEAN) until tarn_repair. Local file systems that write in
 *                   place only; on those that copy on write, see copy_on_write
 *   memfd:label     a new memfd, sealed against shrinking; needs TARN_CREATE; others get it by descriptor (tarn_fd)
 *   anon:           the same, for children by fork; needs TARN_CREATE
 * With TARN_CREATE, of many racing callers one makes it, whole before anybody sees it, and the others open it.
 * Any thread, any time. 0, or
 *   -EINVAL  URL, flags or an option out of range        -ENOENT  not there, no TARN_CREATE    -EEXIST  there, TARN_EXCL
 *   -EACCES  no permission (tarn_error names owner and mode), or owned (of System V: or made) by another user than this one and root
 *   -EPROTO  not a segment, or made by another version or with another layout (tarn_error names the field)
 *   -EADDRINUSE  the address asked for, or recorded, is taken in this process (tarn_error shows by what), or where its stack may grow
 *   -EUCLEAN truncated or damaged; file: in use when the machine stopped, or when it was copied
 *   -EROFS   file: mounted read-only: say TARN_RDONLY    -EOPNOTSUPP  file: not on this file system (tarn_error says why)
 *   -EIO     file: the disk failed                       -ENOSPC -ENOMEM  the backing's or the process's limit (named)
 *   -EBUSY   TARN_PRIVATE: it is attached for writing; address: this process has it at another; sysv: its maker is stopped; file: who puts it right is stopped, or kept from it by a reader's lock;
 *            who opens or ends one that ends by itself is stopped
 *   -ENAMETOOLONG, -EMFILE, -ENFILE, -ENOSYS as the system says. */
TARN_API int tarn_open(const char *url, unsigned flags, const struct tarn_options *options, tarn **ret_seg);

/* tarn_open_fd - attach the segment behind a descriptor (received over a socket, inherited, or of /proc/PID/fd).
 * flags: of TARN_RDONLY, TARN_PRIVATE, TARN_EXEC, TARN_RAW, TARN_FOREIGN. The descriptor stays the caller's, who may close it. Errors as tarn_open, and -EBADF. */
TARN_API int tarn_open_fd(int fd, unsigned flags, tarn **ret_seg);

/* tarn_close - give the handle up; the last of a process's counted handles unmaps. NULL is nothing, and 0.
 * The calling thread's participation ends. -EBUSY, and nothing done: the calling thread has a section open or a lock held,
 * or other threads of this process still take part. In a forked child, closing affects the child only.
 * file: -EIO, -ENOSPC: it is closed, but could not be brought to the disk, and is not marked clean. */
TARN_API int tarn_close(tarn *seg);

/* tarn_unlink - remove the name. The memory goes when its last user has. -ENOENT, -EACCES, -EINVAL (no name to remove:
 * memfd:, anon:), -EPROTO (there is something under this name which is no segment: left alone). */
TARN_API int tarn_unlink(const char *url);

/* tarn_current - does the segment's name still lead here? 0, or -ESTALE: it was unlinked or made again; or it ends with its creator, and
 * he has ended. A segment without a name (memfd:, anon:, opened by descriptor) is current unless marked unlinked. */
TARN_API int tarn_current(tarn *seg);

/* tarn_fd - the descriptor of the backing, open as long as the handle, to pass on; do not close it, do not write to it. -1: it has none
 * (sysv:). */
TARN_API int tarn_fd(tarn *seg);

/* tarn_base - where this process has the segment's first byte; of a TARN_RAW attachment, the first byte asked for. */
TARN_API void *tarn_base(tarn *seg);

/* tarn_unlink_raw - as tarn_unlink, whatever is under the name. */
TARN_API int tarn_unlink_raw(const char *url);

/* tarn_flush - bring it to the disk, with its name if the handle knows one. For who wants to be sure before the last tarn_close, which does the
 * same. A segment that is in use is refused after a power loss all the same: see file: of tarn_open. Nothing to do, and 0, for what ends
 * with the machine. Any thread, any time, also on TARN_RDONLY. -EIO, -ENOSPC as the disk says; -EACCES: its directory. */
TARN_API int tarn_flush(tarn *seg);

/* tarn_set_mode, tarn_set_owner - the permission bits (0 to 0777) and the owner of the backing, as chmod and chown; UINT32_MAX leaves uid or gid as it
 * is. Who has it attached keeps it. Who begins to take part after he lost the right to open it does so without a byte lock (claimless in
 * tarn_participants). 0; -EPERM: only its owner or root may (named); -EINVAL; -EROFS as the file system says. Any thread, also on TARN_RDONLY. */
TARN_API int tarn_set_mode(tarn *seg, uint32_t mode);
TARN_API int tarn_set_owner(tarn *seg, uint32_t uid, uint32_t gid);

/* tarn_set_limit - from now on nobody grows it beyond `bytes` of data space (rounded up to spans; at most options.limit, which is stamped); 0: the stamped
 * limit holds again. What is committed already stays, so a limit below that stops growth. May be called again at any time, up and down. A growth
 * under way may still end. 0; -EINVAL: beyond the stamped limit; -EROFS; -EPERM: received with TARN_NO_GROWTH. */
TARN_API int tarn_set_limit(tarn *seg, uint64_t bytes);

/* tarn_send - pass the segment over a connected unix socket (stream, seqpacket or datagram), in one message; to be taken from there by tarn_receive.
 * flags: TARN_RDONLY: to be read only (what is sent is a descriptor that cannot write); TARN_NO_GROWTH: to be written, but not grown. Rights only shrink:
 * what this handle may not do is not passed on. The owner of a segment can open it anew with all rights, whatever was sent to him; and who may
 * write it is kept from growing it by the library alone. sysv: has no descriptors: its id is sent, and its mode decides what can be done. 0;
 *   -EINVAL flags, or no unix socket    -ENOTSOCK -EBADF   -ENOTCONN   -EPIPE the other end is closed (no SIGPIPE is sent)
 *   -EAGAIN a non-blocking socket is full   -ETOOMANYREFS -ENOBUFS -EMFILE -ENOSYS as the system says */
TARN_API int tarn_send(tarn *seg, int socket, unsigned flags);

/* tarn_receive - attach the segment that comes next over a unix socket; waits for it, unless the socket is non-blocking. flags: TARN_RDONLY,
 * TARN_NO_GROWTH: use less than what was sent; TARN_FOREIGN: also from another user's process, and of another's. If this process has it already,
 * the handle is that one, counted; of the right to grow, it has what any of the opens brought. A segment that has lost its name meanwhile can
 * be received all the same: tarn_current tells. 0; errors as tarn_open_fd, and
 *   -EPROTO  not a message of tarn_send (which is consumed; all descriptors that came are closed)
 *   -EACCES  another user's, without TARN_FOREIGN    -ESTALE another segment than the one sent    -EPIPE the other end is closed
 *   -EAGAIN  nothing there yet, non-blocking         -EMFILE -ENOTSOCK -EINVAL  no room for its descriptor; no unix socket */
TARN_API int tarn_receive(int socket, unsigned flags, tarn **ret_seg);

/* What tarn_stat tells. Counts are a snapshot, taken without locks. */
struct tarn_stat {
    uint8_t uuid[16];          /* of this creation */
    char backing[8];           /* "posix", "sysv", "file", "memfd", "anon" */
    uint32_t version, options; /* of the layout */
    uint32_t mode, uid, gid;   /* of the backing */
    uint32_t unlinked;         /* its name was removed */
    uint64_t total, limit; /* bytes now committed; bytes it may become; both with the segment's own tables. TARN_RAW: bytes mapped */
    uint64_t address;                 /* at which everybody maps it (same_address), or 0 */
    uint64_t data, spans, spans_free; /* bytes of data space committed; spans in it; spans nobody owns */
    uint64_t allocated, limbo, free_bytes; /* bytes in blocks: allocated, freed or retired and not yet free, free */
    uint32_t participants, most;           /* records in use; most */
    uint32_t dead;                         /* of them dead and not yet recovered */
    uint32_t span_size, record_size;       /* bytes */
    uint64_t recovered, undone; /* participants recovered since creation; open sections found and undone */
    uint64_t created;           /* seconds since 1970 */
    uint64_t growth;            /* bytes that it may become now: as `limit`, or less, by tarn_set_limit */
    uint32_t lifetime;          /* TARN_UNTIL_UNLINKED, ... */
    uint32_t creator;           /* process id of who made it, in its PID namespace */
    uint32_t huge;              /* TARN_HUGE_: what it has, which may be less than what was asked for; or 0 */
    uint32_t build_id_size;     /* bytes of build_id; 0: not known */
    uint8_t build_id[32]; /* of the program that made it, as its linker gave it (readelf -n): 32 bytes at most */
};
TARN_API int tarn_stat(tarn *seg, struct tarn_stat *ret_stat);

/* tarn_participants - call back for each record in use. state: 'l' live, 'd' dead, 'u' dead by the kernel's word, which is not enough (of another
 * PID namespace, where the backing has no descriptors: sysv:): its own namespace's must recover it. waits: ref of the mutex it waits for, or 0.
 * A positive or negative result of the callback ends the walk and is returned. */
struct tarn_participant {
    uint32_t id, pid, tid;
    char state;
    uint8_t section_open, claimless, reserved;
    uint32_t locks_held;
    uint32_t reserved1;
    tarn_ref waits;
    uint64_t since; /* ns since 1970: when it began to take part */
};
TARN_API int tarn_participants(tarn *seg, int (*each)(const struct tarn_participant *p, void *arg), void *arg);

/* tarn_why - the flight recorder: call back for each of the last events of every participant, those of the dead included, until they are written over (each
 * has room for record_size / 512 of them). Of one participant the oldest comes first; sort by `when` for the whole story. They cost nothing that is
 * done often, and a death in the middle of one loses that one. Returns 0, or what `each` returned, if that was not 0, which ends it. Any thread, also on
 * TARN_RDONLY; a look without a lock. What a hostile writer wrote comes out as some event. (As an aeroplane's recorder: it survives its writer.)
 *   TARN_TRACE_ATTACH   it took part: pid, tid, text: the thread's name
 *   TARN_TRACE_LEAVE    it left in good order
 *   TARN_TRACE_ABANDON  its thread ended with a lock held, a section open or a reader's pin set: as if it had died
 *   TARN_TRACE_GROW     it made the data space greater: from, to (bytes)
 *   TARN_TRACE_HELD     it recovers `other` (of process pid), who held ref; `want`: or was about to take it, or to give it up. The first three of each
 *   TARN_TRACE_RECOVER  it has recovered `other` (of process pid), in so many microseconds; held: how many locks and the like that one had; section_open:
 *                       a section was undone, of so many words in the log; section_committed: one was finished
 *   TARN_TRACE_LOCK     a lock came to it with TARN_RECOVERED: ref
 *   TARN_TRACE_ERROR    a call failed for it: error (negative), `times` in a row; text: the beginning of tarn_error. Not -EINVAL, -ENOENT, -EEXIST,
 *                       -EAGAIN, -EBUSY, -EDEADLK, -ETIMEDOUT. Told to the segment that the thread had used last */
enum tarn_trace_kind {
    TARN_TRACE_ATTACH = 1,
    TARN_TRACE_LEAVE,
    TARN_TRACE_ABANDON,
    TARN_TRACE_GROW,
    TARN_TRACE_HELD,
    TARN_TRACE_RECOVER,
    TARN_TRACE_LOCK,
    TARN_TRACE_ERROR,
};
struct tarn_trace {
    uint64_t when;        /* ns since 1970 */
    uint32_t participant; /* whose event it is: id */
    uint32_t kind;        /* enum tarn_trace_kind, or one of a later version */
    uint32_t number;      /* counts the events of one record, whoever has it: 24 bits */
    uint32_t pid, tid;
    uint32_t other;
    tarn_ref ref;
    uint64_t from, to;
    uint32_t microseconds, held, words, times;
    int32_t error;
    uint8_t want, section_open, section_committed, reserved;
    char text[40]; /* ends with 0 */
};
TARN_API int tarn_why(tarn *seg, int (*each)(const struct tarn_trace *t, void *arg), void *arg);

/* tarn_recover - look at every participant, and recover those that are dead, now. Happens by itself as soon as somebody meets
 * a dead one's lock, or needs a record or memory. When it returns, all who were dead at its call are recovered, by this thread or
 * by another; so whoever takes over what no lock of the library's guards (a slot of its own that a dead process had, say) calls it first: the
 * undo of the dead one's section may be under way in another process. Returns how many this thread recovered, or a negative errno; -EBUSY: another is at one of them, and does not come on (it
 * is stopped: tarn_participants names it). */
TARN_API int tarn_recover(tarn *seg);

/* tarn_error - the calling thread's last failure as a sentence: cause, object, holder, what to do. Never NULL; valid until the
 * thread's next failing call. */
TARN_API const char *tarn_error(void);

/* A damage that tarn_check found: where, and what. */
struct tarn_damage {
    tarn_ref ref; /* of the damaged thing */
    const char *what; /* a sentence, with the name of the collection or channel in which it is; valid during the callback */
};

/* tarn_check - walk everything, read-only, taking no lock and following no ref that it has not checked; bounded by the size of
 * the segment, whatever its bytes. Calls `each` for every damage (NULL: only count). Also on TARN_RDONLY. While others work, what
 * is in motion is looked at twice before it is called damaged. Returns the number of damages, or a negative errno. */
TARN_API int tarn_check(tarn *seg, int (*each)(const struct tarn_damage *d, void *arg), void *arg);

/* tarn_leaked - bytes of allocated blocks that nothing known reaches: no named object, name, map or record. Named objects
 * themselves count as reached; what the user's own objects point to is not known, so it counts here, as does what open sections
 * have allocated. Exact while nobody works; takes no lock; also on TARN_RDONLY. 0, -ENOMEM. */
TARN_API int tarn_leaked(tarn *seg, uint64_t *ret_bytes);

/* tarn_repair - put a file: segment right that tarn_open refuses with -EUCLEAN because it was in use when the machine stopped, or when it was copied.
 * Nobody may have it attached for writing meanwhile. All participants are taken for dead and recovered; names that lead to no whole object
 * are unbound, locks of our own that nobody can have are freed; then all is checked as by tarn_check. `each` (NULL: only count) is called for
 * what was mended ("mended: ..."), and for each damage that is left. Returns how many are left: 0 is a segment whose structure is sound, which opens
 * again; what the *values* in it are is another matter, for pages may have reached the disk in any order. With damages left it stays refused.
 * Killed at any point, it can be run again. What the header's sum or the file's length says is wrong cannot be repaired.
 *   -EUCLEAN -EPROTO -EACCES -ENOENT -EINVAL (not file:) as tarn_open; -EBUSY: it is in use; -EROFS; -EIO; -ENOMEM. A result of `each` other than 0
 *   ends it, is returned, and leaves the segment refused. */
TARN_API int tarn_repair(const char *url, int (*each)(const struct tarn_damage *d, void *arg), void *arg);

/* ---- threads -------------------------------------------------------------------------------------------------------- */

/* tarn_thread_attach - take part from now on. Otherwise the first call that needs it does it. 0 (also if it takes part
 * already), -EUSERS: as many participants as the segment was made for; -EROFS: read-only; -ENOMEM. */
TARN_API int tarn_thread_attach(tarn *seg);

/* tarn_thread_detach - end the calling thread's part, early; a thread's end does it otherwise. -EBUSY: a section is open, a
 * lock held. 0 if it takes no part. */
TARN_API int tarn_thread_detach(tarn *seg);

/* ---- refs and pointers ---------------------------------------------------------------------------------------------- */

/* tarn_ptr - this process's address of `size` bytes at ref, or NULL if ref is 0 or any of the bytes is not committed. */
TARN_API void *tarn_ptr(tarn *seg, tarn_ref ref, size_t size);

/* tarn_ref_of - the ref of an address inside the segment's committed bytes, or 0. */
TARN_API tarn_ref tarn_ref_of(tarn *seg, const void *address);

/* ---- address translation ---------------------------------------------------------------------------------------------- */

/* What an access would do now, in that process. */
#define TARN_ACCESS_NOTHING 0u /* the processor finds the page: no fault */
#define TARN_ACCESS_MINOR 1u /* a fault that needs no input: an entry in the page table, or a page, is made */
#define TARN_ACCESS_MAJOR 2u /* ... that waits for a disk: its page is swapped out, or not read yet */
#define TARN_ACCESS_SIGBUS 3u  /* nothing is behind the mapping there */
#define TARN_ACCESS_SIGSEGV 4u /* the mapping does not allow it */

/* Which of the fields of struct tarn_translation are known; the others are 0 (node: -1), and on_read and on_write without their bit the worst that it can be. */
#define TARN_KNOWN_MAPPING                                                                                   \
    0x1u /* start, end, device, inode, rights, shared, path; always known but for a machine without /proc */
#define TARN_KNOWN_PAGE 0x2u         /* page_size, page */
#define TARN_KNOWN_MAPPED 0x4u       /* mapped, exclusive */
#define TARN_KNOWN_FRAME 0x8u        /* frame: needs CAP_SYS_ADMIN, and a page that is mapped */
#define TARN_KNOWN_NODE 0x10u        /* node: of a page that is mapped */
#define TARN_KNOWN_RESIDENT 0x20u    /* resident; of another process known only of what it has mapped */
#define TARN_KNOWN_SWAPPED 0x40u     /* swapped */
#define TARN_KNOWN_HUGE 0x80u        /* huge */
#define TARN_KNOWN_DIRTY 0x100u      /* dirty: needs the frame, and CAP_SYS_ADMIN */
#define TARN_KNOWN_SOFT_DIRTY 0x200u /* soft_dirty: a kernel that tracks it */
#define TARN_KNOWN_READ 0x400u       /* on_read, on_write */
#define TARN_KNOWN_WRITE 0x800u

/* From a ref to a frame of physical memory, as the kernel has it at this moment. */
struct tarn_translation {
    tarn_ref ref;               /* offset in the segment; of TARN_RAW and of tarn_translate_process 0 */
    uint64_t address;           /* the virtual address */
    uint64_t offset;            /* in the backing */
    uint64_t start, end;        /* of the mapping that it lies in: its first byte, and the first behind it */
    uint64_t device, inode;     /* what is mapped there */
    uint64_t page;              /* virtual page number: address / page_size */
    uint64_t frame;             /* physical frame number, of the machine's smallest pages */
    uint32_t page_size;         /* bytes of a page of this mapping */
    uint32_t rights;            /* of the mapping: of TARN_PROT_ */
    int32_t node;               /* NUMA node that the frame is of */
    uint32_t known;             /* of TARN_KNOWN_ */
    uint32_t on_read, on_write; /* of TARN_ACCESS_ */
    uint8_t shared;    /* 1: writes are seen by others; 0: a private mapping, copied when it is written */
    uint8_t committed; /* 1: within what the segment, or the object, has */
    uint8_t mapped;    /* 1: this process's page table leads to a frame */
    uint8_t exclusive; /* 1: and no other page table does */
    uint8_t resident;  /* 1: it is in memory, whoever has it mapped */
    uint8_t swapped;   /* 1: it is in the swap */
    uint8_t huge;      /* 1: mapped by an entry greater than the smallest page's */
    uint8_t dirty;     /* 1: its frame has what the disk, or the swap, has not */
    uint8_t soft_dirty; /* 1: written by this process since it mapped it, or since its /proc/PID/clear_refs was told 4 */
    uint8_t reserved0[7];
    uint64_t reserved[4];
    char path[256]; /* what /proc/PID/maps calls it: bytes of whoever named it; cut if it is longer */
};

/* tarn_translate - of an address in what this handle maps, in this process; tarn_translate_ref - of a ref, committed or not (0 is the header's). Touches
 * nothing there, so it changes nothing; a look at many pages costs three system calls and a walk over /proc/self/smaps each. What is told may be
 * otherwise in the next moment. A "minor fault" more than was told may come where the kernel lends a page for reading first: after tarn_protect,
 * after a fork, or to learn which node uses it. Any thread, also on TARN_RDONLY, TARN_PRIVATE, TARN_RAW. 0; -EINVAL: not in the mapping. What cannot be
 * known is no error: see TARN_KNOWN_. */
TARN_API int tarn_translate(tarn *seg, const void *address, struct tarn_translation *ret_translation);
TARN_API int tarn_translate_ref(tarn *seg, tarn_ref ref, struct tarn_translation *ret_translation);

/* tarn_translate_process - of an address in any process, whatever is mapped there. 0; -EFAULT: nothing is mapped there; -ESRCH: no such process;
 * -EACCES: no right to look at its memory (as for ptrace); -ENOSYS: no /proc. */
TARN_API int tarn_translate_process(uint32_t pid, uint64_t address, struct tarn_translation *ret_translation);

/* ---- rights of objects -------------------------------------------------------------------------------------------------- */

#define TARN_PROTECT_WIDEN 1u /* tarn_protect: whole pages, and whatever else of users' lies on them */

/* tarn_protect - from now on this process may do that with [ref, ref + size) by this handle: rights is TARN_PROT_NONE, TARN_PROT_READ, or TARN_PROT_WRITE (both). size 0: all of the
 * block that begins at ref. Others' rights, and another handle's of this process, stay. For finding stray accesses (see tarn_fault_handler), and for
 * what nobody here is to change. A forked child has the same rights at first.
 *   Rights are pages'. The range must be whole pages, as a block of tarn_alloc_aligned is whose size and alignment are multiples of a page; else -EINVAL, unless TARN_PROTECT_WIDEN
 * says that what else lies on the first and the last page may have these rights, too.
 *   Only users' memory has rights: -EPERM if free memory, a table of the heap, a block of a collection, of a channel, of a name or of a log lies on the pages;
 * -EBUSY if a lock in it is held or waited for. It is walked over all the segment to see that, as tarn_check does: this is for setting things up.
 *   The library keeps to it, and does not fault for it. tarn_save, tarn_write, tarn_realloc, and every call that would change there what it saves (a list whose link lies there)
 * are -EACCES. A call that is given an object of synchronisation, or a place for a ref, that lies there accesses it like the caller's own code. Recovering a dead
 * participant, undoing a section, tarn_check, and looking who waits for whom lift all rights of the handle for that time; a stray access then is not caught. If this
 * process frees a block, or gets the memory anew, its pages have the mapping's rights again. Another process that frees it and uses the memory for something
 * else leaves this one with the old rights on that: whoever protects an object sees that nobody else frees it (or, with TARN_PROTECT_WIDEN, what lies beside it), and that no
 * other thread of this process is at work there during the call.
 *   To give rights back: TARN_PROT_WRITE (of a handle to read: TARN_PROT_READ), which asks for nothing but whole pages. While any range has rights, frees of this
 * process take a slower path.
 * Any thread, any time; from a signal handler never. 0, -EINVAL, -EPERM, -EBUSY, -EROFS (writing by a handle to read), -ENOMEM (of memory, or of mappings). */
TARN_API int tarn_protect(tarn *seg, tarn_ref ref, size_t size, uint32_t rights, unsigned flags);

/* A fault in a segment. */
#define TARN_FAULT_UNKNOWN 0u /* the processor's word is not known here: not on x86-64 */
#define TARN_FAULT_READ 1u
#define TARN_FAULT_WRITE 2u
#define TARN_FAULT_EXECUTE 3u
struct tarn_fault {
    const void *address, *pc; /* what was accessed; by the instruction there. NULL: not known */
    int32_t signal, code;     /* SIGSEGV, SIGBUS; si_code */
    uint32_t kind;            /* of TARN_FAULT_ */
    uint32_t rights;          /* that tarn_protect has left, of TARN_PROT_; 0: it has no part in it */
    tarn_ref ref;             /* of the address; of TARN_RAW the offset */
    tarn_ref object;          /* the named object, or the block, that was protected; 0: not known */
    uint64_t offset;          /* of the address, in it */
    char name[64];            /* as it was when it was protected, cut; "": it had none */
    char url[64];             /* of the segment, cut; "": opened by descriptor */
};

/* tarn_fault_handler - from now on a SIGSEGV or SIGBUS at an address in a segment of this process (protected; read-only; not committed; truncated) is told, by a line on
 * stderr, or to `told_by`, which is called in the signal's handler: only what is async-signal-safe may be done there. Then the handler that was there before is
 * called, or the signal takes its default effect, as if this one were not there. Called again, it only sets who is told. The only handler that the
 * library installs, and only when it is asked here. It runs on the alternate stack, if the thread has one. 0, or what sigaction says.
 * tarn_fault_handler_end - the handler before it is put back. 0; -EBUSY: another was installed over it, which goes on to it, so it stays. */
TARN_API int tarn_fault_handler(void (*told_by)(const struct tarn_fault *fault, void *arg), void *arg);
TARN_API int tarn_fault_handler_end(void);

/* ---- mutex ---------------------------------------------------------------------------------------------------------- */

/* tarn_mutex_lock - take the mutex, waiting as long as its holder lives; a holder who dies is recovered meanwhile. Inside a
 * section the lock belongs to the section: unlock takes effect when that ends, and if the holder dies first, the next one finds
 * what was before, and is told nothing. 0, TARN_RECOVERED, or
 *   -EDEADLK  the calling thread has it already; or, in a section, it would wait in a circle that nobody leaves: abort, and try
 *             again                                     -ENOSPC  too many locks held, and no memory for more slots
 *   -EUSERS -EROFS as tarn_thread_attach                 -EINVAL  not in the segment, or not aligned to 8 */
TARN_API int tarn_mutex_lock(tarn *seg, tarn_mutex *mutex);
/* tarn_mutex_try - -EBUSY instead of waiting for the living. */
TARN_API int tarn_mutex_try(tarn *seg, tarn_mutex *mutex);
/* tarn_mutex_timed - -ETIMEDOUT after `until` (absolute, CLOCK_MONOTONIC) instead of waiting longer. */
TARN_API int tarn_mutex_timed(tarn *seg, tarn_mutex *mutex, const struct timespec *until);

/* tarn_mutex_unlock - 0; -EPERM: the calling thread (or, in a forked child: this process) does not hold it; -EINVAL: it is no
 * mutex of this segment. In a section it is put off to the end of the section. */
TARN_API int tarn_mutex_unlock(tarn *seg, tarn_mutex *mutex);

/* tarn_mutex_consistent - by the holder, after TARN_RECOVERED: what the mutex guards is in order again. In a section this takes
 * effect with the commit. 0, -EPERM. */
TARN_API int tarn_mutex_consistent(tarn *seg, tarn_mutex *mutex);

/* tarn_mutex_lock_nested, _try_nested, _timed_nested - the same, and if the calling thread holds it already it is counted: as many unlocks give it
 * up. (Each mutex is error-checking, and recursive for who asks for it.) Besides, -EAGAIN: 1024 times, the most. */
TARN_API int tarn_mutex_lock_nested(tarn *seg, tarn_mutex *mutex);
TARN_API int tarn_mutex_try_nested(tarn *seg, tarn_mutex *mutex);
TARN_API int tarn_mutex_timed_nested(tarn *seg, tarn_mutex *mutex, const struct timespec *until);

/* tarn_mutex_owner - the id of the participant who holds it, dead or alive (see tarn_participants), or 0. A snapshot, without a lock; also on
 * TARN_RDONLY. 0, -EINVAL. */
TARN_API int tarn_mutex_owner(tarn *seg, const tarn_mutex *mutex, uint32_t *ret_id);

/* ---- waiting -------------------------------------------------------------------------------------------------------- */

/* What all calls below have in common. Any thread, once its segment is attached for writing; it takes part by its first call. None is a cancellation
 * point, and signals do not interrupt them. `until` is absolute, on CLOCK_MONOTONIC; one that has passed is -ETIMEDOUT, if there is anything to wait
 * for. Who waits for somebody who dies goes on: how is said of each. Who waits for a stopped one waits. Errors of all:
 *   -EINVAL  not in the segment, not aligned to 8, no deadline   -EUSERS -EROFS -ENOMEM  as tarn_thread_attach
 *   -EUCLEAN no such object, or a damaged one: some field has a value that it cannot have
 *   -EIDRM   destroyed, by its _fini: also for who waits at that moment. (Objects need no _fini; but their memory is to be free of waiters.)
 *   -EPERM   of calls that wait for somebody's act, and of acts that are not undone: in an open section
 *   -ENOSPC  of calls that take: the thread holds too much, and there is no memory to list more
 * _init: for memory that nobody else uses yet; needed for options only, for zeroed bytes are a good object.
 * _state and the like: a snapshot without locks, also on TARN_RDONLY. */

/* ---- rwlock: many who read, or one who writes. A reader who dies is no reader any more; a writer who dies leaves it dirty, as a mutex's holder does:
 * whoever gets it is told TARN_RECOVERED, until a writer calls tarn_rwlock_consistent. Its readers, where there was no writer for a while, store to
 * their own record only. In a section a lock belongs to the section, as a mutex does. */
#define TARN_RWLOCK_WRITERS                                                                                  \
    1u /* of tarn_rwlock_init: a writer who waits keeps new readers out; else he waits until nobody reads */

/* tarn_rwlock_read, _read_try, _read_timed - to read; again, by a thread that reads under it already, it counts (-EAGAIN: 1024 times). 0, TARN_RECOVERED;
 * -EBUSY: _try, somebody writes; -ETIMEDOUT; -EDEADLK: the thread writes under it, or as tarn_mutex_lock. */
TARN_API int tarn_rwlock_read(tarn *seg, tarn_rwlock *rwlock);
TARN_API int tarn_rwlock_read_try(tarn *seg, tarn_rwlock *rwlock);
TARN_API int tarn_rwlock_read_timed(tarn *seg, tarn_rwlock *rwlock, const struct timespec *until);

/* tarn_rwlock_write, _write_try, _write_timed - to write. The same results; -EDEADLK: the thread has it already. */
TARN_API int tarn_rwlock_write(tarn *seg, tarn_rwlock *rwlock);
TARN_API int tarn_rwlock_write_try(tarn *seg, tarn_rwlock *rwlock);
TARN_API int tarn_rwlock_write_timed(tarn *seg, tarn_rwlock *rwlock, const struct timespec *until);

/* tarn_rwlock_unlock - of either. In a section, put off to its end. 0; -EPERM: not held by this thread. */
TARN_API int tarn_rwlock_unlock(tarn *seg, tarn_rwlock *rwlock);

/* tarn_rwlock_downgrade - from writing to reading, with nobody between. 0; -EPERM: this thread does not write, or a section is open. */
TARN_API int tarn_rwlock_downgrade(tarn *seg, tarn_rwlock *rwlock);
/* tarn_rwlock_upgrade_try - from reading to writing, if nobody else reads or waits to: else -EBUSY, and it reads on. 0, TARN_RECOVERED; -EPERM. */
TARN_API int tarn_rwlock_upgrade_try(tarn *seg, tarn_rwlock *rwlock);
/* tarn_rwlock_consistent - by the writer, as tarn_mutex_consistent. */
TARN_API int tarn_rwlock_consistent(tarn *seg, tarn_rwlock *rwlock);

TARN_API int tarn_rwlock_init(tarn *seg, tarn_rwlock *rwlock, uint32_t flags);
TARN_API int tarn_rwlock_fini(tarn *seg, tarn_rwlock *rwlock);
struct tarn_rwlock_state {
    uint32_t writer;          /* id of the participant who writes, or 0 */
    uint32_t readers, reader; /* how many read; id of one of them, or 0 */
    uint32_t dirty;           /* 1: a writer died with it */
};
TARN_API int tarn_rwlock_state(tarn *seg, const tarn_rwlock *rwlock, struct tarn_rwlock_state *ret_state);

/* ---- condition: wait until what a mutex guards has changed. A waiter who is killed costs nobody a signal, and keeps no signaller; a signaller who is
 * killed has signalled or not. Wake-ups without a signal happen (a death in the segment is one), so wait in a loop. */

/* tarn_condition_wait, _timed - give the mutex up, wait for a signal, take the mutex again. 0; TARN_RECOVERED: the mutex's holder died meanwhile (also
 * where the time is over); -ETIMEDOUT, -EIDRM: the mutex is held again, too. -EPERM: the mutex is not held, or more than once, or a section is open. */
TARN_API int tarn_condition_wait(tarn *seg, tarn_condition *condition, tarn_mutex *mutex);
TARN_API int tarn_condition_timed(tarn *seg, tarn_condition *condition, tarn_mutex *mutex,
                                  const struct timespec *until);
/* tarn_condition_signal, _broadcast - wake one who waits, or all. Nothing if nobody does. Allowed in a section: the waiters look under the mutex. */
TARN_API int tarn_condition_signal(tarn *seg, tarn_condition *condition);
TARN_API int tarn_condition_broadcast(tarn *seg, tarn_condition *condition);
TARN_API int tarn_condition_fini(tarn *seg, tarn_condition *condition);

/* ---- semaphore: units that belong to nobody. Whoever dies between wait and post takes his unit with him (see tarn_held for the other kind); who
 * dies while he waits takes none. */
#define TARN_SEMAPHORE_MOST 0x3fffffffu /* units */

/* tarn_semaphore_wait, _try, _timed - take a unit, waiting for one. 0; -EAGAIN: _try, there is none; -ETIMEDOUT. */
TARN_API int tarn_semaphore_wait(tarn *seg, tarn_semaphore *semaphore);
TARN_API int tarn_semaphore_try(tarn *seg, tarn_semaphore *semaphore);
TARN_API int tarn_semaphore_timed(tarn *seg, tarn_semaphore *semaphore, const struct timespec *until);
/* tarn_semaphore_post, _post_many - give one unit, or n (1 or more). 0; -EOVERFLOW: more than TARN_SEMAPHORE_MOST. */
TARN_API int tarn_semaphore_post(tarn *seg, tarn_semaphore *semaphore);
TARN_API int tarn_semaphore_post_many(tarn *seg, tarn_semaphore *semaphore, uint32_t n);
TARN_API int tarn_semaphore_units(tarn *seg, const tarn_semaphore *semaphore, uint32_t *ret_units);
TARN_API int tarn_semaphore_init(tarn *seg, tarn_semaphore *semaphore, uint32_t units);
TARN_API int tarn_semaphore_fini(tarn *seg, tarn_semaphore *semaphore);

/* ---- held semaphore: units that belong to who took them, and come back when he dies, or ends his part otherwise (System V's SEM_UNDO, but exact:
 * whatever instruction he dies at). Zeroed it has no units. */

/* tarn_held_take, _try, _timed - take n units (1 to 1023) together. 0; -EAGAIN: _try, not so many are left; -ETIMEDOUT. */
TARN_API int tarn_held_take(tarn *seg, tarn_held *held, uint32_t n);
TARN_API int tarn_held_try(tarn *seg, tarn_held *held, uint32_t n);
TARN_API int tarn_held_timed(tarn *seg, tarn_held *held, uint32_t n, const struct timespec *until);
/* tarn_held_give - give n of this thread's units back. 0; -EPERM: it has not so many. */
TARN_API int tarn_held_give(tarn *seg, tarn_held *held, uint32_t n);
/* tarn_held_set - from now on there are so many units, at most TARN_SEMAPHORE_MOST. What is taken stays taken. Any time. */
TARN_API int tarn_held_set(tarn *seg, tarn_held *held, uint32_t units);
TARN_API int tarn_held_state(tarn *seg, const tarn_held *held, uint32_t *ret_available, uint32_t *ret_units);

/* ---- barrier: members wait for each other, turn after turn. A thread becomes a member by its first wait, or by join, and is one until it leaves; who
 * ends his part as a member has died as one. Such a death breaks the barrier: all who wait, and who come, are told -EOWNERDEAD until somebody resets
 * it. With TARN_BARRIER_DROP the others go on, and no turn waits for more than the members there are. */
#define TARN_BARRIER_DROP 1u
#define TARN_LAST 2 /* a positive result: all had arrived but this one, who has just ended the turn */

/* tarn_barrier_wait, _timed - arrive, and wait for all. 0, TARN_LAST; -EOWNERDEAD: a member died, or it was reset; -EUSERS: it has its parties already;
 * -ETIMEDOUT: not arrived after all, and a member still. */
TARN_API int tarn_barrier_wait(tarn *seg, tarn_barrier *barrier);
TARN_API int tarn_barrier_timed(tarn *seg, tarn_barrier *barrier, const struct timespec *until);
/* tarn_barrier_join, _leave - become a member without arriving; be one no more (-EPERM: it is none), and with parties, one less of them. */
TARN_API int tarn_barrier_join(tarn *seg, tarn_barrier *barrier);
TARN_API int tarn_barrier_leave(tarn *seg, tarn_barrier *barrier);
/* tarn_barrier_reset - whole again, with the members it has; who waits is told -EOWNERDEAD. */
TARN_API int tarn_barrier_reset(tarn *seg, tarn_barrier *barrier);
/* parties: so many members a turn needs, at most options.participants; 0: those it has. flags: TARN_BARRIER_DROP. */
TARN_API int tarn_barrier_init(tarn *seg, tarn_barrier *barrier, uint32_t parties, uint32_t flags);
TARN_API int tarn_barrier_fini(tarn *seg, tarn_barrier *barrier);
struct tarn_barrier_state {
    uint32_t parties, members, arrived;
    uint32_t turn;   /* changes with each turn and each reset */
    uint32_t broken; /* 1: a member died */
};
TARN_API int tarn_barrier_state(tarn *seg, const tarn_barrier *barrier, struct tarn_barrier_state *ret_state);

/* ---- once: a function that is run once, by one, while the others wait. If he dies in it, or it returns a negative result (which is returned), the
 * next one runs it; so let it do its work in a section, or in such a way that it may be done again. 0; -EDEADLK: from within the function itself. */
TARN_API int tarn_once_run(tarn *seg, tarn_once *once, int (*run)(tarn *seg, void *arg), void *arg);
#define tarn_once_run(seg, once, run, arg)                                                                   \
    (__atomic_load_n(&(once)->done, __ATOMIC_ACQUIRE) == 1 ? 0 : (tarn_once_run)((seg), (once), (run), (arg)))

/* ---- event: set or not. A manual one (the default) lets all through until it is reset; an automatic one lets one through for each time it is set, and
 * is reset by that. One that was set is set, whoever is killed: it is gone only with who got through. */
#define TARN_EVENT_AUTOMATIC 1u

/* tarn_event_wait, _try, _timed - until it is set. 0; -EAGAIN: _try; -ETIMEDOUT. */
TARN_API int tarn_event_wait(tarn *seg, tarn_event *event);
TARN_API int tarn_event_try(tarn *seg, tarn_event *event);
TARN_API int tarn_event_timed(tarn *seg, tarn_event *event, const struct timespec *until);
/* tarn_event_set, _reset - also where it is so already. */
TARN_API int tarn_event_set(tarn *seg, tarn_event *event);
TARN_API int tarn_event_reset(tarn *seg, tarn_event *event);
/* tarn_event_signal - send the calling thread's process this signal (1 to 64) each time that it is set, as long as the thread takes part; 0: no more.
 * Sent by who sets it, so he must be allowed to (kill), and be of the same PID namespace: else nothing is sent. One listener at a time: -EBUSY. */
TARN_API int tarn_event_signal(tarn *seg, tarn_event *event, int number);
/* tarn_event_descriptor - a descriptor for poll, epoll or read (8 bytes: how often it came since): readable each time that the event is set; of an
 * automatic one, that takes it. It is an eventfd, non-blocking, and closed by exec. A thread is started for it, which blocks all signals and takes part until
 * tarn_event_descriptor_close (-EBADF: not one of these) ends it, and the descriptor; before that tarn_close is -EBUSY. A forked child has the
 * descriptor, not the thread. 0; -EAGAIN, -EMFILE, -ENFILE as the system says. */
TARN_API int tarn_event_descriptor(tarn *seg, tarn_event *event, int *ret_fd);
TARN_API int tarn_event_descriptor_close(tarn *seg, int fd);
TARN_API int tarn_event_init(tarn *seg, tarn_event *event, uint32_t flags);
TARN_API int tarn_event_fini(tarn *seg, tarn_event *event);
TARN_API int tarn_event_state(tarn *seg, const tarn_event *event, int *ret_set);

/* ---- waiting for one of several: events and semaphores, all of this segment. */
#define TARN_EVENT 1u
#define TARN_SEMAPHORE 2u
#define TARN_AWAITED_MOST 64u
struct tarn_awaited {
    uint32_t kind; /* TARN_EVENT, TARN_SEMAPHORE */
    union {
        tarn_event *event;
        tarn_semaphore *semaphore;
    };
};
/* tarn_wait_any - wait until one of n (1 to 64) comes, and take that one alone; of several, the first. until: NULL: for ever. 0, with its index;
 * -ETIMEDOUT. */
TARN_API int tarn_wait_any(tarn *seg, const struct tarn_awaited *awaited, uint32_t n,
                           const struct timespec *until, uint32_t *ret_index);

/* tarn_set_deadlock - 1: of this process's waits on this handle also those outside sections look for circles, and return -EDEADLK instead of closing
 * one. 0: only those in sections do (the default). A look costs a walk over the records for each sleep. 0; -EINVAL; -EROFS: TARN_RDONLY. */
TARN_API int tarn_set_deadlock(tarn *seg, int on);

/* tarn_who_waits - call back for each participant who waits, and for each of those it waits for: who waits for whom, in the whole segment. Without
 * locks, also on TARN_RDONLY; what changes meanwhile may be seen in part. A result of the callback that is not 0 ends the walk and is returned. */
struct tarn_waiting {
    uint32_t id, pid, tid; /* who waits */
    uint32_t timed;        /* 1: and gives up by itself */
    const char *what; /* "mutex or rwlock", "readers", "units", "members", "act": of nobody in particular */
    tarn_ref ref;     /* of the object */
    uint32_t holder;  /* the id of one it waits for, or 0 */
    uint32_t dead;    /* 1: that one is dead, and not recovered yet */
    uint32_t circle;  /* 0, or the number of the circle of waiting participants that both are in, from 1 */
};
TARN_API int tarn_who_waits(tarn *seg, int (*each)(const struct tarn_waiting *waiting, void *arg), void *arg);

/* tarn_locks - call back for each lock, and the like, that a participant holds, or is about to take or give up: who holds what, in the whole segment; of the
 * dead what they held, until they are recovered. All of it is read from where a death would find it, so nobody who locks does anything for it; takes no
 * lock, also on TARN_RDONLY; bounded by the size of the segment, whatever its bytes. A look: what changes meanwhile may be seen in part, and a reader who
 * came too late for a moment.
 *   Seen: mutexes, of the user's and of the library's own objects (collections, names); to read and to write a rwlock; units of held semaphores; members
 *     of barriers; each with the participant whose it is. Who waits is seen as `moving`, but for held semaphores; tarn_who_waits says for whom.
 *   Not seen: since when (that would be a clock in each lock); a lock that nobody has and that a death left dirty; units of a tarn_semaphore, which belong
 *     to nobody; conditions and events, which nobody holds; readers of collections, who take no lock; what is not of tarn.
 * held and moving:
 *   1, 0  held                      1, 1  its words say this one has it; inside the call that takes it, or gives it up (a writer waits for readers so)
 *   0, 1  wanted, or just given up  0, 0  its own words say otherwise: damaged, or it changed again and again while it was looked at
 * 0; what `each` returned, if that was not 0, which ends it; -EUCLEAN: lists that share their memory were given up half-way. */
enum tarn_lock_kind {
    TARN_LOCK_MUTEX = 1,
    TARN_LOCK_INNER, /* a mutex inside an object of the library's that guards changes of one store; also while tarn_once_run runs its function */
    TARN_LOCK_READ,  /* a rwlock, to read */
    TARN_LOCK_WRITE, /* ... to write */
    TARN_LOCK_UNITS, /* of a held semaphore */
    TARN_LOCK_MEMBER, /* of a barrier: others wait until it arrives */
};
struct tarn_lock {
    uint32_t id, pid, tid; /* whose */
    char state;            /* its: as in tarn_participant */
    uint8_t held, moving;
    uint8_t section;  /* 1: taken in its open section */
    uint8_t deferred; /* 1: unlocked in it, which takes effect at its end */
    uint8_t dirty;    /* 1: it came with TARN_RECOVERED, and is not consistent yet */
    uint8_t reserved[2];
    uint32_t kind; /* enum tarn_lock_kind, or one of a later version */
    uint32_t number; /* how many times it is held; units; of a member: 1 if it has arrived in this turn, else 0 */
    tarn_ref ref; /* of the mutex, rwlock, held semaphore or barrier */
};
TARN_API int tarn_locks(tarn *seg, int (*each)(const struct tarn_lock *lock, void *arg), void *arg);

/* ---- sections ------------------------------------------------------------------------------------------------------- */

/* tarn_begin - open a section of the calling thread, or nest: only the outermost commit commits. 0, or as tarn_thread_attach. */
TARN_API int tarn_begin(tarn *seg);

/* tarn_save - note the present value of `size` bytes at `address`, to be restored unless the section commits. Call before
 * changing them. What is saved must be kept from others (by a lock) until the section ends. Bytes are saved in whole aligned
 * 8-byte words, so latch the words. 0; -ENOSPC: the log is full and cannot grow (abort still works); -EPERM: no section is open
 * here; -EINVAL: not in the segment. */
TARN_API int tarn_save(tarn *seg, void *address, size_t size);

/* tarn_write - tarn_save, then copy `size` bytes from `from`. Errors as tarn_save, with nothing written. */
TARN_API int tarn_write(tarn *seg, void *address, const void *from, size_t size);

/* tarn_commit - all that the section did becomes so, by one store; then put-off unlocks and frees take effect.
 * 0; -ECANCELED: a section nested inside was aborted, so this one was undone; -EPERM: none is open (or it is the parent's). */
TARN_API int tarn_commit(tarn *seg);

/* tarn_abort - undo all since the outermost tarn_begin, if this is the outermost; else doom that one's commit. Locks taken in
 * the section and not unlocked stay held. 0; -EPERM as tarn_commit. */
TARN_API int tarn_abort(tarn *seg);

/* ---- memory --------------------------------------------------------------------------------------------------------- */

/* tarn_alloc - a zeroed block of at least `size` bytes, aligned to 16 (to 64 from 1 KiB on), inside a section: it is there if the
 * section commits. 0; -EPERM: no section; -EINVAL: size 0 or beyond the limit; -ENOSPC -ENOMEM: full (the limit is named). */
TARN_API int tarn_alloc(tarn *seg, size_t size, tarn_ref *ret_ref);

/* tarn_free - give a block back when the section commits; it may be handed out again at once, so only for blocks that nobody
 * reads without a lock, and in which no mutex lies that others may be waiting for (such blocks are retired). -EPERM: no section; -EINVAL: not an allocated block. */
TARN_API int tarn_free(tarn *seg, tarn_ref ref);

/* tarn_retire - as tarn_free, but the block is handed out again only after every reader that might still look at it
 * (tarn_read_begin, or a read-only attachment's copy) has moved on. */
TARN_API int tarn_retire(tarn *seg, tarn_ref ref);

/* tarn_alloc_into - a zeroed block whose ref is stored at *place in the segment, in one step: after a death at any instruction
 * either both have happened or neither. Works anywhere; in a section it is part of that. *place must be 0 (-EEXIST) and kept
 * from others, as anything that a section writes. Other errors as tarn_alloc, but for -EPERM. */
TARN_API int tarn_alloc_into(tarn *seg, tarn_ref *place, size_t size);

/* tarn_free_from, tarn_retire_from - free the block whose ref is at *place and store 0 there, in one step. -EINVAL: no
 * allocated block is there. (A ref to a block that another thread freed before is a fault of the program that is mostly told so; where that would cost a
 * line of memory more, it is taken for the free of now. The heap stays whole.) */
TARN_API int tarn_free_from(tarn *seg, tarn_ref *place);
TARN_API int tarn_retire_from(tarn *seg, tarn_ref *place);

/* tarn_alloc_aligned, tarn_alloc_aligned_into - as tarn_alloc and tarn_alloc_into, aligned to `alignment`, a power of two up to 4096 (-EINVAL: another). The
 * ref is the block's beginning, and it is freed as any other. */
TARN_API int tarn_alloc_aligned(tarn *seg, size_t size, size_t alignment, tarn_ref *ret_ref);
TARN_API int tarn_alloc_aligned_into(tarn *seg, tarn_ref *place, size_t size, size_t alignment);

/* tarn_realloc - the block at ref, with at least `size` bytes, inside a section: the same one, or another with its bytes copied, and then the old one is freed when
 * the section commits (as by tarn_free; with TARN_REALLOC_RETIRE as by tarn_retire). What the old one has (tarn_block_size) is kept, as far as it goes; what is
 * beyond that is zero. It is aligned as by tarn_alloc, whatever the old one was. ref 0: as tarn_alloc. On failure everything is as it was. Making a block smaller
 * never fails for lack of memory: it may stay as it is. 0, or errors as tarn_alloc and tarn_free, and -EINVAL: flags. */
#define TARN_REALLOC_RETIRE 1u
TARN_API int tarn_realloc(tarn *seg, tarn_ref ref, size_t size, unsigned flags, tarn_ref *ret_ref);

/* tarn_realloc_into - the same with the block whose ref is at *place, where the ref of the new one is stored, in one step: after a death at any instruction
 * it is the old block or the new one, whole. Works anywhere; in a section it is part of that. Outside of one, a block of whole spans of this thread's own
 * grows into free memory behind it, and shrinks, where it is. *place and the block are kept from others meanwhile; no locks may lie in it that others wait
 * for. *place 0: as tarn_alloc_into. Other errors as tarn_realloc, but for -EPERM. */
TARN_API int tarn_realloc_into(tarn *seg, tarn_ref *place, size_t size, unsigned flags);

/* tarn_heap_stats - what the heap's memory is used for. A snapshot, taken without locks: what changes meanwhile may be counted in part. Also on TARN_RDONLY;
 * bounded by the size of the segment, whatever its bytes. 0; -EINVAL: TARN_RAW. */
#define TARN_HEAP_CLASSES 64u
struct tarn_heap_class {             /* small blocks of one size */
    uint64_t size;                   /* bytes of a block */
    uint64_t spans;                  /* of such blocks */
    uint64_t blocks;                 /* in them; and of these: */
    uint64_t allocated, free, limbo; /* limbo: freed or retired, and not to be handed out yet */
};
struct tarn_heap_stats {
    uint32_t span_size, classes;                 /* bytes; of by_size, that there are */
    uint64_t spans, spans_free, spans_other;     /* committed; nobody's; being made or taken apart */
    uint64_t runs, run_spans;                    /* blocks of whole spans; spans in them */
    uint64_t run_allocated, run_free, run_limbo; /* bytes of runs */
    uint64_t allocated, free, limbo;             /* bytes in blocks, runs too */
    uint64_t dead; /* bytes of spans of participants that died and are not recovered yet */
    uint64_t orphaned; /* bytes of spans of participants that were recovered, or left: who next needs memory adopts them */
    uint64_t reserved[4];
    struct tarn_heap_class by_size[TARN_HEAP_CLASSES]; /* by size */
};
TARN_API int tarn_heap_stats(tarn *seg, struct tarn_heap_stats *ret_stats);

/* tarn_spans - how the data space is filled: call back for each part of what is committed, from the first byte to the last without a gap. A part is a span of
 * small blocks of one size, a run (one block of whole spans), or spans side by side that are alike otherwise. As tarn_heap_stats: each part as it was at one
 * instant. Returns 0, or what `each` returned, if that was not 0, which ends it; -EINVAL: TARN_RAW. */
enum tarn_span_kind {
    TARN_SPAN_FREE,  /* nobody's */
    TARN_SPAN_SMALL, /* of blocks of block_size bytes */
    TARN_SPAN_RUN,   /* one block, of block_size bytes */
    TARN_SPAN_OTHER  /* being made or taken apart, or what is left of a run whose maker died */
};
enum tarn_span_owner {
    TARN_OWNER_NONE,
    TARN_OWNER_ALIVE,
    TARN_OWNER_DEAD,    /* and not recovered yet */
    TARN_OWNER_ORPHANED /* was recovered, or has left: who next needs memory adopts it */
};
struct tarn_span {
    tarn_ref ref;                /* where it begins */
    uint64_t size;               /* bytes */
    uint64_t block_size;         /* bytes of a block, or 0 */
    uint32_t kind;               /* enum tarn_span_kind */
    uint32_t owner, owner_state; /* a participant, which alone hands out its blocks, or 0; enum tarn_span_owner */
    uint32_t blocks, allocated, free, limbo; /* limbo: freed or retired, and not to be handed out yet */
    uint32_t reserved;
};
TARN_API int tarn_spans(tarn *seg, int (*each)(const struct tarn_span *span, void *arg), void *arg);

/* tarn_grow - commit at least `bytes` more of data space now, for everybody, so that later allocations find it: growth happens by itself, but
 * takes time then. Any thread, also in a section, which does not undo it. 0; -ENOSPC -ENOMEM: full (the limit is named), with nothing
 * committed, or less; -EROFS; -EUCLEAN. */
TARN_API int tarn_grow(tarn *seg, uint64_t bytes);

/* tarn_block_size - bytes usable in the allocated block at ref, or 0 if there is none. */
TARN_API size_t tarn_block_size(tarn *seg, tarn_ref ref);

/* tarn_read_begin, tarn_read_end - between the two, blocks that are retired from now on stay as they are. Nests. Cheap: no
 * atomic instruction, no system call. -EROFS: a read-only attachment can announce nothing; it copies and validates instead. */
TARN_API int tarn_read_begin(tarn *seg);
TARN_API int tarn_read_end(tarn *seg);

/* ---- named objects -------------------------------------------------------------------------------------------------- */

/* Names are 1 to 255 bytes, without NUL. A name is bound to a ref, a size and a type. All calls here that change names are
 * sections of their own, and -EPERM in an open one; they wait for the segment's lock of names. */

/* tarn_bind - give an allocated block a name. -EEXIST: the name is taken; -EINVAL: name, type or ref unusable; -ENOSPC. */
TARN_API int tarn_bind(tarn *seg, const char *name, const struct tarn_type *type, tarn_ref ref);

/* tarn_find - the ref that a name is bound to. type NULL: any. -ENOENT; -EPROTO: bound to another type (tarn_error names both);
 * -EAGAIN: a read-only attachment met writers again and again. Takes no lock unless the names are being changed. */
TARN_API int tarn_find(tarn *seg, const char *name, const struct tarn_type *type, tarn_ref *ret_ref);

/* tarn_find_or_make - find it, or allocate it zeroed and bind it: racing callers get the same one. On a read-only attachment it
 * only finds. */
TARN_API int tarn_find_or_make(tarn *seg, const char *name, const struct tarn_type *type, void **ret_address);

/* tarn_object - the same, typed:  struct counter *c;  tarn_object(seg, "counter", struct counter, &c) */
#define tarn_object(seg, name, type, ret_pointer)                                                            \
    tarn_object_((seg), (name), TARN_TYPE(type), (void **)(1 ? (ret_pointer) : (type **)0))
static inline int tarn_object_(tarn *seg, const char *name, struct tarn_type type, void **ret_address)
{
    return tarn_find_or_make(seg, name, &type, ret_address);
}

/* tarn_unbind - remove the name and, with free_object, retire its block. -ENOENT. */
TARN_API int tarn_unbind(tarn *seg, const char *name, int free_object);

/* tarn_names - call back for each name: a snapshot that misses or repeats none that is there throughout. The callback's result
 * other than 0 ends the walk and is returned. */
struct tarn_name {
    const char *name;
    struct tarn_type type;
    tarn_ref ref;
};
TARN_API int tarn_names(tarn *seg, int (*each)(const struct tarn_name *n, void *arg), void *arg);

/* ---- map ------------------------------------------------------------------------------------------------------------ */

/* A hash map in a segment, under a name. Keys are byte strings of 1 to 65,535 bytes or 64-bit numbers; values byte strings of 0
 * to 2^30 bytes, or 64-bit numbers. Readers take no lock. A change is a section of its own, or part of the open one; then the
 * part of the map that it touched stays locked until that ends, and -EDEADLK means: abort, and try again.
 * (Extendible hashing: Fagin, Nievergelt, Pippenger and Strong, 1979.) */
typedef struct tarn_map tarn_map; /* one process's handle; private memory; any thread may use it */

#define TARN_MAP_U64 0x100u /* with TARN_CREATE: keys and values are 64-bit numbers */

/* tarn_map_open - find the map of this name, or, with TARN_CREATE, make it. flags 0 finds a map of either kind: the calls for the other kind then
 * answer -EPROTO. With TARN_MAP_U64, or with TARN_CREATE, the kind must be the one asked for. -ENOENT; -EPROTO: the name is no map, or of the other
 * kind; others as tarn_find_or_make. */
TARN_API int tarn_map_open(tarn *seg, const char *name, unsigned flags, tarn_map **ret_map);
TARN_API void tarn_map_close(tarn_map *map);

/* tarn_map_get - copy the value of a key: at most `room` bytes; *ret_size (may be NULL) is its whole size. 0, -ENOENT, -EAGAIN
 * (read-only attachment, writers again and again), -EUCLEAN. */
TARN_API int tarn_map_get(tarn_map *map, const void *key, size_t key_size, void *value, size_t room,
                          size_t *ret_size);
/* tarn_map_put - insert or replace. 0, -EINVAL, -ENOSPC, -EDEADLK, -EROFS. */
TARN_API int tarn_map_put(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size);
/* tarn_map_add - add to the 64-bit number that is the value, which is made, as 0, if there is none. *ret_sum may be NULL. */
TARN_API int tarn_map_add(tarn_map *map, const void *key, size_t key_size, uint64_t add, uint64_t *ret_sum);
/* tarn_map_remove - 0, -ENOENT, -ENOSPC, -EDEADLK, -EROFS. */
TARN_API int tarn_map_remove(tarn_map *map, const void *key, size_t key_size);

/* tarn_map_insert - only if the key is not there: else -EEXIST. tarn_map_replace - only if it is there: else -ENOENT. Others as tarn_map_put. */
TARN_API int tarn_map_insert(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size);
TARN_API int tarn_map_replace(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size);
/* tarn_map_replace_if - only if the key is there with the value `old`: else -ENOENT, or -EAGAIN: its value is another one; read it, and try again. */
TARN_API int tarn_map_replace_if(tarn_map *map, const void *key, size_t key_size, const void *old,
                                 size_t old_size, const void *value, size_t size);
/* tarn_map_find_or_make - copy the value of a key, as tarn_map_get; if it is not there it is put, with a value of `size` zeroed bytes. Of many who do so at
 * once, one makes it: his *ret_made (may be NULL) is 1, the others' 0. */
TARN_API int tarn_map_find_or_make(tarn_map *map, const void *key, size_t key_size, size_t size, void *value,
                                   size_t room, size_t *ret_size, int *ret_made);
/* tarn_map_put_many - put `count` pairs, in their order, and make room for them beforehand. Outside a section each is a section of its own (a death in
 * the midst leaves the first ones put, each whole); in an open one they are all part of it. After a failure *ret_done (may be NULL) have been put. */
struct tarn_map_pair {
    const void *key;
    size_t key_size;
    const void *value;
    size_t size;
};
TARN_API int tarn_map_put_many(tarn_map *map, const struct tarn_map_pair *pairs, size_t count, size_t *ret_done);

/* The same for TARN_MAP_U64 maps (-EPROTO on others, and the other way round). */
TARN_API int tarn_map_get64(tarn_map *map, uint64_t key, uint64_t *ret_value);
TARN_API int tarn_map_put64(tarn_map *map, uint64_t key, uint64_t value);
TARN_API int tarn_map_add64(tarn_map *map, uint64_t key, uint64_t add, uint64_t *ret_sum);
TARN_API int tarn_map_remove64(tarn_map *map, uint64_t key);
TARN_API int tarn_map_insert64(tarn_map *map, uint64_t key, uint64_t value);
TARN_API int tarn_map_replace64(tarn_map *map, uint64_t key, uint64_t value);
TARN_API int tarn_map_replace_if64(tarn_map *map, uint64_t key, uint64_t old, uint64_t value);
TARN_API int tarn_map_find_or_make64(tarn_map *map, uint64_t key, uint64_t *ret_value, int *ret_made);
TARN_API int tarn_map_put_many64(tarn_map *map, const uint64_t *keys, const uint64_t *values, size_t count,
                                 size_t *ret_done);

/* tarn_map_count - entries, as a walk over all counts them. */
TARN_API int tarn_map_count(tarn_map *map, uint64_t *ret_count);

/* tarn_map_each - call back for each entry with private copies (of a U64 map: pointers to two uint64_t). Every entry that is
 * there throughout is shown exactly once, also while the map grows. A result other than 0 ends the walk and is returned. */
TARN_API int tarn_map_each(tarn_map *map,
                           int (*each)(const void *key, size_t key_size, const void *value, size_t size, void *arg),
                           void *arg);
/* tarn_map_next - the same in pieces: show some more entries, and move *cursor, which is 0 at first, and 0 again when all were shown; if
 * `each` ended it, it is where it was. The map may change in between; a cursor is good in any process, as long as the map is. */
TARN_API int tarn_map_next(tarn_map *map, uint64_t *cursor,
                           int (*each)(const void *key, size_t key_size, const void *value, size_t size, void *arg),
                           void *arg);

/* ---- tree ----------------------------------------------------------------------------------------------------------- */

/* An ordered map in a segment, under a name. Keys, values, sections and what readers need are as the map's. Byte strings are in the order of their
 * bytes, then of their length; or in an order of the user's; numbers in their own.
 * (B-link tree: Lehman and Yao, 1981; leaves as in Masstree: Mao, Kohler and Morris, 2012.) */
typedef struct tarn_tree tarn_tree; /* one process's handle; private memory; any thread may use it */

#define TARN_TREE_U64 0x100u /* with TARN_CREATE: keys and values are 64-bit numbers */

/* tarn_tree_open - find the tree of this name, or, with TARN_CREATE, make it: as tarn_map_open. -ENOTSUP: it has an order of the user's that this
 * process has not registered. */
TARN_API int tarn_tree_open(tarn *seg, const char *name, unsigned flags, tarn_tree **ret_tree);
/* tarn_tree_open_ordered - the same for byte strings in the order of this id (0: of their bytes). -EPROTO: it has another one. */
TARN_API int tarn_tree_open_ordered(tarn *seg, const char *name, unsigned flags, uint32_t order,
                                    tarn_tree **ret_tree);
TARN_API void tarn_tree_close(tarn_tree *tree);

/* tarn_tree_compare_register - in this process, the order of this id (1 and more) is what `compare` says: below 0, 0, above 0, as memcmp. The segment
 * has the id only, so each process registers the same function. It must be an order of all byte strings, may look at nothing but what it is given, and
 * sees bytes now and then that are no key any more. 0 (also again, with the same function); -EEXIST: another one; -EINVAL; -ENOSPC: 64 are. */
TARN_API int tarn_tree_compare_register(uint32_t id, int (*compare)(const void *a, size_t a_size,
                                                                    const void *b, size_t b_size));

/* tarn_tree_get - copy the value of a key: as tarn_map_get. */
TARN_API int tarn_tree_get(tarn_tree *tree, const void *key, size_t key_size, void *value, size_t room,
                           size_t *ret_size);
/* tarn_tree_put - insert or replace. 0, -EINVAL, -ENOSPC, -EDEADLK, -EROFS. */
TARN_API int tarn_tree_put(tarn_tree *tree, const void *key, size_t key_size, const void *value, size_t size);
/* tarn_tree_insert - only a new key: else -EEXIST. tarn_tree_replace - only one that is there: else -ENOENT. */
TARN_API int tarn_tree_insert(tarn_tree *tree, const void *key, size_t key_size, const void *value, size_t size);
TARN_API int tarn_tree_replace(tarn_tree *tree, const void *key, size_t key_size, const void *value, size_t size);
/* tarn_tree_remove - 0, -ENOENT, -ENOSPC, -EDEADLK, -EROFS. */
TARN_API int tarn_tree_remove(tarn_tree *tree, const void *key, size_t key_size);

/* The same for TARN_TREE_U64 trees (-EPROTO on others, and the other way round). */
TARN_API int tarn_tree_get64(tarn_tree *tree, uint64_t key, uint64_t *ret_value);
TARN_API int tarn_tree_put64(tarn_tree *tree, uint64_t key, uint64_t value);
TARN_API int tarn_tree_insert64(tarn_tree *tree, uint64_t key, uint64_t value);
TARN_API int tarn_tree_replace64(tarn_tree *tree, uint64_t key, uint64_t value);
TARN_API int tarn_tree_remove64(tarn_tree *tree, uint64_t key);

/* A cursor stands between two entries. It copies some at a time into private memory, and shows copies: what others change meanwhile it may show as it
 * was. What is there throughout is shown once. One thread at a time; closed before its tree is. */
typedef struct tarn_tree_cursor tarn_tree_cursor;
struct tarn_tree_entry { /* in the cursor's memory, until its next call; of a TARN_TREE_U64 tree: two uint64_t */
    const void *key;
    size_t key_size;
    const void *value;
    size_t size;
};
#define TARN_TREE_LOWER 0u /* before the first key that is not less */
#define TARN_TREE_UPPER 1u /* before the first key that is greater */

/* tarn_tree_cursor_open - one that stands before the first entry. -ENOMEM. */
TARN_API int tarn_tree_cursor_open(tarn_tree *tree, tarn_tree_cursor **ret_cursor);
TARN_API void tarn_tree_cursor_close(tarn_tree_cursor *cursor);
/* tarn_tree_seek - stand at a key's lower or upper bound, whether it is there or not. 0, -EINVAL, -EPROTO, -ENOMEM. */
TARN_API int tarn_tree_seek(tarn_tree_cursor *cursor, const void *key, size_t key_size, unsigned bound);
TARN_API int tarn_tree_seek64(tarn_tree_cursor *cursor, uint64_t key, unsigned bound);
/* tarn_tree_seek_first, _last - stand before all entries, or behind all. */
TARN_API void tarn_tree_seek_first(tarn_tree_cursor *cursor);
TARN_API void tarn_tree_seek_last(tarn_tree_cursor *cursor);
/* tarn_tree_seek_prefix - stand before the keys that begin with these bytes; until the next seek only such are shown. -EINVAL: also in an order of
 * the user's. */
TARN_API int tarn_tree_seek_prefix(tarn_tree_cursor *cursor, const void *prefix, size_t size);
/* tarn_tree_next, _previous - step over an entry, and show it. 0; -ENOENT: there is none in that direction; -EAGAIN (read-only attachment, writers
 * again and again: the cursor stands where it stood), -EUCLEAN, -ENOMEM. */
TARN_API int tarn_tree_next(tarn_tree_cursor *cursor, struct tarn_tree_entry *ret_entry);
TARN_API int tarn_tree_previous(tarn_tree_cursor *cursor, struct tarn_tree_entry *ret_entry);
TARN_API int tarn_tree_next64(tarn_tree_cursor *cursor, uint64_t *ret_key, uint64_t *ret_value);
TARN_API int tarn_tree_previous64(tarn_tree_cursor *cursor, uint64_t *ret_key, uint64_t *ret_value);

/* tarn_tree_load - put in many entries at once, in ascending order, all of them greater than those that are there. next gives one after the other: 1, 0
 * at the end, or a negative result, which is returned, and nothing is put in. All or nothing, also after a death. Meanwhile others who change the
 * tree wait. 0; -EINVAL: not in order; -EPERM: in a section; -ENOSPC, -EDEADLK, -EROFS. */
TARN_API int tarn_tree_load(tarn_tree *tree, int (*next)(struct tarn_tree_entry *ret_entry, void *arg), void *arg);

/* tarn_tree_count - entries, as a walk over all counts them. */
TARN_API int tarn_tree_count(tarn_tree *tree, uint64_t *ret_count);

/* tarn_tree_each - call back for each entry, in order, with private copies: as tarn_map_each. */
TARN_API int tarn_tree_each(tarn_tree *tree,
                            int (*each)(const void *key, size_t key_size, const void *value, size_t size, void *arg),
                            void *arg);

/* ---- list ----------------------------------------------------------------------------------------------------------- */

/* A doubly linked list in a segment. Links stand in the user's own structs, and are refs, so they lead to the same members in every process.
 * Zeroed bytes are an empty list, and a link that is in none. A change takes the list's lock, in a section of its own or in the open one,
 * until whose end the list stays locked; then it has happened wholly or not at all. Readers go forward without a lock.
 * What was taken out and is to be freed is *retired* (tarn_retire), for a reader may stand on it; put into a list again instead, it
 * takes such a reader along, which `moves` tells. A link in no list is its user's: two threads must not insert the same one at once.
 * Nothing bounds a loop of one's own over tarn_list_next or tarn_walk_next: a peer that may write can lay a circle. Where it is not trusted,
 * count the steps, or use tarn_list_each, which shows no more members than the segment has room for. */
typedef struct tarn_link {
    tarn_ref next, previous; /* the list's; previous is 0 in no list. Written by whoever has the list's lock */
    tarn_ref list;           /* that list; 0 in none */
} tarn_link;
typedef struct tarn_list {
    tarn_mutex lock;
    tarn_link ends;
    uint64_t moves; /* changes whenever a link that was in a list before is put into this one, also by an undo. A loop without the lock that finds
                     * it (__atomic_load_n, acquire) as it was before, behind the last member, has left out none that was there throughout */
    uint64_t reserved;
} tarn_list;

/* The struct of this type of which `link` is the member: TARN_MEMBER(link, struct job, link) */
#define TARN_MEMBER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* tarn_list_insert_ - put a link into the list: as its first, its last, or beside one that is in it. 0, or
 *   -EEXIST  it is in a list already       -ENOENT  the one beside which it is to be put is in none
 *   -EINVAL  list or link do not lie in the segment, aligned to 8, or the one beside which it is to be put is in another list
 *   -ENOSPC  no memory for the section's log
 *   -EDEADLK the section would wait in a circle: abort, and try again     -EUCLEAN damaged       -EROFS, -EUSERS */
TARN_API int tarn_list_insert_first(tarn *seg, tarn_list *list, tarn_link *link);
TARN_API int tarn_list_insert_last(tarn *seg, tarn_list *list, tarn_link *link);
TARN_API int tarn_list_insert_after(tarn *seg, tarn_list *list, tarn_link *link, tarn_link *at);
TARN_API int tarn_list_insert_before(tarn *seg, tarn_list *list, tarn_link *link, tarn_link *at);

/* tarn_list_remove - take a link out of the list that it is in. -ENOENT: it is in none; -EINVAL: in another; others as above. */
TARN_API int tarn_list_remove(tarn *seg, tarn_list *list, tarn_link *link);

/* tarn_list_first, _last, _next, _previous - the member there, or NULL at the list's end (also if what leads on cannot be a member).
 * first and next need no lock: between tarn_read_begin and tarn_read_end every member reached stays what it is, though it may be taken out.
 * last and previous are exact under the list's lock only (take it by tarn_mutex_lock(seg, &list->lock)). */
TARN_API tarn_link *tarn_list_first(tarn *seg, tarn_list *list);
TARN_API tarn_link *tarn_list_last(tarn *seg, tarn_list *list);
TARN_API tarn_link *tarn_list_next(tarn *seg, const tarn_link *link);
TARN_API tarn_link *tarn_list_previous(tarn *seg, const tarn_link *link);

/* tarn_list_each - call back for each member, first to last, without a lock. A member is the `size` bytes that begin `before` bytes before its
 * link: offsetof and sizeof of the user's struct. It stays what it is during the call, which may take it out. On a read-only attachment it is a
 * private copy, and all are copied before the first is shown. A result other than 0 ends the walk and is returned. 0: each member that was there
 * throughout was shown once, and none twice. -EAGAIN: members were moved meanwhile (list->moves), what was shown so far is right; or, read-only,
 * they were moved, or memory was reused, again and again; -EUCLEAN; -EINVAL; -ENOMEM. */
TARN_API int tarn_list_each(tarn *seg, tarn_list *list, size_t before, size_t size,
                            int (*each)(void *member, void *arg), void *arg);

/* A quick walk: the bounds are looked up once. As tarn_list_next, for as long as the segment is attached.
 *     struct tarn_walk w = tarn_walk_of(seg);
 *     for (tarn_link *l = tarn_list_first(seg, list); l; l = tarn_walk_next(&w, l)) */
struct tarn_walk {
    tarn *seg;
    char *base;
    uint64_t from, size; /* refs from `from` on, so many, may be followed as they are */
};
TARN_API struct tarn_walk tarn_walk_of(tarn *seg);
TARN_API tarn_link *tarn_walk_follow(const struct tarn_walk *walk, tarn_ref word);
static inline tarn_link *tarn_walk_next(const struct tarn_walk *walk, const tarn_link *link)
{
    tarn_ref word = __atomic_load_n(&link->next, __ATOMIC_ACQUIRE);
    if (__builtin_expect((word & 7) == 0 && word - walk->from < walk->size, 1)) {
        char *to = walk->base + word;
        /* members made one after the other lie in steps: look a page or so ahead */
        __builtin_prefetch((void *)((uintptr_t)to + 64 * (uintptr_t)(to - (char *)link)));
        return (tarn_link *)(void *)to;
    }
    return tarn_walk_follow(walk, word);
}

/* ---- vector --------------------------------------------------------------------------------------------------------- */

/* A vector in a segment: elements of one size, found by index in O(1), which never move. Zeroed bytes are an empty one, whose element size is that
 * of the first push or resize, or tarn_vector_init. Chunk k has room for 2^(k + 3) elements, and is a block of its own. A change takes the lock, in a
 * section of its own or in the open one, until whose end the vector stays locked. Readers take no lock. Calls name the element's size, which
 * must be the vector's (-EPROTO). docs/vector.md */
#define TARN_VECTOR_CHUNKS 40
#define TARN_VECTOR_ELEMENT_MOST 65536u /* bytes of an element; keep refs of larger things */
typedef struct tarn_vector {
    tarn_mutex lock;
    uint64_t size; /* elements that there are */
    uint32_t element, reserved0;
    uint32_t changing, reserved1; /* who writes over an element in the open section, for as long as he has the lock */
    uint64_t turns;               /* how often somebody began to write over an element */
    uint64_t high;                /* from here on none was ever there */
    uint64_t reserved[2];
    tarn_ref chunk[TARN_VECTOR_CHUNKS];
} tarn_vector;

/* The calls here return 0, or
 *   -EINVAL  the vector does not lie in the segment, aligned to 8; an element of 0 bytes, or of more than TARN_VECTOR_ELEMENT_MOST
 *   -EPROTO  its elements are of another size (tarn_error names both)     -ENOENT  there is no such element
 *   -ENOSPC -ENOMEM  no memory for a chunk, or for the section's log      -EUCLEAN  damaged       -EROFS, -EUSERS
 *   -EDEADLK the section would wait in a circle: abort, and try again */

/* tarn_vector_init - say the size of the elements. -EPROTO: it has another one already. */
TARN_API int tarn_vector_init(tarn *seg, tarn_vector *vector, size_t element_size);
/* tarn_vector_push - add a copy of the element behind the last. *ret_index (may be NULL) is where it is. */
TARN_API int tarn_vector_push(tarn *seg, tarn_vector *vector, const void *element, size_t element_size,
                              uint64_t *ret_index);
/* tarn_vector_pop - take the last one out, and copy it (NULL: don't). -ENOENT: there is none. */
TARN_API int tarn_vector_pop(tarn *seg, tarn_vector *vector, void *ret_element, size_t element_size);
/* tarn_vector_set - write over an element that is there. */
TARN_API int tarn_vector_set(tarn *seg, tarn_vector *vector, uint64_t index, const void *element,
                             size_t element_size);
/* tarn_vector_resize - to `size` elements: new ones are zeros; chunks that are needed no more are retired. */
TARN_API int tarn_vector_resize(tarn *seg, tarn_vector *vector, uint64_t size, size_t element_size);

/* tarn_vector_get - copy an element; never half of one, of whatever size. Takes no lock, unless the element has more than 8 bytes, or 3, 5, 6 or 7,
 * and somebody has the lock who wrote over one in his open section: then it waits for him. Read-only, where nobody can wait: -EAGAIN, after some
 * 50 ms. The same if memory was reused again and again. */
TARN_API int tarn_vector_get(tarn *seg, tarn_vector *vector, uint64_t index, void *ret_element, size_t element_size);
/* tarn_vector_at - where the element is, in this process; NULL: there is none. It stays there for as long as it is in the vector, and to who reads it
 * between tarn_read_begin and tarn_read_end also after that; but a push may write over what was popped. Who writes there has the vector's
 * lock (tarn_mutex_lock) and a section in which he saved it (tarn_save). On a read-only attachment it may be reused at any time: use tarn_vector_get. */
TARN_API void *tarn_vector_at(tarn *seg, tarn_vector *vector, uint64_t index, size_t element_size);
/* tarn_vector_size - how many elements there are now; 0 also if there is no vector there. */
TARN_API uint64_t tarn_vector_size(tarn *seg, const tarn_vector *vector);

/* ---- byte strings --------------------------------------------------------------------------------------------------- */

/* A byte string of 0 to 2^30 bytes in a segment, that is replaced as a whole: a reader, who takes no lock, has the old one or the new one. Zeroed bytes
 * are an empty one. A change takes the lock; in an open section it is part of that, and the string stays locked until its end. docs/bytes.md */
typedef struct tarn_bytes {
    tarn_mutex lock;
    tarn_ref block; /* {size, bytes}, which nobody changes; 0: none */
} tarn_bytes;

/* tarn_bytes_set - replace it by `size` bytes from `from`. 0; -EINVAL: not in the segment, aligned to 8, or too long; -ENOSPC, -ENOMEM; -EDEADLK; -EUCLEAN;
 * -EROFS, -EUSERS. */
TARN_API int tarn_bytes_set(tarn *seg, tarn_bytes *bytes, const void *from, size_t size);
/* tarn_bytes_append - replace it by itself and these bytes behind it. As tarn_bytes_set. It copies all of it. */
TARN_API int tarn_bytes_append(tarn *seg, tarn_bytes *bytes, const void *from, size_t size);
/* tarn_bytes_get - copy it: at most `room` bytes; *ret_size (may be NULL) is its whole size. 0; -EINVAL; -EUCLEAN; -EAGAIN: read-only, memory was reused
 * again and again. What is in `to` is right only if 0 is returned. */
TARN_API int tarn_bytes_get(tarn *seg, const tarn_bytes *bytes, void *to, size_t room, size_t *ret_size);

/* ---- queue, stack --------------------------------------------------------------------------------------------------- */

/* A queue (first in, first out) and a stack (for lists of free blocks) of blocks in a segment, each of which begins with a tarn_node: so a ref to
 * the block is one to its node. Any number of participants push and pop. Zeroed bytes are an empty one, and a node that is in none. A
 * change takes the lock, in a section of its own or in the open one, until whose end the queue stays locked. docs/queue.md
 * What was popped in an open section is back at its place if that is undone, as after a death. Without a section it is the caller's alone once
 * pop has returned, and his death loses it: so pop in the section in which it is done with, or into a place in the segment. */
typedef struct tarn_node {
    tarn_ref next, in; /* the queue's or stack's; 0 in none */
} tarn_node;
typedef struct tarn_queue {
    tarn_mutex lock;
    tarn_ref first, last;
    uint64_t count;
    uint64_t turns; /* how often the lock was taken for a change */
    uint64_t reserved[3];
} tarn_queue;
typedef struct tarn_stack {
    tarn_mutex lock;
    tarn_ref first;
    uint64_t count, turns;
} tarn_stack;

/* The calls here return 0, or
 *   -EINVAL  queue, node or place do not lie in the segment, aligned to 8     -ENOENT  it is empty
 *   -EEXIST  the node is in a queue or stack already; or *place is not 0      -ENOSPC  no memory for the section's log
 *   -EDEADLK the section would wait in a circle: abort, and try again         -EUCLEAN damaged       -EROFS, -EUSERS */

/* tarn_queue_push - put a block behind the last; tarn_stack_push - before the first. */
TARN_API int tarn_queue_push(tarn *seg, tarn_queue *queue, tarn_ref block);
TARN_API int tarn_stack_push(tarn *seg, tarn_stack *stack, tarn_ref block);
/* tarn_queue_push_from - push the block whose ref is at *place in the segment, and store 0 there: both or neither. *place is kept from others, as
 * anything that a section writes. -EINVAL: *place is 0. */
TARN_API int tarn_queue_push_from(tarn *seg, tarn_queue *queue, tarn_ref *place);
TARN_API int tarn_stack_push_from(tarn *seg, tarn_stack *stack, tarn_ref *place);
/* tarn_queue_pop, tarn_stack_pop - take the first one out. -ENOENT: there is none. */
TARN_API int tarn_queue_pop(tarn *seg, tarn_queue *queue, tarn_ref *ret_block);
TARN_API int tarn_stack_pop(tarn *seg, tarn_stack *stack, tarn_ref *ret_block);
/* tarn_queue_pop_into - ... and store its ref at *place in the segment, which must be 0: both or neither. */
TARN_API int tarn_queue_pop_into(tarn *seg, tarn_queue *queue, tarn_ref *place);
TARN_API int tarn_stack_pop_into(tarn *seg, tarn_stack *stack, tarn_ref *place);
/* tarn_queue_count, tarn_stack_count - how many are in it now; 0 also if there is none there. Takes no lock. */
TARN_API uint64_t tarn_queue_count(tarn *seg, const tarn_queue *queue);
TARN_API uint64_t tarn_stack_count(tarn *seg, const tarn_stack *stack);

#ifdef __cplusplus
}
#endif
#endif
