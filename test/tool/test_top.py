#!/usr/bin/env python3
"""tarn top: its lists, and its screen on a terminal. usage: test_top.py TARN HOLDER [unittest arguments]"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

import machine
from machine import KIND, MODE, NOBODY, Maybe, faults

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
CASES = sys.argv[3:]
ME, ROOT = os.getpid(), os.getuid() == 0



LOOK = {'objects': [{
    'size': int, 'res': Maybe(int), 'growth': Maybe(float), 'att': int, 'part': Maybe(int), 'dead': Maybe(int), 'deaths': Maybe(float), 'recov': Maybe(float),
    'waits': Maybe(int), 'locks': Maybe(int), 'undone': Maybe(int), 'swap': Maybe(int), 'kind': KIND, 'mode': Maybe(MODE), 'owner': Maybe(str),
    'made_by': Maybe(str), 'name': str}]}


class Case(machine.Case):
    def setUp(self):
        super().setUp()
        self.ours()


class Batch(Case):
    def looks(self, *arguments):
        """A generator of what it writes, as it goes on."""
        p = subprocess.Popen([self.TARN, 'top', '-J', '-d', '0.1', *arguments], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdout.close()))
        text = b''
        for line in p.stdout:
            text += line
            if line == b'}\n':
                yield p, json.loads(text)
                text = b''

    def until_one(self, looks, name, condition, what):
        """The object as the first look tells it that fits."""
        for _, (_, look) in zip(range(300), looks):
            for o in look['objects']:
                if o['name'] == name and condition(o):
                    return o
        return self.fail(f'not in 300 looks: {what}')

    def test_growth(self):
        path = self.dir / 'grows'
        path.write_bytes(b'x' * 4096)
        looks = self.looks()
        p, first = next(looks)
        self.assertEqual(faults(first, LOOK), [])
        one = [o for o in first['objects'] if o['name'] == 'posix:/grows'][0]
        self.assertEqual((one['size'], one['res'], one['growth'], one['kind'], one['part']), (4096, 4096, None, 'posix', None))
        self.until_one(looks, 'posix:/grows', lambda o: o['growth'] == 0, 'it does not grow')
        path.write_bytes(b'x' * (1 << 20))
        self.until_one(looks, 'posix:/grows', lambda o: o['growth'] > 0, 'it grows')
        path.write_bytes(b'')
        self.until_one(looks, 'posix:/grows', lambda o: o['growth'] < 0, 'it shrinks')
        path.unlink()
        path.write_bytes(b'x' * 4096)  # another of that name
        self.until_one(looks, 'posix:/grows', lambda o: o['size'] == 4096, 'it is another')
        p.send_signal(signal.SIGINT)
        for _ in looks:
            pass
        self.assertEqual(p.wait(timeout=60), 0)

    def test_a_segment(self):
        """Who takes part, waits, dies, is recovered."""
        first = self.hold('posix:/s', 'x')
        looks = self.looks()
        o = self.until_one(looks, 'posix:/s', lambda o: o['part'] == 1, 'one takes part')
        self.assertEqual((o['made_by'], o['locks'], o['waits'], o['dead'], o['att']), ('tarn', 1, 0, 0, 1))
        second = self.hold('posix:/s', 'x', wait=False)
        self.until_one(looks, 'posix:/s', lambda o: o['waits'] == 1 and o['part'] == 2, 'the second waits for the lock of the first')
        first.kill()
        o = self.until_one(looks, 'posix:/s', lambda o: o['recov'], 'the second recovers it')
        self.until_one(looks, 'posix:/s', lambda o: o['locks'] == 1 and o['waits'] == 0 and o['part'] == 1 and o['undone'] == 1, 'he has the lock')
        second.kill()
        self.until_one(looks, 'posix:/s', lambda o: o['deaths'] and o['dead'] == 1, 'he dies')
        self.until_one(looks, 'posix:/s', lambda o: o['deaths'] == 0 and o['dead'] == 1 and o['att'] == 0, 'he is counted once')

    def test_lists(self):
        (self.dir / 'b').write_bytes(b'x' * 10000)
        (self.dir / 'a').write_bytes(b'x' * 50000)
        (self.dir / 'c\033[31m').write_bytes(b'')

        def names(*arguments):
            text = self.tarn('top', '-n', '1', '--raw', '--no-headings', '-o', 'NAME', *arguments)
            return [line[7:] for line in text.splitlines() if line.startswith('posix:/') and len(line) < 20]

        self.assertEqual(names(), ['a', 'b', 'c\\x1b[31m'])
        self.assertEqual(names('--sort', '-SIZE'), ['c\\x1b[31m', 'b', 'a'])
        self.assertEqual(names('--sort', 'name'), ['a', 'b', 'c\\x1b[31m'])
        text = self.tarn('top', '-b', '-n', '2', '-d', '0.1')
        self.assertEqual(len(re.findall(r'^ *SIZE +RES GROWTH +ATT PART DEAD DEATHS RECOV WAITS MADE-BY +NAME$', text, re.M)), 2)
        self.assertNotIn('\033', text)
        self.assertIn('posix:/c\\x1b[31m\n', text)
        self.assertIn('50000', self.tarn('top', '-b', '-n', '1', '--bytes'))
        for wrong in (['-d', '0.01'], ['-d', 'x'], ['-n', '0'], ['--sort', 'x'], ['x']):
            self.tarn('top', '-b', *wrong, status=2)

    def test_an_image_that_is_cut_off(self):
        """Damaged, or no segment but for its first bytes: it is shown, but not from within."""
        self.tarn('create', 'posix:/s')
        os.truncate(self.dir / 's', 100)
        (self.dir / 'only').write_bytes(b'\x1a\x0atarn\x0d\x0a')
        look = self.json('top', '-n', '1')
        self.assertEqual([(o['name'], o['part']) for o in look['objects'] if o['name'] in ('posix:/s', 'posix:/only')],
                         [('posix:/only', None), ('posix:/s', None)])

    @unittest.skipUnless(ROOT, 'becomes somebody else')
    def test_no_rights(self):
        self.tarn('create', 'posix:/s')
        look = self.json('top', '-n', '1', uid=NOBODY)
        self.assertIn('may not be looked at', self.err)
        one = [o for o in look['objects'] if o['name'] == 'posix:/s'][0]
        self.assertEqual((one['part'], one['owner'] is not None, one['mode']), (None, True, '0600'))


class Screen(Case):
    def start(self, *arguments, columns=80, lines=24, deaf=False, **more):
        """On a terminal of its own. deaf: it does not hear of that one's end."""
        env = dict(self.env, TERM='xterm', **more)
        env.pop('LINES', None)
        env.pop('COLUMNS', None)
        pid, fd = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_IGN if deaf else signal.SIG_DFL)
            os.execve(self.TARN, [self.TARN, 'top', *arguments], env)
        self.size(fd, columns, lines)
        self.pid, self.fd, self.seen = pid, fd, b''
        self.addCleanup(self.end)
        return pid

    @staticmethod
    def size(fd, columns, lines):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))

    def end(self):
        if self.fd is not None:
            os.close(self.fd)
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def read(self, what):
        """Until it has been written; what was."""
        for _ in range(600):
            if re.search(what, self.seen):
                return self.seen
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:  # nobody has the other end any more
                    time.sleep(0.05)
        return self.fail(f'not on the screen in a minute: {what}: {self.seen[-3000:]}')

    def status(self):
        for _ in range(1200):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                return os.waitstatus_to_exitcode(status)
            if self.fd is None:
                time.sleep(0.05)
            elif select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    time.sleep(0.05)
        return self.fail('it does not end')

    def test_keys(self):
        (self.dir / 'evil\033[31mred').write_bytes(b'x')
        (self.dir / ('n' * 200)).write_bytes(b'x')
        self.start('-d', '0.2')
        seen = self.read(rb'q quit')
        self.assertIn(b'tarn top', seen)
        self.assertIn(b'posix:/evil\\x1b[31mred', seen)
        self.assertNotIn(b'evil\033', seen)
        self.assertNotIn(b'n' * 80, seen)
        for key in b'?', b'<', b'>', b'r', b'n', b's', b'\033[6~', b'\033[5~', b'\033[B', b' ':
            os.write(self.fd, key)
        self.read(rb'r\)everse')
        os.write(self.fd, b'q')
        self.assertEqual(self.status(), 0)
        self.assertIn(b'\033[?1049l', self.seen)  # the screen that was there before

    def test_resized(self):
        self.hold('posix:/s', 'x')
        self.start('-d', '0.2', '--sort', 'PART')
        self.read(rb'posix:/s')
        self.assertNotIn(b'OWNER', self.seen)
        self.size(self.fd, 200, 30)
        self.read(rb'MADE-BY.*OWNER.*KIND')
        for columns, lines in (10, 2), (1, 1), (300, 3), (80, 24):
            self.seen = b''
            self.size(self.fd, columns, lines)
            self.read(rb'.')
        os.kill(self.pid, signal.SIGTERM)
        self.assertEqual(self.status(), 0)

    def test_colours(self):
        path = self.dir / 'grows'
        for more, coloured in ({}, True), ({'NO_COLOR': '1'}, False):
            path.write_bytes(b'')
            self.start('-d', '0.2', '--sort', 'GROWTH', **more)
            self.read(rb'q quit')
            growing = b''
            for _ in range(300):
                growing += b'x' * 100000
                path.write_bytes(growing)
                try:
                    self.read_for(0.1)
                except OSError:
                    break
                if re.search(rb'\+[\d.]+[KM]', self.seen):
                    break
            self.read(rb'\+[\d.]+[KM]')
            os.write(self.fd, b'q')
            self.assertEqual(self.status(), 0)
            self.assertEqual(bool(re.search(rb'\033\[(\d+;)*3[0-7]m', self.seen)), coloured, more)
            os.close(self.fd)
            self.fd = None

    def read_for(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            self.seen += os.read(self.fd, 65536)

    def test_a_terminal_that_is_gone(self):
        for deaf in False, True:
            self.start('-d', '0.2', deaf=deaf)
            self.read(rb'q quit')
            os.close(self.fd)
            self.fd = None
            self.assertIn(self.status(), (0, 3))  # 3: its last words could not be written

    def test_an_unknown_one(self):
        self.start()
        os.kill(self.pid, signal.SIGKILL)
        self.status()
        os.close(self.fd)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            leaks = self.env.get('ASAN_OPTIONS', '') + ':detect_leaks=0'  # ncurses does, then
            os.execve(self.TARN, [self.TARN, 'top'], dict(self.env, TERM='no-such-terminal', ASAN_OPTIONS=leaks))
        self.seen = b''
        self.assertEqual(self.status(), 3)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *CASES])
