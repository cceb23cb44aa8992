#!/usr/bin/env python3
"""tarn locks: what is held, by whom, and who waits for whom, between real processes. usage: test_locks.py TARN HOLDER LOCKER [unittest arguments]

Those who hold and wait are processes of locker.c, which are stopped and killed; circles are real, of waits that would go on for a thousand seconds.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

import machine
from machine import NOBODY, Maybe, faults

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
LOCKER = os.path.abspath(sys.argv[3])
CASES = sys.argv[4:]

STATE = ('live', 'stopped', 'dead', 'unknown')
LOCK = {
    'lock': int, 'object': Maybe(str), 'kind': ('mutex', 'inner', 'read', 'write', 'units', 'member'), 'number': int, 'held': ('yes', 'moving', 'unsure'),
    'participant': int, 'pid': int, 'tid': int, 'nspid': int, 'nstid': int, 'command': Maybe(str), 'state': STATE, 'since': Maybe(int), 'section': bool,
    'deferred': bool, 'dirty': bool, 'waiters': int, 'name': str}
WAIT = {
    'lock': int, 'object': Maybe(str), 'what': ('mutex or rwlock', 'readers', 'units', 'members', 'act'), 'participant': int, 'pid': int, 'tid': int,
    'command': Maybe(str), 'state': STATE, 'timed': bool, 'holder': Maybe(int), 'holder_pid': Maybe(int), 'holder_command': Maybe(str),
    'holder_state': Maybe(STATE), 'circle': Maybe(int), 'name': str}
CIRCLE = {'circle': int, 'length': int, 'timed': int, 'story': str, 'name': str}
LOCKS = {'locks': [LOCK], 'waits': [WAIT], 'circles': [CIRCLE]}

# Offsets in locker.c's struct desk
MUTEX, RWLOCK, HELD, BARRIER = 8, 64, 144, 176


def dot_graph(text):
    """The nodes, with their attributes, and edges of a graph in the language of Graphviz, by its grammar, as far as it is used; what is not of it is an error."""
    token = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[A-Za-z_][A-Za-z_0-9]*|-?[0-9.]+|->|[{}\[\];=,])')
    tokens, at = [], 0
    text = text.strip()
    while at < len(text):
        m = token.match(text, at)
        if not m:
            raise ValueError(f'no token: {text[at:at + 40]!r}')
        tokens.append(m[1])
        at = m.end()
    tokens.append('')
    nodes, edges, place = {}, [], [0]

    def take(*wanted):
        t = tokens[place[0]]
        if wanted and t not in wanted:
            raise ValueError(f'{t!r}, and not {wanted}: {tokens[max(place[0] - 8, 0):place[0] + 3]}')
        place[0] += 1
        return t

    def name():
        t = take()
        if not re.fullmatch(r'".*"|\w+|-?[0-9.]+', t, re.S):
            raise ValueError(f'{t!r} is no name')
        return re.sub(r'\\(["\\])', r'\1', t[1:-1]) if t[0] == '"' else t

    def attributes():
        found = {}
        if tokens[place[0]] == '[':
            take('[')
            while tokens[place[0]] != ']':
                key = name()
                take('=')
                found[key] = name()
                if tokens[place[0]] != ']':
                    take(',', ';')
            take(']')
        return found

    def statements():
        take('{')
        while tokens[place[0]] != '}':
            if tokens[place[0]] == 'subgraph':
                take()
                name()
                statements()
                continue
            first = name()
            if tokens[place[0]] == '=':
                take()
                name()
            elif tokens[place[0]] == '->':
                take()
                second = name()
                edges.append((first, second, attributes()))
            else:
                nodes.setdefault(first, {}).update(attributes())
            take(';')
        take('}')

    take('strict')
    take('digraph')
    name()
    statements()
    take('')
    return nodes, edges


class Person:
    """A process of locker.c."""

    def __init__(self, case, url):
        self.p = subprocess.Popen([LOCKER, url], env=case.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        case.addCleanup(case.release, self.p)
        case.assertEqual(self.p.stdout.readline(), b'ready\n')
        self.pid, self.case = self.p.pid, case

    def tell(self, order, n=0):
        """What may be waited in."""
        self.p.stdin.write(f'{order} {n}\n'.encode())
        self.p.stdin.flush()

    def answer(self):
        return int(self.p.stdout.readline())

    def do(self, order, n=0, result=0):
        self.tell(order, n)
        self.case.assertEqual(self.answer(), result, (order, n))

    def stop(self):
        self.p.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self):
        self.p.kill()
        self.p.wait()


class Case(machine.Case):
    URL = 'posix:/desk'

    def setUp(self):
        super().setUp()
        self.ours()

    def people(self, n, url=URL):
        return [Person(self, url) for _ in range(n)]

    def locks(self, *arguments, **options):
        told = self.json('locks', *(arguments or [self.URL]), **options)
        self.assertEqual(faults(told, LOCKS), [])
        return told

    def waiting(self, n, *arguments):
        """When so many wait."""
        def look():
            told = self.locks(*arguments)
            return told if len({(w['participant'], w['name']) for w in told['waits']}) == n else None
        return self.until(look, f'{n} wait')

    @staticmethod
    def brief(told):
        return sorted((k['pid'], k['kind'], k['number'], k['object'], k['state']) for k in told['locks'])


class Held(Case):
    def test_kinds(self):
        one, two = self.people(2)
        self.assertEqual(self.locks(), {'locks': [], 'waits': [], 'circles': []})
        one.do('mutex', 0)
        one.do('read', 0)
        two.do('read', 0)
        two.do('write', 1)
        one.do('set', 7)
        one.do('take', 3)
        one.do('join')
        told = self.locks()
        self.assertEqual(self.brief(told), sorted([
            (one.pid, 'mutex', 1, 'desk', 'live'), (one.pid, 'read', 1, f'desk + {RWLOCK}', 'live'), (two.pid, 'read', 1, f'desk + {RWLOCK}', 'live'),
            (two.pid, 'write', 1, f'desk + {RWLOCK + 40}', 'live'), (one.pid, 'units', 3, f'desk + {HELD}', 'live'),
            (one.pid, 'member', 0, f'desk + {BARRIER}', 'live')]))
        self.assertEqual({(k['command'], k['tid'], k['held'], k['waiters']) for k in told['locks'] if k['pid'] == one.pid}, {('locker', one.pid, 'yes', 0)})
        who = {p['pid']: p for p in self.who(self.URL)['participants']}
        for k in told['locks']:
            self.assertEqual(k['participant'], who[k['pid']]['participant'])
            self.assertEqual(k['since'], who[k['pid']]['since'])
        refs = {k['object']: k['lock'] for k in told['locks']}
        self.assertEqual(refs[f'desk + {HELD}'] - refs['desk'], HELD)

    def test_who(self):
        """tarn who names the first few, and tells since when each takes part."""
        before = int(time.time())
        one, two = self.people(2)
        for k in range(3):
            one.do('mutex', k)
        one.do('read', 0)
        two.tell('mutex', 0)
        self.waiting(1)
        one.do('set', 2)
        told = {p['pid']: p for p in self.who(self.URL)['participants']}
        four = f'mutex desk, mutex desk + {MUTEX}, mutex desk + {2 * MUTEX}, read desk + {RWLOCK}'
        self.assertEqual([(p.pid, told[p.pid]['locks'], told[p.pid]['holds']) for p in (one, two)], [(one.pid, 4, four), (two.pid, 0, None)])
        one.do('take', 2)
        mine = {p['pid']: p for p in self.who(self.URL)['participants']}[one.pid]
        self.assertEqual((mine['locks'], mine['holds']), (5, four + ' and 1 more'))
        for p in told.values():
            self.assertTrue(before <= p['since'] <= time.time(), p)
        table = self.tarn('who', '--participants', self.URL)
        self.assertRegex(table, r'^PARTICIPANT +PID +TID STATE +SINCE +SECTION LOCKS HOLDS +WAITS-FOR')
        self.assertRegex(table, rf' {one.pid} +{one.pid} live +\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d +- +5 {re.escape(four)} and 1 more ')

    def test_sections(self):
        one, two = self.people(2)
        one.do('begin')
        one.do('mutex', 1)
        one.do('mutex', 2)
        one.do('unlock', 2)
        two.tell('mutex', 2)
        told = self.waiting(1)
        self.assertEqual({(k['object'], k['section'], k['deferred'], k['waiters']) for k in told['locks']},
                         {(f'desk + {MUTEX}', True, False, 0), (f'desk + {2 * MUTEX}', True, True, 1)})
        text = self.tarn('locks', '--graph', self.URL)
        self.assertRegex(text, rf'\n  has mutex 0x[0-9a-f]+, desk \+ 16, until its section ends\n    0x\w+ \(pid {two.pid}, locker\) waits\n')
        one.do('commit')
        self.assertEqual(two.answer(), 0)

    def test_the_stopped_and_the_dead(self):
        one, two, three = self.people(3)
        one.do('mutex', 0)
        one.stop()
        two.tell('mutex', 0)
        told = self.waiting(1)
        self.assertEqual([(k['pid'], k['state'], k['waiters']) for k in told['locks']], [(one.pid, 'stopped', 1)])
        wait, = told['waits']
        self.assertEqual([wait[k] for k in ('pid', 'state', 'holder_pid', 'holder_state', 'holder', 'timed', 'circle', 'what')],
                         [two.pid, 'live', one.pid, 'stopped', told['locks'][0]['participant'], False, None, 'mutex or rwlock'])
        text = self.tarn('locks', '--graph', self.URL)
        self.assertRegex(text, rf'^0x\w+ \(pid {one.pid}, locker\), stopped\n  has mutex 0x\w+, desk\n    0x\w+ \(pid {two.pid}, locker\) waits\n$')
        two.stop()
        one.kill()  # and nobody who could recover it runs
        told = self.locks()
        self.assertEqual([(k['pid'], k['state'], k['held']) for k in told['locks']], [(one.pid, 'dead', 'yes')])
        self.assertEqual([(w['pid'], w['state'], w['holder_state']) for w in told['waits']], [(two.pid, 'stopped', 'dead')])
        self.assertIn('(pid %d), dead\n' % one.pid, self.tarn('locks', '--graph', self.URL))
        two.p.send_signal(signal.SIGCONT)
        self.assertEqual(two.answer(), 1)
        mine, = self.locks()['locks']
        self.assertEqual((mine['pid'], mine['dirty'], mine['state']), (two.pid, True, 'live'))
        two.kill()
        three.do('mutex', 0, 1)
        self.assertEqual([k['pid'] for k in self.locks()['locks']], [three.pid])

    def test_units_and_members_and_acts(self):
        one, two, three = self.people(3)
        one.do('set', 2)
        one.do('take', 2)
        two.tell('take', 1)
        wait, = self.waiting(1)['waits']
        self.assertEqual((wait['what'], wait['holder_pid'], wait['object']), ('units', one.pid, f'desk + {HELD}'))
        one.do('join')
        three.tell('arrive')
        told = self.waiting(2)
        self.assertIn((three.pid, one.pid, 'members'), {(w['pid'], w['holder_pid'], w['what']) for w in told['waits']})
        self.assertIn((three.pid, 'member', 1), {(k['pid'], k['kind'], k['number']) for k in told['locks']})
        one.tell('wait')
        wait, = [w for w in self.waiting(3)['waits'] if w['what'] == 'act']
        self.assertEqual((wait['pid'], wait['holder'], wait['holder_pid'], wait['holder_state']), (one.pid, None, None, None))
        self.assertRegex(self.tarn('locks', '--graph', self.URL), r'\n  waits for 0x\w+, desk \+ \d+, of nobody in particular\n')


class Circles(Case):
    def circle(self, n, order):
        people = self.people(n)
        for k, p in enumerate(people):
            p.do('mutex', k)
        for k, p in enumerate(people):
            p.tell(order, (k + 1) % n)
        return people, self.waiting(n)

    def check_circle(self, n, order):
        people, told = self.circle(n, order)
        follows = {p.pid: people[(k + 1) % n].pid for k, p in enumerate(people)}
        self.assertEqual({w['pid']: w['holder_pid'] for w in told['waits']}, follows)
        self.assertEqual([w['circle'] for w in told['waits']], [1] * n)
        circle, = told['circles']
        timed = n if order == 'timed' else 0
        self.assertEqual((circle['circle'], circle['length'], circle['timed'], circle['name']), (1, n, timed, self.URL))
        pids = [int(m) for m in re.findall(r'\(pid (\d+), locker\)', circle['story'])]
        self.assertEqual(len(pids), n + 1)
        self.assertEqual([follows[p] for p in pids[:-1]], pids[1:])
        self.assertEqual(len(re.findall(r'waits for 0x[0-9a-f]+, desk', circle['story'])), n)
        table = self.tarn('locks', self.URL)
        self.assertIn(circle['story'], table)
        text = self.tarn('locks', '--graph', self.URL)
        self.assertIn(f'circle 1: {circle["story"]}', text)
        for p in people:  # each is drawn, once with what it has
            self.assertEqual(len(re.findall(rf'^ *0x\w+ \(pid {p.pid}, locker\)(?!.*see above)', text, re.M)), 1, text)
        self.assertEqual(len(re.findall('see above', text)), 1)
        nodes, edges = dot_graph(self.tarn('locks', '--dot', self.URL))
        self.assertEqual(len([e for e in edges if e[2].get('color') == 'red']), 2 * n)
        to = {a: b for a, b, _ in edges}
        at, seen = next(iter(to)), []
        while at not in seen:
            seen.append(at)
            at = to[at]
        self.assertEqual((len(seen), at), (2 * n, seen[0]))
        self.assertEqual({nodes[k]['shape'] for k in seen[::2]} | {nodes[k]['shape'] for k in seen[1::2]}, {'box', 'ellipse'})
        return people

    def test_of_two(self):
        one, two = self.check_circle(2, 'mutex')
        one.kill()
        self.assertEqual(two.answer(), 1)
        self.assertEqual(self.locks()['circles'], [])

    def test_of_three(self):
        self.check_circle(3, 'mutex')

    def test_of_two_with_deadlines(self):
        self.check_circle(2, 'timed')
        self.assertIn('; of these some give up by themselves\n', self.tarn('locks', '--graph', self.URL))

    def test_of_three_with_deadlines(self):
        self.check_circle(3, 'timed')

    def test_a_knot(self):
        """Several circles that hang together are one by its number; what is told of it is a circle all the same."""
        a, b, c, d = self.people(4)
        for p, order, n in ((b, 'mutex', 0), (c, 'read', 0), (d, 'read', 0), (a, 'read', 1), (b, 'read', 1), (a, 'set', 3), (a, 'take', 1), (b, 'take', 1), (c, 'take', 1)):
            p.do(order, n)
        for p, order, n in ((a, 'mutex', 0), (b, 'write', 0), (c, 'write', 1), (d, 'take', 1)):
            p.tell(order, n)
        told = self.waiting(4)
        edges = {(w['pid'], w['holder_pid']) for w in told['waits']}
        self.assertEqual(edges, {(a.pid, b.pid), (b.pid, c.pid), (b.pid, d.pid), (c.pid, a.pid), (c.pid, b.pid), (d.pid, a.pid), (d.pid, b.pid), (d.pid, c.pid)})
        self.assertEqual([w['circle'] for w in told['waits']], [1] * 8)
        circle, = told['circles']
        pids = [int(m) for m in re.findall(r'\(pid (\d+), locker\)', circle['story'])]
        self.assertEqual((pids[0], len(set(pids)), len(pids)), (pids[-1], circle['length'], circle['length'] + 1))
        self.assertLessEqual(set(zip(pids, pids[1:])), edges)
        text = self.tarn('locks', '--graph', self.URL)
        self.assertEqual([len(re.findall(rf'^ *0x\w+ \(pid {p.pid}, locker\)(?!.*see above)', text, re.M)) for p in (a, b, c, d)], [1] * 4)
        _, arrows = dot_graph(self.tarn('locks', '--dot', self.URL))
        self.assertEqual(len({(x, y) for x, y, _ in arrows}), 12)  # four wait, and eight things are held

    def test_who_hangs_on_it(self):
        """And is in none himself; and two circles."""
        people, _ = self.circle(2, 'mutex')
        outside, = self.people(1)
        outside.tell('mutex', 0)
        told = self.waiting(3)
        self.assertEqual([w['circle'] for w in told['waits'] if w['pid'] == outside.pid], [None])
        self.assertEqual([c['length'] for c in told['circles']], [2])
        three, four = self.people(2)
        three.do('read', 0)
        four.do('write', 1)
        three.tell('read', 1)
        four.tell('write', 0)
        told = self.waiting(5)
        self.assertEqual([(c['circle'], c['length']) for c in told['circles']], [(1, 2), (2, 2)])
        knots = {frozenset(w['pid'] for w in told['waits'] if w['circle'] == k) for k in (1, 2)}
        self.assertEqual(knots, {frozenset(p.pid for p in people), frozenset((three.pid, four.pid))})
        _, edges = dot_graph(self.tarn('locks', '--dot', self.URL))
        self.assertEqual(len([e for e in edges if e[2].get('color') == 'red']), 8)
        self.assertEqual(len(edges), 9)


class Lists(Case):
    def test_tables(self):
        one, two = self.people(2)
        text = self.tarn('locks', self.URL)
        self.assertRegex(text, r'^LOCK +OBJECT +KIND +NUMBER +HELD +PARTICIPANT +PID +COMMAND +STATE +WAITERS\n$')
        one.do('mutex', 3)
        two.tell('mutex', 3)
        self.waiting(1)
        locks, waits = self.tarn('locks', self.URL).split('\n\n')
        self.assertRegex(locks.splitlines()[1], rf'^ *0x\w+ desk \+ 24 +mutex +1 +yes +0x\w+ +{one.pid} +locker +live +1$')
        self.assertRegex(waits.splitlines()[1], rf'^ *0x\w+ desk \+ 24 +mutex or rwlock +0x\w+ +{two.pid} +locker +0x\w+ +{one.pid} +live +-$')
        self.assertEqual(self.tarn('locks', '--raw', '--no-headings', '-o', 'PID,KIND,WAITERS', self.URL), f'{one.pid} mutex 1\n')
        self.assertEqual(self.tarn('locks', '--waits', '--raw', '--no-headings', '-o', 'HOLDER-PID,PID', self.URL), f'{one.pid} {two.pid}\n')
        one.do('mutex', 4)
        self.assertEqual(self.tarn('locks', '--raw', '--no-headings', '-o', 'WAITERS', '--sort', 'WAITERS', self.URL).split(), ['1', '0'])
        colours = machine.on_terminal(lambda out: self.tarn('locks', self.URL, stdout=out))
        self.assertNotIn(b'\033', colours)

    def test_wrong(self):
        for wrong in (['--graph', '--dot'], ['--graph', '-J'], ['--dot', '-o', 'PID'], ['--waits', '--dot'], ['-o', 'NONE'], ['--waits', '-o', 'WAITERS'], ['--x']):
            self.tarn('locks', *wrong, self.URL, status=2)
        self.tarn('locks', self.URL, status=1, says='there is none')
        (self.dir / 'other').write_bytes(b'x' * 8192)
        self.tarn('locks', 'posix:/other', status=1, says='other')
        self.tarn('locks', '--help')

    def test_all_segments(self):
        one, = self.people(1)
        two, = self.people(1, 'posix:/two')
        one.do('mutex', 0)
        two.do('mutex', 1)
        (self.dir / 'damaged').write_bytes((self.dir / 'two').read_bytes()[:64])
        told = self.json('locks')
        self.assertEqual(faults(told, LOCKS), [])
        ours = {(k['name'], k['pid'], k['object']) for k in told['locks']}
        self.assertLessEqual({('posix:/desk', one.pid, 'desk'), ('posix:/two', two.pid, 'desk + 8')}, ours)
        self.assertRegex(self.err, r'tarn locks: \d+ segments could not be looked into')
        self.assertIn(' NAME', self.tarn('locks').splitlines()[0])
        self.assertEqual({k['name'] for k in self.locks(self.URL, 'posix:/two')['locks']}, {'posix:/desk', 'posix:/two'})
        self.assertRegex(self.tarn('locks', '--graph', self.URL, 'posix:/two'), r'^posix:/desk\n0x(.|\n)*\nposix:/two\n0x')
        dot_graph(self.tarn('locks', '--dot'))

    def test_without_rights(self):
        if os.getuid() != 0:
            self.skipTest('only root may become nobody')
        self.dir.chmod(0o777)
        one, = self.people(1)
        one.do('mutex', 0)
        self.tarn('locks', self.URL, uid=NOBODY, status=3)
        self.assertEqual(self.json('locks', uid=NOBODY)['locks'], [])

    def test_odd_names(self):
        """What objects are called is anybody's choice."""
        odd = 'a"b\\\x1b[31m\n]'
        self.hold('posix:/odd', odd)
        lock, = self.json('locks', 'posix:/odd')['locks']
        self.assertEqual((lock['object'], lock['section']), (odd, True))
        for how in ([], ['--raw'], ['--graph'], ['--dot']):
            self.assertNotIn('\x1b', self.tarn('locks', *how, 'posix:/odd'))
        nodes, edges = dot_graph(self.tarn('locks', '--dot', 'posix:/odd'))
        self.assertEqual(len(edges), 1)
        self.assertIn('a"b\\\\x1b[31m\\x0a]', [n['label'].split(', ')[-1] for n in nodes.values()])

    def test_graphviz(self):
        if not shutil.which('dot'):
            self.skipTest('no dot here')
        one, two = self.people(2)
        one.do('mutex', 0)
        two.tell('mutex', 0)
        self.waiting(1)
        self.hold('posix:/odd', 'a"b\\\x1b[31m\n]')
        r = subprocess.run(['dot', '-Tplain'], input=self.tarn('locks', '--dot', self.URL, 'posix:/odd').encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        self.assertEqual(r.stderr, b'')
        self.assertEqual(len(re.findall(rb'^edge ', r.stdout, re.M)), 3)

    def test_a_segment_cut_off(self):
        """Truncated under those who look: it is said, and the others are told of."""
        one, = self.people(1)
        two, = self.people(1, 'posix:/two')
        two.do('mutex', 0)
        one.do('mutex', 0)
        os.truncate(self.dir / 'desk', 8192)
        self.tarn('locks', self.URL, status=1)
        told = self.json('locks')
        self.assertEqual([k['pid'] for k in told['locks'] if k['name'] == 'posix:/two'], [two.pid])
        self.assertIn('could not be looked into', self.err)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *CASES])
