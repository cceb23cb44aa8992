/* segment/fault.c - tarn_fault_handler: a handler for SIGSEGV and SIGBUS, asked for, that tells what a stray access has hit, and goes on to the one before it.
 *
 * All of it is async-signal-safe: it reads the table of guard.c, which needs no lock, formats by itself, and writes by write(2). It tells of addresses in
 * this process's mappings of segments, and of no others. Then the handler that was there before is called, or its default is restored, and
 * the instruction meets its fault again: so the process ends as it would have, with the same signal and a core of the same place. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "segment/guard.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of who asks for it; the handler takes none */
static bool installed;
static struct sigaction before_segv, before_bus; /* written before the handler is there */
static struct telling {
    void (*tell)(const struct tarn_fault *fault, void *arg); /* NULL: a line on stderr */
    void *arg;
} told[2]; /* one of them is in use */
static uint32_t telling;

/* ---- a line, without the C library ---- */

struct line {
    char text[512];
    size_t used;
};

static void put_text(struct line *l, const char *text)
{
    for (; *text && l->used < sizeof l->text - 1; text++) /* names are other people's bytes */
        l->text[l->used++] = (unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f ? '?' : *text;
}

static void put_number(struct line *l, uint64_t number, unsigned base)
{
    char digits[24], *at = digits + sizeof digits;
    *--at = 0;
    do
        *--at = "0123456789abcdef"[number % base];
    while (number /= base);
    put_text(l, base == 16 ? "0x" : "");
    put_text(l, at);
}

static void put_object(struct line *l, const struct tarn_fault *f)
{
    if (f->name[0]) {
        put_text(l, "\"");
        put_text(l, f->name);
        put_text(l, "\"");
    } else if (f->object) {
        put_text(l, "the block at ref ");
        put_number(l, f->object, 16);
    } else
        return;
    put_text(l, " + ");
    put_number(l, f->offset, 10);
    put_text(l, ", ");
}

static void put_reason(struct line *l, const struct tarn_fault *f)
{
    if (f->rights)
        put_text(l, f->rights & TARN_PROT_READ ? "protected: to be read only"
                                               : "protected: neither to be read nor written");
    else
        put_text(l, f->signal == SIGBUS ? "where nothing is behind the mapping"
                                        : "which the mapping does not allow");
}

static void tell_line(const struct tarn_fault *f)
{
    static const char *const kinds[] = {"access to", "read of", "write to", "execution of"};
    struct line l = {.used = 0};
    put_text(&l, f->signal == SIGBUS ? "tarn: SIGBUS: " : "tarn: SIGSEGV: ");
    put_text(&l, kinds[f->kind]);
    put_text(&l, " ");
    put_object(&l, f);
    put_text(&l, "ref ");
    put_number(&l, f->ref, 16);
    put_text(&l, " of ");
    put_text(&l, f->url[0] ? f->url : "a segment opened by descriptor");
    put_text(&l, ", address ");
    put_number(&l, (uintptr_t)f->address, 16);
    put_text(&l, ", ");
    put_reason(&l, f);
    put_text(&l, "; pc ");
    put_number(&l, (uintptr_t)f->pc, 16);
    l.text[l.used++] = '\n';
    for (size_t done = 0; done < l.used;) {
        ssize_t n = write(STDERR_FILENO, l.text + done, l.used - done);
        if (n < 0 && errno != EINTR)
            return;
        done += n > 0 ? (size_t)n : 0;
    }
}

/* ---- what happened ---- */

static void read_machine(const void *context, struct tarn_fault *f)
{
    const ucontext_t *u = context;
#if defined(__x86_64__)
    uint64_t error = (uint64_t)u->uc_mcontext.gregs[REG_ERR];
    f->pc = (const void *)u->uc_mcontext.gregs[REG_RIP]; // NOLINT: an address
    if (u->uc_mcontext.gregs[REG_TRAPNO] == 14)          /* a page fault, whose bits these are */
        f->kind = error & 16 ? TARN_FAULT_EXECUTE : error & 2 ? TARN_FAULT_WRITE : TARN_FAULT_READ;
#elif defined(__aarch64__)
    f->pc = (const void *)u->uc_mcontext.pc; // NOLINT: an address
#else
    (void)u;
#endif
}

static void tell(int number, const siginfo_t *info, const void *context)
{
    struct guard_found found;
    struct tarn_fault f = {.address = info->si_addr, .signal = number, .code = info->si_code};
    struct telling to = told[__atomic_load_n(&telling, __ATOMIC_ACQUIRE) & 1];
    if (info->si_code <= 0 || !guard_find((uintptr_t)info->si_addr, &found)) /* sent by somebody; elsewhere */
        return;
    read_machine(context, &f);
    f.ref = found.ref;
    f.rights = found.is_guarded ? found.rights : 0;
    f.object = found.is_named ? found.object : 0;
    f.offset = found.is_named ? found.ref - found.object : 0;
    memcpy(f.name, found.name, sizeof f.name);
    memcpy(f.url, found.url, sizeof f.url);
    if (to.tell)
        to.tell(&f, to.arg);
    else
        tell_line(&f);
}

/* ---- on to the one before ---- */

static void go_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction *before = number == SIGBUS ? &before_bus : &before_segv;
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(number, info, context);
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN)
        before->sa_handler(number);
    else if (info->si_code > 0 || before->sa_handler == SIG_DFL) {
        signal(number, SIG_DFL); /* the instruction is tried again, and meets it */
        if (info->si_code <= 0)
            raise(number); /* delivered when this returns */
    }
}

static void handle(int number, siginfo_t *info, void *context)
{
    int error = errno;
    tell(number, info, context);
    errno = error;
    go_on(number, info, context);
}

/* ---- asking for it ---- */

static int install(void)
{
    struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGSEGV, NULL, &before_segv) != 0 || sigaction(SIGBUS, NULL, &before_bus) != 0 ||
        sigaction(SIGSEGV, &ours, NULL) != 0)
        return -errno;
    if (sigaction(SIGBUS, &ours, NULL) != 0) {
        int error = -errno;
        sigaction(SIGSEGV, &before_segv, NULL);
        return error;
    }
    return 0;
}

/* Whoever has put a handler over ours goes on to it, so it must stay. */
static bool is_on_top(void)
{
    struct sigaction segv, bus;
    return sigaction(SIGSEGV, NULL, &segv) == 0 && sigaction(SIGBUS, NULL, &bus) == 0 &&
           segv.sa_flags & SA_SIGINFO && bus.sa_flags & SA_SIGINFO && segv.sa_sigaction == handle &&
           bus.sa_sigaction == handle;
}

int tarn_fault_handler(void (*told_by)(const struct tarn_fault *fault, void *arg), void *arg)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    uint32_t next = telling + 1;
    told[next & 1] = (struct telling){told_by, arg};
    __atomic_store_n(&telling, next, __ATOMIC_RELEASE);
    if (!installed && (error = install()) == 0)
        installed = true;
    pthread_mutex_unlock(&lock);
    return error < 0 ? fail(error, "no handler for SIGSEGV and SIGBUS can be installed: %s", strerror(-error)) : 0;
}

int tarn_fault_handler_end(void)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    if (installed && !is_on_top())
        error = fail(-EBUSY, "another handler for SIGSEGV or SIGBUS was installed over tarn's, or in its "
                             "place: it stays as it is");
    else if (installed) {
        sigaction(SIGSEGV, &before_segv, NULL);
        sigaction(SIGBUS, &before_bus, NULL);
        installed = false;
    }
    pthread_mutex_unlock(&lock);
    return error;
}
