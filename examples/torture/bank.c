/* bank.c - a program for tarn torture to find a fault in, and the same without it.
 *
 *     bank unsafe URL [TRANSFERS]   moves money from one account to another under a lock, and nothing more: whoever is killed between the two stores has
 *                                   taken it from the one and not given it to the other
 *     bank safe URL [TRANSFERS]     the same in a section
 *     bank check URL                what is always so: no money has come or gone
 *
 *     tarn torture --check 'bank check posix:/bank' -- bank unsafe posix:/bank
 *
 * Half of the transfers are a child's. A lock that comes with TARN_RECOVERED is no news to this program: it does not know how to mend. */
#include <tarn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct account {
    long money, transfers;
};
struct bank {
    tarn_mutex lock;
    long open; /* it has its money */
    struct account account[2];
};

static int must(int result)
{
    if (result < 0) {
        fprintf(stderr, "bank: %s\n", tarn_error());
        exit(1);
    }
    return result;
}

static void move_money(struct bank *bank, long amount)
{
    bank->account[0].money -= amount;
    bank->account[0].transfers++;
    bank->account[1].money += amount;
    bank->account[1].transfers++;
}

static void transfer_unsafely(tarn *seg, struct bank *bank, long amount)
{
    if (must(tarn_mutex_lock(seg, &bank->lock)) == TARN_RECOVERED)
        must(tarn_mutex_consistent(seg, &bank->lock)); /* it is not: nobody has looked */
    move_money(bank, amount);
    must(tarn_mutex_unlock(seg, &bank->lock));
}

static void transfer_safely(tarn *seg, struct bank *bank, long amount)
{
    must(tarn_begin(seg));
    must(tarn_mutex_lock(seg, &bank->lock));
    must(tarn_save(seg, bank->account, sizeof bank->account));
    move_money(bank, amount);
    must(tarn_mutex_unlock(seg, &bank->lock));
    must(tarn_commit(seg));
}

static void open_bank(tarn *seg, struct bank *bank)
{
    const long yes = 1, money = 100;
    must(tarn_begin(seg));
    must(tarn_mutex_lock(seg, &bank->lock));
    if (!bank->open) {
        must(tarn_write(seg, &bank->open, &yes, sizeof yes));
        must(tarn_write(seg, &bank->account[0].money, &money, sizeof money));
    }
    must(tarn_mutex_unlock(seg, &bank->lock));
    must(tarn_commit(seg));
}

static int work(tarn *seg, int safe, int transfers)
{
    struct bank *bank;
    must(tarn_object(seg, "bank", struct bank, &bank));
    open_bank(seg, bank);
    pid_t child = fork();
    for (int i = 0; i < transfers; i++)
        (safe ? transfer_safely : transfer_unsafely)(seg, bank, child ? 10 : -5);
    if (child == 0)
        _exit(tarn_close(seg) < 0);
    return child < 0 || waitpid(child, NULL, 0) != child || tarn_close(seg) < 0;
}

static int check(tarn *seg)
{
    struct bank *bank;
    tarn_ref ref;
    if (tarn_find(seg, "bank", &TARN_TYPE(struct bank), &ref) < 0)
        return 0; /* not made yet */
    must(tarn_object(seg, "bank", struct bank, &bank));
    must(tarn_mutex_lock(seg, &bank->lock));
    long sum = bank->account[0].money + bank->account[1].money, want = bank->open ? 100 : 0;
    if (sum != want)
        printf("%ld + %ld is %ld, and was %ld\n", bank->account[0].money, bank->account[1].money, sum, want);
    must(tarn_mutex_unlock(seg, &bank->lock));
    must(tarn_close(seg));
    return sum != want;
}

int main(int argc, char **argv)
{
    tarn *seg;
    const char *what = argc > 2 ? argv[1] : "";
    if (!strcmp(what, "check"))
        return must(tarn_open(argv[2], 0, NULL, &seg)), check(seg);
    if (strcmp(what, "safe") && strcmp(what, "unsafe"))
        return fprintf(stderr, "usage: bank safe|unsafe|check URL [TRANSFERS]\n"), 2;
    must(tarn_open(argv[2], TARN_CREATE, NULL, &seg));
    return work(seg, !strcmp(what, "safe"), argc > 3 ? atoi(argv[3]) : 2);
}
