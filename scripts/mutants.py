#!/usr/bin/env python3
"""Plants small faults in the library, one at a time, and asks the tests whether they see them. ./dev mutants

scripts/mutation.py finds the faults. Each is put into a copy of the tree, which is built as far as a test needs it; then killers are tried, cheap
ones first, until one fails, or does not end. What none sees is a survivor: a test is missing, or a store is not needed. A mutant
that changes nothing a user could see is excused by name, with the reason, in test/mutants/excused.txt; an excuse that fits no mutant any more
is an error. Two kinds are not planted: what does not build, and what the compiler makes the same machine code of as of the source.

Results are kept under build/mutants, by what the sources, the mutant and the test are: a second call tries only what is new.
The last line is MUTANTS planted=N killed=N survived=N excused=N tso=N; tso are those killed, of planted, that only a store buffer shows.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import mutation

TOP = pathlib.Path(__file__).resolve().parent.parent
EXCUSED = TOP / 'test/mutants/excused.txt'
COPIED = ['include', 'src', 'test', 'tool', 'man', 'scripts', 'meson.build', 'meson_options.txt', 'CHANGELOG.md', 'docs']
SEED = 26  # takes few mutants of headers, each of which has everything built anew
LEAST, LEAST_TSO = 60, 10  # a list of fewer is no list
# What a sample takes in turn, so that no kind is forgotten, and the many comparisons do not fill it. All tso come first.
TURNS = ['swap', 'store', 'save', 'swap', 'barrier', 'wake', 'swap', 'recheck', 'store', 'hint', 'compare', 'order']

QUICK = 3  # seconds: such tests are tried on every mutant

Killer = collections.namedtuple('Killer', 'name target args seconds sees')


def killers():
    """Tests, each with its target, seconds on an idle machine, and the floors, or files, that it is about. Those about a mutant's file come
    first, and among these the quicker; then others that are quick. A test to come is one more line."""
    k = []
    for name, seconds, sees in (('section', .1, 'participant'), ('mutex', .2, 'sync participant/held.c'), ('list', 2, 'collection/list.c'),
                                ('heap', 5, 'heap'), ('map', 6, 'collection/map'), ('tree', 8, 'collection/tree'), ('name', 4, 'name')):
        k.append(Killer(name, f'test/unit/test_{name}', [], seconds, sees))
    for name, seconds, sees in (('mutex', 1, 'sync participant'), ('section', 4, 'participant'), ('heap', 2.5, 'heap participant/recover.c'),
                                ('list', .6, 'collection/list.c'), ('thread', .4, 'participant'), ('name', .9, 'name'),
                                ('map', 3, 'collection/map heap'), ('tree', 6, 'collection/tree heap')):
        k.append(Killer(f'crashlab {name}', 'test/crash/crashlab', ['--images', '2', '--kills', '1', name], seconds, sees))
    k.append(Killer('crashlab, more', 'test/crash/crashlab', ['--images', '12', '--kills', '2'], 15, 'participant sync heap collection name'))
    k.append(Killer('heap_kill', 'test/unit/test_heap_kill', [], 41, 'heap'))
    for name, seconds, sees in (('participant', 2, 'participant'), ('heap_multi', 1, 'heap'), ('map_multi', 7, 'collection/map'), ('tree_multi', 7, 'collection/tree'),
                                ('promises', .4, 'participant')):
        k.append(Killer(name, f'test/multi/test_{name}', [], seconds, sees))
    k.append(Killer('threads', 'test/concurrency/test_threads', [], .2, 'sync participant heap collection'))
    k.append(Killer('review', 'test/kill/test_review', [], .4, 'participant sync'))
    k.append(Killer('hammer_mutex', 'test/kill/hammer_mutex', ['4', '2', '4', '7'], 4, 'sync participant'))
    k.append(Killer('hammer_mutex_points', 'test/kill/hammer_mutex_points', ['4', '2', '4', '7'], 4, 'sync participant'))
    k.append(Killer('wake', 'test/kill/test_wake', [], 25, 'sync participant/held.c'))
    return k + explored()


def explored():
    """The explorer's cases, each a killer: it has store buffers of its own, so it is what tso mutants meet first."""
    sees = {'mutex': 'sync participant/epoch.c', 'section': 'sync participant', 'record': 'participant/claim.c participant/self.c',
            'recovery': 'participant/recover.c participant/claim.c', 'heap': 'heap participant/epoch.c', 'list': 'collection/list.c',
            'map': 'collection/map', 'tree': 'collection/tree', 'name': 'name'}
    out = []
    for file in sorted((TOP / 'test/explore').glob('case_*.c')):
        for name, people, flags in re.findall(r'^    \{"([^"]+)", (\d), \d, \d, ([^,]+),', file.read_text(), re.M):
            first = name.split(',')[0]
            about = sees.get(first, sees.get(file.stem[len('case_'):], '-'))
            if 'SOAK' not in flags:
                out.append(Killer(f'explorer: {name}', 'test/explore/explorer', [name], 1 if people == '2' and first != 'record' else 8, about))
                if people == '2' and first in ('mutex', 'retire under a reader'):
                    out.append(Killer(f'explorer, deeper: {name}', 'test/explore/explorer', ['--preemptions', '4', name], 4, about))
    return out


def in_order(mutant, ks):
    def rank(k):
        explorer = k.name.startswith('explorer')
        about = any(mutant.file.startswith(w) for w in k.sees.split())
        if not (about or (k.seconds < 8 and mutant.tso if explorer else k.seconds < QUICK)):
            return None
        return mutant.tso and not explorer, not about, k.seconds  # what only store buffers show, the explorer shows first
    return sorted((k for k in ks if rank(k)), key=rank)


# ---- sums: what a result holds for ----

def sum_of(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p if isinstance(p, bytes) else str(p).encode())
        h.update(b'\0')
    return h.hexdigest()[:24]


def files_sum(paths):
    return sum_of(*[x for p in sorted(paths) for x in (p.relative_to(TOP), p.read_bytes())])


def sources_sum():
    return files_sum([p for d in ('src', 'include') for p in (TOP / d).rglob('*') if p.is_file()])


def killer_sum(k):
    directory = TOP / os.path.dirname(k.target)
    stem = os.path.basename(k.target).replace('_points', '')
    own = [p for p in directory.glob('*.[ch]') if p.stem == stem or stem in ('crashlab', 'explorer')]
    if stem == 'explorer':
        own += list(directory.glob('*.py'))
    return sum_of(files_sum(own + list((TOP / 'test').glob('*.h')) + list(directory.glob('*.h'))), *k.args)


class Cache:
    """A line a result: {key, killed}, or {key, code} of what the compiler made of a mutant."""

    def __init__(self, path):
        self.path, self.known, self.lock = path, {}, threading.Lock()
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    e = json.loads(line)
                except ValueError:  # cut short by a kill
                    continue
                self.known[e['key']] = e['value']

    def put(self, key, value, text):
        with self.lock:
            self.known[key] = value
            with self.path.open('a') as f:
                f.write(json.dumps({'key': key, 'value': value, 'text': text}) + '\n')


# ---- excuses ----

def excuses(all_mutants):
    """{name: reason}. A line is `name mark: reason`; # begins a comment. Exits where one fits no mutant."""
    by_name, out, wrong = {m.name: m for m in all_mutants}, {}, []
    for number, line in enumerate(EXCUSED.read_text().splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        match = re.fullmatch(r'(\S+) ([0-9a-f]{6}): (\S.*)', line)
        if not match:
            wrong.append(f'line {number} is not `name mark: reason`')
        elif match[1] not in by_name:
            wrong.append(f'{match[1]}: no such mutant any more')
        elif by_name[match[1]].mark != match[2]:
            wrong.append(f'{match[1]}: another fault has this name now, {by_name[match[1]].mark}: {by_name[match[1]].what[:100]}')
        elif match[1] in out:
            wrong.append(f'{match[1]}: excused twice')
        else:
            out[match[1]] = match[3]
    if wrong:
        sys.exit('\n'.join(f'test/mutants/excused.txt: {w}' for w in wrong))
    return out


# ---- one worker: a copy of the tree, and a build of it ----

def contained():
    """The beginning of a command in which a test has its own processes, /dev/shm and /tmp, so that one that hangs leaves nothing; [] if
    that is not allowed here."""
    script = 'mount -t tmpfs -o size=2g tmpfs /dev/shm && mount -t tmpfs -o size=2g tmpfs /tmp && { "$@"; exit $?; }'
    for more in ([], ['--user', '--map-root-user']):
        command = ['unshare', *more, '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script, 'sh']
        try:
            if subprocess.run([*command, 'true'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return command
        except OSError:
            pass
    return []


def limits():
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))  # private memory; segments have limits of their own
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Worker:
    def __init__(self, directory, container):
        self.tree, self.build, self.container = directory / 'tree', directory / 'build', container
        self.tree.mkdir(parents=True, exist_ok=True)
        self.refresh()
        if not (self.build / 'build.ninja').exists():
            self.call(['meson', 'setup', '-Dwerror=false', str(self.build), str(self.tree)], 600, must=True)

    def refresh(self):
        """The tree is as the source: only what differs is written, so that ninja builds only that."""
        wanted = {}
        for name in COPIED:
            p = TOP / name
            for f in [p] if p.is_file() else [f for f in p.rglob('*') if f.is_file() and '__pycache__' not in f.parts]:
                wanted[f.relative_to(TOP)] = f
        for f in self.tree.rglob('*'):
            if f.is_file() and f.relative_to(self.tree) not in wanted:
                f.unlink()
        for name, f in wanted.items():
            to = self.tree / name
            if not to.exists() or to.read_bytes() != f.read_bytes():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(f, to)
                os.utime(to)

    def call(self, command, seconds, must=False, contained_here=False):
        """(status, output); a status of None: it did not end."""
        command = [*self.container, *command] if contained_here else command
        with subprocess.Popen(command, cwd=self.tree.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              preexec_fn=limits) as p:
            try:
                out, _ = p.communicate(timeout=seconds)
                status = p.returncode
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if status is None:
                out, _ = p.communicate()
        text = out.decode(errors='replace')
        if must and status != 0:
            sys.exit(f'{" ".join(command)}: failed\n{text[-3000:]}')
        return status, text

    def ninja(self, *targets):
        return self.call(['ninja', '-j1', '-C', str(self.build), *targets], 1200)

    def code(self):
        """A sum over the machine code of the library's objects."""
        sums = []
        for o in sorted(self.build.glob('src/libtarn*.p/*.o')):
            key = (o.name, o.stat().st_mtime_ns)
            if key not in self.objects:
                bare = self.tree.parent / 'bare.o'
                subprocess.run(['objcopy', '--strip-debug', str(o), str(bare)], check=True)
                self.objects[key] = sum_of(bare.read_bytes())
            sums.append(self.objects[key])
        return sum_of(*sums)

    objects = {}

    def run(self, k, seconds):
        return self.call([str(self.build / k.target), *k.args], seconds, contained_here=True)


# ---- the whole ----

class Run:
    def __init__(self, args, everything, excused):
        self.args, self.excused = args, excused
        self.dir = TOP / 'build/mutants'
        self.dir.mkdir(parents=True, exist_ok=True)
        self.cache = Cache(self.dir / 'results.jsonl')
        self.killers = killers()
        self.killer_sums = {k.name: killer_sum(k) for k in self.killers}
        self.sources = sources_sum()
        self.everything, self.lock = everything, threading.Lock()
        self.outcome, self.planted, self.begun, self.started = {}, 0, 0, time.time()
        self.code = None

    def say(self, text):
        with self.lock:
            print(text, file=sys.stderr, flush=True)

    def baseline(self, worker):
        """Every killer passes on the source itself, or it proves nothing."""
        status, out = worker.ninja(*sorted({k.target for k in self.killers}))
        if status:
            sys.exit(f'the tests do not build:\n{out[-3000:]}')
        self.code = worker.code()
        self.seconds = {}
        for k in self.killers:
            if self.args.cost and k.seconds > self.args.cost:
                continue
            key = sum_of('baseline', self.sources, self.killer_sums[k.name])
            if key not in self.cache.known:
                began = time.time()
                status, out = worker.run(k, 600)
                if status != 0:
                    sys.exit(f'{k.name} fails on the library as it is:\n{out[-3000:]}')
                self.cache.put(key, round(time.time() - began, 2), f'{k.name} on the source')
                self.say(f'baseline: {k.name}: {self.cache.known[key]} s')
            self.seconds[k.name] = self.cache.known[key]

    def limit(self, k):
        return max(20, 8 * self.cost(k))

    def cost(self, k):
        return max(k.seconds, self.seconds.get(k.name, 0))

    def key(self, m, k):
        return sum_of(self.sources, m.name, m.mark, self.killer_sums[k.name])

    def try_one(self, worker, m):
        """'same', 'invalid', 'survived', or 'killed by ...'"""
        order = in_order(m, self.killers)
        for k in order:
            if self.cache.known.get(self.key(m, k)) == 'killed':
                return f'killed by {k.name}'
        shape = sum_of('code', self.sources, m.name, m.mark)
        if self.cache.known.get(shape) in ('same', 'invalid'):
            return self.cache.known[shape]
        order = [k for k in order if self.key(m, k) not in self.cache.known and not (self.args.cost and self.cost(k) > self.args.cost)]
        if not order:
            return 'survived'
        path = worker.tree / 'src' / m.file
        text = path.read_text()
        try:
            path.write_text(m.apply(text))
            status, _ = worker.ninja('src/libtarn.a')
            value = 'invalid' if status else 'same' if worker.code() == self.code else 'other'
            self.cache.put(shape, value, m.name)
            if value != 'other':
                return value
            for k in order:
                status, _ = worker.ninja(k.target)
                if status:
                    return 'invalid'
                status, _ = worker.run(k, self.limit(k))
                how = 'hangs' if status is None else 'fails'
                self.cache.put(self.key(m, k), 'passed' if status == 0 else 'killed', f'{m.name}: {k.name} {"passes" if status == 0 else how}')
                if status != 0:
                    return f'killed by {k.name}' + (' (hangs)' if status is None else '')
            return 'survived'
        finally:
            path.write_text(text)

    def work(self, worker, queue, most):
        while True:
            with self.lock:
                if not queue or (most and self.planted + self.begun >= most):
                    # what is under way may turn out not to be planted: the one who finds that goes on
                    return
                m = queue.popleft()
                self.begun += 1
            outcome = 'excused' if m.name in self.excused and not self.args.try_excused else self.try_one(worker, m)
            with self.lock:
                self.begun -= 1
                self.outcome[m.name] = (m, outcome)
                self.planted += outcome not in ('same', 'invalid')
                count = self.planted
            self.say(f'{time.time() - self.started:6.0f} s {count:4d}  {m.name}: {outcome}{"" if outcome != "survived" else "   " + m.what[:120]}')

    def go(self, chosen, most):
        container = contained()
        workers = [Worker(self.dir / f'w{i}', container) for i in range(self.args.jobs)]
        self.baseline(workers[0])
        for w in workers[1:]:
            w.ninja('src/libtarn.a')
        queue = collections.deque(chosen)
        with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
            for f in [pool.submit(self.work, w, queue, most) for w in workers]:
                f.result()

    def report(self):
        by = collections.defaultdict(list)
        for m, outcome in self.outcome.values():
            by[outcome.split()[0]].append(m)
        wrong = [m for m in by['killed'] if m.name in self.excused]
        planted = [m for word in ('killed', 'survived', 'excused') for m in by[word]]
        for kind in mutation.KINDS:
            n = {word: sum(m.kind == kind for m in by[word]) for word in ('killed', 'survived', 'excused')}
            if any(n.values()):
                print(f'{kind:8} killed {n["killed"]:4d}  survived {n["survived"]:3d}  excused {n["excused"]:3d}')
        by_killer = collections.Counter(o[len('killed by '):].replace(' (hangs)', '') for _, o in self.outcome.values() if o.startswith('killed'))
        print('killers: ' + ', '.join(f'{name} {n}' for name, n in by_killer.most_common()))
        if by['survived'] and self.args.cost:
            print(f'survived so far: tests of more than {self.args.cost} seconds were not tried (--cost)')
        for m in by['survived']:
            print(f'survived: {m.name} {m.mark}  src/{m.file}:{m.line}: {m.what[:160]}')
        for m in wrong:
            print(f'excused, and yet killed: {m.name}: take the excuse away')
        print(f'not planted: {len(by["same"])} of the same machine code, {len(by["invalid"])} that do not build; candidates in all: '
              f'{len(self.everything)}')
        print(f'MUTANTS planted={len(planted)} killed={len(by["killed"])} survived={len(by["survived"])} excused={len(by["excused"])} '
              f'tso={sum(m.tso for m in by["killed"])}')
        return 1 if by['survived'] or wrong else 0


def sampled(all_mutants, seed):
    """All, in the order in which a sample takes them: by a sum over seed and name, so new code does not change what is taken of the old."""
    rank = {m.name: hashlib.sha256(f'{seed} {m.name}'.encode()).digest() for m in all_mutants}
    left = {kind: collections.deque(sorted((m for m in all_mutants if m.kind == kind and not m.tso), key=lambda m: rank[m.name]))
            for kind in mutation.KINDS}
    out = sorted((m for m in all_mutants if m.tso), key=lambda m: rank[m.name])
    while any(left.values()):
        out += [left[kind].popleft() for kind in TURNS if left[kind]]
    return out


def main():
    p = argparse.ArgumentParser(prog='dev mutants', description=__doc__.split('\n')[0],
                                epilog='Without arguments: the sample of 80. It takes about an hour the first time, and is quick after that.')
    p.add_argument('--list', action='store_true', help='say which mutants there are, and plant none')
    p.add_argument('--check', action='store_true', help='only: are there enough, and does every excuse fit one?')
    p.add_argument('--only', metavar='PATTERN', action='append', help='only those whose name has this in it (*, ? as in the shell); again for more')
    p.add_argument('--sample', metavar='N', type=int, help='so many, all tso among them (80 without --only and --all)')
    p.add_argument('--seed', type=int, default=SEED, help='which ones a sample takes')
    p.add_argument('--all', action='store_true', help='all there are: some hours')
    p.add_argument('--try-excused', action='store_true', help='plant the excused too: one that is killed needs no excuse, and is an error')
    p.add_argument('--show', action='store_true', help='with --list: what each changes')
    p.add_argument('--cost', metavar='S', type=float, help='a first look: only by tests of so many seconds, or fewer')
    p.add_argument('--jobs', '-j', type=int, default=2, help='at a time (2)')
    args = p.parse_args()
    everything = mutation.mutants(TOP)
    excused = excuses(everything)
    tso = sum(m.tso for m in everything)
    if len(everything) < LEAST or tso < LEAST_TSO:
        sys.exit(f'only {len(everything)} mutants, {tso} of them tso: the finder finds too little')
    chosen = sampled(everything, args.seed)
    if args.only:
        chosen = [m for m in chosen if any(fnmatch.fnmatchcase(m.name, f'*{o}*') for o in args.only)]
        if not chosen:
            sys.exit(f'no mutant is named like {" or ".join(args.only)}')
    if args.list or args.check:
        for m in sorted(chosen, key=everything.index) if args.list else []:
            print(f'{m.name} {m.mark}{" tso" if m.tso else ""}{" excused" if m.name in excused else ""}'
                  + (f'\n    src/{m.file}:{m.line}: {m.what}' if args.show else ''))
        print(f'{len(chosen)} mutants, {sum(m.tso for m in chosen)} of them tso, {sum(m.name in excused for m in chosen)} excused')
        return 0
    most = args.sample or (0 if args.only or args.all else 80)
    run = Run(args, everything, excused)
    try:
        run.go(chosen, most)
    except KeyboardInterrupt:
        run.say('stopped; call again to go on')
        run.report()
        sys.stdout.flush()
        os._exit(130)
    return run.report()


if __name__ == '__main__':
    sys.exit(main())
