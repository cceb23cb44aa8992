/* guard.c - a table of prices that only the market may change: a client that strays into it is caught in the act, and told where.
 *
 * Both have the segment mapped for writing, for they share more than the table. The client has taken the right to write the table from itself. */
#include <tarn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };
struct prices {
    long of[PAGE / sizeof(long)];
};

static int fail(void)
{
    return fprintf(stderr, "%s\n", tarn_error()), 1;
}

static const char *name_of(uint32_t access)
{
    static const char *const names[] = {"nothing", "a minor fault", "a major fault", "SIGBUS", "SIGSEGV"};
    return names[access];
}

static void caught(const struct tarn_fault *fault, void *arg) /* in a signal handler: no printf here */
{
    static const char text[] = "client: caught: a write to the prices\n";
    (void)arg;
    if (fault->kind != TARN_FAULT_READ && fault->offset == 7 * sizeof(long) && fault->name[0] == 'p')
        (void)!write(STDOUT_FILENO, text, sizeof text - 1);
}

static int client(tarn *seg, tarn_ref table)
{
    struct tarn_translation t;
    struct rlimit none = {0, 0};
    struct prices *prices = tarn_ptr(seg, table, sizeof *prices);
    setrlimit(RLIMIT_CORE, &none);
    if (tarn_protect(seg, table, 0, TARN_PROT_READ, 0) < 0 || tarn_fault_handler(caught, NULL) < 0 ||
        tarn_translate(seg, prices, &t) < 0)
        return fail();
    printf("client: reads a price: %ld; a write would be %s\n", prices->of[7], name_of(t.on_write));
    fflush(stdout);
    prices->of[7] = 1; /* a mistake, somewhere in a large program */
    printf("client: nobody noticed\n");
    return 0;
}

int main(void)
{
    static const struct tarn_type type = {"struct prices", sizeof(struct prices), 0};
    tarn *seg;
    tarn_ref table = 0;
    int status = 0;
    if (tarn_open("posix:/market", TARN_CREATE, NULL, &seg) < 0 || tarn_begin(seg) < 0 ||
        tarn_alloc_aligned(seg, sizeof(struct prices), PAGE, &table) < 0 || tarn_commit(seg) < 0 ||
        tarn_bind(seg, "prices", &type, table) < 0)
        return fail();
    struct prices *prices = tarn_ptr(seg, table, sizeof *prices);
    prices->of[7] = 42;
    fflush(stdout);
    if (fork() == 0)
        return client(seg, table);
    wait(&status);
    printf("market: the client %s; the price is %ld\n",
           WIFSIGNALED(status) ? "was ended by a signal" : "went on", prices->of[7]);
    prices->of[7]++; /* its own rights are what they were */
    printf("market: and now %ld\n", prices->of[7]);
    tarn_unlink("posix:/market");
    return tarn_close(seg) < 0;
}
