#!/usr/bin/env python3
"""The tarn command as its user meets it. usage: test_tool.py TARN HOLDER [unittest arguments]

Every command with its options, exit statuses, complaints and output. POSIX objects stand in a directory of their own.
"""
import base64
import fcntl
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import xml.etree.ElementTree

import machine

TARN, HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
NOBODY = 65534
NASTY = b'quote " backslash \\ escape \x1b[31m newline \n \xff \xc3\xa9'


def too_long(*_):
    raise TimeoutError('what the test waits for does not come')


class Case(unittest.TestCase):
    def setUp(self):
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(100)
        self.addCleanup(signal.alarm, 0)
        machine.leave_nothing(self)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='tarn-tool-', dir='/dev/shm'))
        self.addCleanup(shutil.rmtree, self.dir)
        self.dir.chmod(0o755)
        self.env = dict(os.environ, TARN_SHM_DIR=str(self.dir), LC_ALL='C.UTF-8')

    def tarn(self, *arguments, status=0, says=None, uid=None, **options):
        """Run it; its stdout. It must end with status, and say `says` on stderr, which is empty if it ended well."""
        as_user = [] if uid is None else ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups', '--']
        options.setdefault('stdout', subprocess.PIPE)
        r = subprocess.run([*as_user, TARN, *arguments], env=self.env, stderr=subprocess.PIPE, timeout=60, **options)
        err = r.stderr.decode()
        self.assertEqual(r.returncode, status, f'tarn {arguments}: {err}')
        if status == 0:
            self.assertEqual(err, '')
        if says:
            self.assertIn(says, err)
        self.assertNotIn('TARN_', err)  # the library's words
        if status and says is not False:
            self.assertTrue(err.startswith('tarn') or err.startswith('usage'), err)
        return None if r.stdout is None else r.stdout.decode()

    def info(self, url, **options):
        return json.loads(self.tarn('info', '-J', url, **options))

    def hold(self, *arguments):
        p = subprocess.Popen([HOLDER, *arguments], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release, p)
        return p, int(p.stdout.readline())

    @staticmethod
    def release(p):
        p.stdin.close()
        p.stdout.close()
        p.wait()


class General(Case):
    def test_help(self):
        for arguments in (['--help'], ['-h']):
            self.assertTrue(self.tarn(*arguments).startswith('usage: tarn COMMAND'))
        for command in ('create', 'info', 'heap', 'check', 'rm', 'pub', 'sub', 'call', 'hz', 'record', 'replay'):
            self.assertIn(f'\n  {command} ', self.tarn('--help'))
            self.assertTrue(self.tarn(command, '--help').startswith(f'usage: tarn {command} '))
        for option in ('--size', '--limit', '--mode', '--participants', '--excl'):
            self.assertIn(option, self.tarn('create', '--help'))

    def test_version(self):
        self.assertRegex(self.tarn('--version'), r'^tarn \d+\.\d+\.\d+\n$')

    def test_huge_and_numa(self):
        """What is asked for is told; what cannot be is said."""
        self.tarn('create', '--huge', 'transparent', '--numa', 'bind:0', 'posix:/h')
        self.assertEqual(self.info('posix:/h')['segment']['options'] & 128, 128)
        self.assertIn('for huge pages where the kernel can', self.tarn('info', 'posix:/h'))
        self.tarn('create', '--huge', 'reserved', 'posix:/r')  # which /dev/shm has not
        self.assertEqual(self.info('posix:/r')['segment']['options'] & 384, 128)
        self.tarn('create', '--numa', 'interleave:63', 'posix:/n', status=2, says='--numa')
        for option, value in (('--huge', 'much'), ('--numa', 'bind'), ('--numa', 'bind:'), ('--numa', 'bind:0,'), ('--numa', 'bind:64'), ('--numa', 'here:0')):
            with self.subTest(f'{option} {value}'):
                self.tarn('create', option, value, 'posix:/n', status=2, says=f'{option} {value}: it is')
        self.assertEqual(sorted(f.name for f in self.dir.iterdir()), ['h', 'r'])

    def test_wrong_usage(self):
        for arguments, says in (
                ([], 'usage: tarn COMMAND'),
                (['crate', 'posix:/a'], '"crate" is no command'),
                (['create'], 'no URL'),
                (['create', 'posix:/a', 'posix:/b'], '"posix:/b" is one argument too many'),
                (['create', '--size'], '--size needs a value'),
                (['create', '--wrong', 'posix:/a'], '--wrong is no option'),
                (['create', '--excl=3', 'posix:/a'], '--excl=3 is no option'),
                (['create', '-z', 'posix:/a'], '-z is no option'),
                (['create', '--limit', '1K', 'posix:/a'], 'from 65536 to'),
                (['create', '--size', '2M', '--limit', '1M', 'posix:/a'], 'initial is --size'),
                (['create', 'posix:a'], 'begins with a slash'),
                (['create', 'posix:/a/b'], 'no slash but its first'),
                (['create', 'posix:/' + 'n' * 300], '300 bytes'),
                (['create', 'http://a'], 'no backing has this scheme'),
                (['create', 'memfd:a'], 'for nobody'),
                (['create', 'anon:'], 'for nobody'),
                (['info'], 'no URL'),
                (['heap'], 'no URL'),
                (['heap', '-a', '-J', 'posix:/a'], 'without --all'),
                (['info', 'a'], 'no scheme'),
                (['info', 'memfd:a'], '/proc/PID/fd/N'),
                (['info', 'fd:x'], 'fd:N'),
                (['info', 'fd:99'], 'no descriptor 99'),
                (['check', '-q', '-J', 'posix:/a'], 'one at a time'),
                (['rm'], 'no URL'),
                (['rm', 'memfd:a'], 'no name to remove'),
                (['rm', '/proc/self/fd/0'], 'no name to remove')):
            with self.subTest(arguments):
                self.assertEqual(self.tarn(*arguments, status=2, says=says), '')
        for value in ('0', '8', '1777', 'rw', ''):
            with self.subTest(value=value):
                self.tarn('create', '--mode', value, 'posix:/a', status=2, says=f'--mode {value}: it is')
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_numbers(self):
        """Of each option that is a count, milliseconds or a size: what is refused, in which words; and that its least and its most are not."""
        size = 'bytes, or one with K, M, G or T behind it,'
        for command, option, what, least, most in (
                ('create', '--size', size, 1, None), ('create', '--limit', size, 65536, 1 << 46), ('create', '--participants', 'threads', 1, 4096),
                ('pub', '--message', size, 1, 1 << 30), ('pub', '--capacity', 'messages', 1, 1 << 30),
                ('pub', '--parties', 'publishers and subscribers', 1, 4096), ('pub', '--every', 'milliseconds', 0, 3600000),
                ('sub', '--count', 'messages', 1, None), ('sub', '--timeout', 'milliseconds', 1, 86400000),
                ('call', '--timeout', 'milliseconds', 1, 86400000), ('hz', '--count', 'looks', 1, None),
                ('hz', '--interval', 'milliseconds', 10, 3600000), ('record', '--count', 'messages', 1, None),
                ('record', '--timeout', 'milliseconds', 1, 86400000)):
            says = f'it is a number of {what} from {least} ' + (f'to {most}\n' if most else 'on\n')
            wrong = ['', '-1', ' 1', 'x', '1.5', str(1 << 64), '1KB' if what == size else '1K']
            for value in wrong + [str(least - 1)] * (least > 0) + ([str(most + 1)] if most else []):
                with self.subTest(command=command, option=option, value=value):
                    self.tarn(command, option, value, 'posix:/a', status=2, says=f'tarn {command}: {option} {value}: {says}')
            for value in (least, most or (1 << 64) - 1):
                with self.subTest(command=command, option=option, value=value):
                    self.tarn(command, option, str(value), status=2, says='for a topic that is made' if option in ('--message', '--capacity', '--parties')
                              else 'no URL')
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_not_there(self):
        for command in ('info', 'heap', 'check'):
            self.tarn(command, 'posix:/none', status=1, says='tarn create would make it')
            self.tarn(command, '/proc/none', status=1, says='posix:/name')
        self.tarn('rm', 'posix:/none', status=1, says='there is none')
        self.assertEqual(self.tarn('rm', '-f', 'posix:/none'), '')

    def test_output_that_cannot_be_written(self):
        self.tarn('create', 'posix:/a')
        with open('/dev/full', 'w') as full:
            self.tarn('info', 'posix:/a', stdout=full, status=3, says='could not be written')

    def test_no_colour(self):
        """None at all, also on a terminal."""
        self.tarn('create', 'posix:/a')
        text = machine.on_terminal(lambda to: self.tarn('info', 'posix:/a', stdout=to))
        self.assertIn(b'posix:/a', text)
        self.assertNotIn(b'\x1b', text)


class Create(Case):
    def test_options(self):
        self.assertEqual(self.tarn('create', '--size', '2M', '--limit=1G', '--mode', '640', '--participants', '3', 'posix:/a'), '')
        i = self.info('posix:/a')
        self.assertEqual(i['memory']['data'], 2 << 20)
        self.assertGreaterEqual(i['memory']['limit'], 1 << 30)
        self.assertLess(i['memory']['limit'], 1100 << 20)
        self.assertEqual(i['segment']['mode'], '0640')
        self.assertEqual(i['participants']['most'], 3)
        self.assertEqual((self.dir / 'a').stat().st_mode & 0o7777, 0o640)
        text = self.tarn('info', 'posix:/a')
        self.assertEqual((i['segment']['until'], i['memory']['growth']), ('unlinked', i['memory']['limit']))
        for part in ('posix:/a', 'mode 0640', '2M in 32 spans of 64K', 'leads here', 'at most 3', 'until its name is removed', f'build id {i["segment"]["build_id"]}'):
            self.assertIn(part, text)

    def test_sizes(self):
        for size, data in (('65536', 1 << 16), ('64K', 1 << 16), ('1M', 1 << 20), ('1', 1 << 16)):
            self.tarn('create', '--size', size, '--limit', '4M', f'posix:/s{size}')
            self.assertEqual(self.info(f'posix:/s{size}')['memory']['data'], data)
        self.tarn('create', '--limit', '1T', 'posix:/t')
        self.assertGreater(self.info('posix:/t')['memory']['limit'], 1 << 40)

    def test_again(self):
        self.tarn('create', '--mode', '600', 'posix:/a')
        first = self.info('posix:/a')
        self.tarn('create', '--mode', '666', 'posix:/a')
        self.assertEqual(self.info('posix:/a'), first)
        self.tarn('create', '--excl', 'posix:/a', status=1, says='there already')
        self.tarn('create', '--excl', 'posix:/b')

    def test_no_room(self):
        self.tarn('create', '--size', '64M', 'posix:/a', status=3, says='RLIMIT_FSIZE',
                  preexec_fn=lambda: __import__('resource').setrlimit(__import__('resource').RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        self.assertEqual(list(self.dir.iterdir()), [])


class Look(Case):
    def test_names_and_participants(self):
        p, _ = self.hold('posix:/a', 'plain', NASTY)
        i = self.info('posix:/a')
        self.assertEqual([n['name'] for n in i['names']], ['plain', NASTY.decode(errors='replace')])
        for n in i['names']:
            self.assertEqual((n['type'], n['size'], n['version']), ('struct held "\\\x1b', 16, 7))
            self.assertGreater(n['ref'], 0)
        self.assertEqual(i['participants']['count'], 1)
        who, = i['participants']['list']
        self.assertEqual((who['pid'], who['tid'], who['state'], who['section_open'], who['locks_held']),
                         (p.pid, p.pid, 'live', True, 1))
        text = self.tarn('info', 'posix:/a')
        self.assertNotIn('\x1b', text)  # a name is not let loose on the terminal
        self.assertRegex(text, r'\nplain +struct held .* 7 +16 +0x[0-9a-f]+\n')
        self.assertRegex(text, rf' {p.pid} +{p.pid} +live +open +1 +-\n')

    def test_heap(self):
        self.tarn('create', '--size', '1M', 'posix:/a')
        empty = json.loads(self.tarn('heap', '--json', 'posix:/a'))
        self.assertEqual((empty['url'], empty['spans'], empty['spans_free'], empty['allocated']), ('posix:/a', 16, 16, 0))
        self.assertEqual([s['size'] for s in empty['sizes']][:9], [16, 32, 48, 64, 80, 96, 112, 128, 144])
        self.assertNotIn('ALLOCATED', self.tarn('heap', 'posix:/a'))  # no size of which there are any
        self.assertEqual(len(self.tarn('heap', '-a', 'posix:/a').split('\n\n')[1].splitlines()), 1 + len(empty['sizes']))
        p, _ = self.hold('posix:/a', 'plain')
        used = json.loads(self.tarn('heap', '-J', 'posix:/a'))
        i = self.info('posix:/a')['memory']
        self.assertEqual((used['allocated'], used['free'], used['limbo']), (i['allocated'], i['free'], i['limbo']))
        self.assertGreater(used['allocated'], 0)
        for s in used['sizes']:
            self.assertEqual(s['blocks'], s['allocated'] + s['free'] + s['limbo'])
        self.assertEqual(used['spans'], used['spans_free'] + used['spans_other'] + used['runs']['spans'] +
                         sum(s['spans'] for s in used['sizes']))
        text = self.tarn('heap', 'posix:/a')
        shown = [[int(n) for n in line.split()] for line in text.split('\n\n')[1].splitlines()[1:]]
        self.assertEqual(shown, [[s[k] for k in ('size', 'spans', 'blocks', 'allocated', 'limbo', 'free')]
                                 for s in used['sizes'] if s['spans']])
        self.assertEqual((used['dead'], used['orphaned']), (0, 0))
        p.kill()
        p.wait()
        self.assertEqual(json.loads(self.tarn('heap', '-J', 'posix:/a'))['dead'], 65536 * sum(s['spans'] for s in used['sizes']))

    def test_map(self):
        self.tarn('create', '--size', '1M', 'posix:/a')
        self.assertRegex(self.tarn('map', 'posix:/a'), r'\n +0x[0-9a-f]+  \.{16}\n  \.  nobody\'s: 1\.0M\n$')
        p, _ = self.hold('posix:/a', 'odd<&"\033', 'plain')
        parts = json.loads(self.tarn('map', '-J', 'posix:/a'))['parts']
        used = json.loads(self.tarn('heap', '-J', 'posix:/a'))
        self.assertEqual(sum(s['size'] for s in parts), 1 << 20)
        for a, b in zip(parts, parts[1:]):
            self.assertEqual(a['ref'] + a['size'], b['ref'])
        blocks = [s for s in parts if s['blocks']]
        for key in ('allocated', 'free', 'limbo'):
            self.assertEqual(sum(s['block'] * s[key] for s in blocks), used[key])
        self.assertEqual({(s['kind'], s['pid'], s['state']) for s in blocks}, {('small', p.pid, 'live')})
        self.assertEqual(sum(s['named'] for s in parts), 2)
        text = self.tarn('map', 'posix:/a')
        signs = re.search(r'\n +0x[0-9a-f]+  (.{16})\n', text)[1]
        self.assertEqual(set(signs), {'.'} | {chr(ord('a') + n) for n in range(len({s['block'] for s in blocks}))})
        self.assertNotIn('\x1b', text)
        top = xml.etree.ElementTree.fromstring(self.tarn('map', '--svg', 'posix:/a'))
        titles = [t.text for t in top.iter('{http://www.w3.org/2000/svg}title')]
        self.assertEqual(len(titles), 16)
        self.assertTrue(any('; odd<&"\\x1b and 1 more' in t for t in titles), titles)
        self.assertEqual(len(self.tarn('map', '--list', '--no-headings', 'posix:/a').splitlines()), len(parts))
        p.kill()
        p.wait()
        self.assertIn('died and are not recovered yet', self.tarn('map', 'posix:/a'))
        self.assertEqual({s['state'] for s in json.loads(self.tarn('map', '-J', 'posix:/a'))['parts']}, {None, 'dead'})
        self.tarn('map', '--svg', '-J', 'posix:/a', status=2, says='--svg')
        self.tarn('map', status=2, says='URL')
        self.tarn('map', 'posix:/none', status=1, says='none')

    def test_dead_participant(self):
        p, _ = self.hold('posix:/a', 'plain')
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
        before = (self.dir / 'a').read_bytes()
        i = self.info('posix:/a')
        self.assertEqual((i['participants']['count'], i['participants']['dead'], i['participants']['list'][0]['state']), (1, 1, 'dead'))
        self.assertRegex(self.tarn('info', 'posix:/a'), r' dead +open ')
        self.tarn('check', 'posix:/a')
        self.assertEqual((self.dir / 'a').read_bytes(), before)  # looking writes nothing, and recovers nobody

    def test_descriptors(self):
        p, fd = self.hold('memfd:label', 'plain')
        path = f'/proc/{p.pid}/fd/{fd}'
        self.assertEqual(self.info(path)['segment']['backing'], 'memfd')
        self.assertIn('by descriptor', self.tarn('info', path))
        self.assertIn('no damage', self.tarn('check', path))
        mine = os.open(path, os.O_RDONLY)
        self.assertEqual(self.info(f'fd:{mine}', pass_fds=[mine])['names'][0]['name'], 'plain')
        self.tarn('check', '-q', f'fd:{mine}', pass_fds=[mine])
        os.close(mine)
        self.tarn('info', '/dev/null', status=1, says='/dev/null: no segment')

    def test_removed_while_open(self):
        p, fd = self.hold('posix:/a')
        self.tarn('rm', 'posix:/a')
        self.assertFalse(self.info(f'/proc/{p.pid}/fd/{fd}')['segment']['current'])
        self.assertIn('removed', self.tarn('info', f'/proc/{p.pid}/fd/{fd}'))

    def test_lifetimes(self):
        """What ends by itself says so; who comes when it has ended finds none."""
        for lifetime, word, text in (('1', 'unused', 'until its last user leaves'), ('2', 'creator', "until its creator's end: process")):
            for end in ('info', 'check', 'rm'):
                self.env['HOLDER_LIFETIME'] = lifetime
                p, fd = self.hold('posix:/a')
                told = self.info('posix:/a')['segment']
                self.assertEqual((told['until'], told['creator']), (word, p.pid))
                self.assertIn(text, self.tarn('info', 'posix:/a'))
                p.kill()
                p.wait()
                self.assertTrue((self.dir / 'a').exists())
                if end == 'rm':
                    self.tarn('rm', 'posix:/a')
                else:
                    self.tarn(end, 'posix:/a', status=1, says='posix:/a: there is none')
                self.assertFalse((self.dir / 'a').exists())

    def test_dead_creator_by_descriptor(self):
        """The name is there still, but its creator is not."""
        self.env['HOLDER_LIFETIME'] = '2'
        p, fd = self.hold('posix:/a')
        mine = os.open(self.dir / 'a', os.O_RDONLY)
        p.kill()
        p.wait()
        self.assertFalse(self.info(f'fd:{mine}', pass_fds=[mine])['segment']['current'])
        self.assertIn('ended', self.tarn('info', f'fd:{mine}', pass_fds=[mine]))
        os.close(mine)
        self.tarn('rm', 'posix:/a')


class Strangers(Case):
    """What is no segment, or no whole one, in the directory of objects."""

    def put(self, content):
        (self.dir / 'a').write_bytes(content)

    def test_foreign(self):
        for content in (b'', b'x', b'{"a": 1}\n' * 1000, bytes(1 << 20), os.urandom(1 << 16)):
            self.put(content)
            for command in (['info'], ['info', '-J'], ['check'], ['rm'], ['rm', '-f'], ['create'], ['create', '--excl']):
                self.assertEqual(self.tarn(*command, 'posix:/a', status=1, says='posix:/a'), '')
            self.assertEqual((self.dir / 'a').read_bytes(), content)
        (self.dir / 'l').symlink_to('a')
        self.tarn('info', 'posix:/l', status=1, says='symbolic link')

    def test_truncated(self):
        self.tarn('create', 'posix:/a')
        whole = (self.dir / 'a').read_bytes()
        for size in (8, 300, 4096, len(whole) - 4096):
            self.put(whole[:size])
            for command in (['info'], ['check'], ['check', '-q'], ['check', '-J'], ['create']):
                self.assertEqual(self.tarn(*command, 'posix:/a', status=1, says='truncated'), '')
        self.tarn('rm', 'posix:/a')  # it was one of ours, so its name may go

    def test_stamp(self):
        self.tarn('create', 'posix:/a')
        content = bytearray((self.dir / 'a').read_bytes())
        content[8] += 1
        self.put(content)
        self.tarn('info', 'posix:/a', status=1, says='layout version is 5')
        content[8] -= 1
        content[120] ^= 1
        self.put(content)
        self.tarn('info', 'posix:/a', status=1, says='damaged')

    def damaged(self):
        """Every chain of names leads astray."""
        self.tarn('create', 'posix:/a')
        content = bytearray((self.dir / 'a').read_bytes())
        names, = struct.unpack_from('<Q', content, 64)  # segment_header.zone[ZONE_NAME]
        for chain in range(256):
            struct.pack_into('<Q', content, names + 64 + chain * 8, 0x123456)
        self.put(content)

    def test_damage(self):
        self.damaged()
        text = self.tarn('check', 'posix:/a', status=1, says=False)
        lines = text.splitlines()
        self.assertEqual(len(lines), 256)
        for line in lines:
            self.assertRegex(line, r'^0x[0-9a-f]+: \w')
        self.assertEqual(self.tarn('check', '--quiet', 'posix:/a', status=1, says=False), '')
        found = json.loads(self.tarn('check', '--json', 'posix:/a', status=1, says=False))
        self.assertEqual((found['url'], found['count'], len(found['damages'])), ('posix:/a', 256, 256))
        self.assertEqual([f'{d["ref"]:#x}: {d["what"]}' for d in found['damages']], lines)
        self.assertIn('"segment"', self.tarn('info', '-J', 'posix:/a', status=1, says='damaged'))

    def test_whole(self):
        self.tarn('create', 'posix:/a')
        self.assertEqual(self.tarn('check', 'posix:/a'), 'posix:/a: no damage\n')
        self.assertEqual(self.tarn('check', '-q', 'posix:/a'), '')
        self.assertEqual(json.loads(self.tarn('check', '-J', 'posix:/a')), {'url': 'posix:/a', 'damages': [], 'count': 0})
        self.assertIn('0 bytes are allocated', self.tarn('check', '--leaks', 'posix:/a'))

class Files(Case):
    def url(self, name):
        return f'file:{self.dir / name}'

    def copy(self, a, b):  # with its holes
        subprocess.run(['cp', '--sparse=always', self.dir / a, self.dir / b], check=True)

    def test_life(self):
        self.assertEqual(self.tarn('create', '--size', '128K', '--limit', '1M', self.url('a')), '')
        self.assertEqual(self.info(self.url('a'))['segment']['backing'], 'file')
        self.tarn('create', '--excl', self.url('a'), status=1, says='there already')
        self.assertEqual(self.tarn('check', self.url('a')), f'{self.url("a")}: no damage\n')
        self.tarn('create', 'file:a', cwd=self.dir)  # it is there
        self.tarn('rm', self.url('a'))
        self.tarn('info', self.url('a'), status=1, says='there is none')

    def test_repair(self):
        p, _ = self.hold(self.url('a'), 'one', 'two')
        self.tarn('check', '--repair', self.url('a'), status=3, says='attached for writing')
        self.copy('a', 'b')
        for command in ('info', 'check', 'create'):
            self.tarn(command, self.url('b'), status=1, says='run tarn check --repair')
        self.copy('b', 'c')
        self.copy('b', 'd')
        self.assertEqual(self.tarn('check', '--repair', self.url('b')), f'{self.url("b")}: in order: it opens again\n')
        self.assertEqual(self.tarn('check', '--repair', '-q', self.url('c')), '')
        self.assertEqual(json.loads(self.tarn('check', '--repair', '-J', self.url('d'))),
                         {'url': self.url('d'), 'damages': [], 'count': 0})
        for name in 'bcd':
            self.assertEqual(self.tarn('check', '-q', self.url(name)), '')
            self.assertEqual(len(self.info(self.url(name))['names']), 2)
        with open(self.dir / 'd', 'r+b') as f:  # in use again, and damaged: a span's bits
            f.seek(384 + 32)
            f.write(bytes(8))
            f.seek(384)
            f.write(bytes(16))
            f.seek(72)  # zone[ZONE_SIDE]
            side, = struct.unpack('<Q', f.read(8))
            f.seek(side)
            f.write(b'\xff' * 64)
        text = self.tarn('check', '--repair', self.url('d'), status=1, says=False)
        self.assertIn('it stays refused', text)
        self.tarn('check', self.url('d'), status=1, says='--repair')
        self.tarn('check', '--repair', 'posix:/a', status=2, says='only file: survives')
        self.tarn('check', '--repair', 'fd:0', status=2, says='found by its name')
        self.tarn('check', '--repair', '--leaks', self.url('d'), status=2, says='one at a time')
        self.release(p)


class Remove(Case):
    def test_several(self):
        for name in 'abc':
            self.tarn('create', f'posix:/{name}')
        self.tarn('rm', 'posix:/a', 'posix:/none', 'posix:/b', status=1, says='posix:/none: there is none')
        self.assertEqual([p.name for p in self.dir.iterdir()], ['c'])
        self.tarn('rm', '-f', 'posix:/a', 'posix:/c')
        self.assertEqual(list(self.dir.iterdir()), [])


@unittest.skipIf(os.geteuid() != 0 or not shutil.which('setpriv'), 'only root can be somebody else')
class Permission(Case):
    def setUp(self):
        super().setUp()
        r = subprocess.run(['setpriv', f'--reuid={NOBODY}', '--clear-groups', '--', TARN, '--version'], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        if r.returncode != 0:
            self.skipTest('another user may not run the command where it was built')
        self.tarn('create', 'posix:/a')

    def test_others(self):
        for command in ('info', 'check'):
            self.tarn(command, 'posix:/a', uid=NOBODY, status=3, says='no permission to read it: owner 0, group 0, mode 0600')
        self.tarn('create', 'posix:/a', uid=NOBODY, status=3, says='no permission')
        self.tarn('rm', 'posix:/a', uid=NOBODY, status=3)
        self.tarn('create', 'posix:/b', uid=NOBODY, status=3, says='Permission denied')
        self.assertEqual([p.name for p in self.dir.iterdir()], ['a'])

    def test_readable(self):
        """Read permission is enough to look; the owner is root."""
        (self.dir / 'a').chmod(0o644)
        self.assertEqual(self.info('posix:/a', uid=NOBODY)['segment']['mode'], '0644')
        self.tarn('check', 'posix:/a', uid=NOBODY)
        self.tarn('rm', 'posix:/a', uid=NOBODY, status=3)

    def test_of_another(self):
        """Looked at as far as the mode allows, by root always; and removed by who may."""
        os.chown(self.dir / 'a', NOBODY, NOBODY)
        self.assertEqual(self.info('posix:/a')['segment']['uid'], NOBODY)
        self.tarn('check', 'posix:/a')
        self.tarn('info', 'posix:/a', uid=NOBODY)
        self.tarn('info', 'posix:/a', uid=NOBODY - 1, status=3, says=f'no permission to read it: owner {NOBODY}')
        (self.dir / 'a').chmod(0o644)
        self.assertIn(f'({NOBODY})', self.tarn('info', 'posix:/a', uid=NOBODY - 1))
        self.tarn('check', 'posix:/a', uid=NOBODY - 1)
        self.tarn('rm', 'posix:/a', uid=NOBODY - 1, status=3)
        self.tarn('rm', 'posix:/a')


class Channels(Case):
    URL = 'posix:/c'

    def pub(self, text, *arguments, **options):
        return self.tarn('pub', '--create', *arguments, self.URL, 'news', input=text, **options)

    def sub(self, *arguments, **options):
        return self.tarn('sub', *arguments, self.URL, 'news', **options)

    def test_lines(self):
        self.pub(b'one\ntwo\n\nlast without newline')
        self.assertEqual(self.sub('--history', '--count', '4'), 'one\ntwo\n\nlast without newline\n')
        self.assertEqual(self.sub('--latest'), 'last without newline\n')
        stat = self.info(self.URL)
        self.assertEqual([(n['name'], n['type']) for n in stat['names']], [('news', 'tarn_topic')])

    def test_json(self):
        self.pub(b'a "quoted" \xc3\xa9\x01\n\xff\x00\n')
        first, second = (json.loads(line) for line in self.sub('-J', '--history', '--count', '2').splitlines())
        self.assertEqual((first['sequence'], first['lost'], first['size'], first['text']), (0, 0, 14, 'a "quoted" \u00e9\x01'))
        self.assertLess(first['sent_ns'], second['sent_ns'] + 1)
        self.assertEqual((second['sequence'], second['size'], second['base64']), (1, 2, '/wA='))

    def test_forms(self):
        self.pub(b'a\nb\0c', '--raw')
        out = subprocess.run([TARN, 'sub', '--latest', '--raw', self.URL, 'news'], env=self.env, stdout=subprocess.PIPE, check=True)
        self.assertEqual(out.stdout, b'a\nb\0c')
        prefixed = struct.pack('<I', 3) + b'x\ny' + struct.pack('<I', 0)
        self.pub(prefixed, '--prefixed')
        out = subprocess.run([TARN, 'sub', '--history', '--count', '3', '-p', self.URL, 'news'], env=self.env, stdout=subprocess.PIPE, check=True)
        self.assertEqual(out.stdout, struct.pack('<I', 5) + b'a\nb\0c' + prefixed)
        self.pub(struct.pack('<I', 9) + b'short', '-p', status=1, says='ends within message 1')

    def test_bounds(self):
        self.pub(b'12345678\n', '--message', '8', '--capacity', '4')
        self.pub(b'x\n123456789\n', status=1, says='message 2 of the input has more than 8 bytes')
        self.assertEqual(self.sub('--latest'), 'x\n')
        self.pub(b''.join(b'%d\n' % i for i in range(9)))
        self.assertEqual(self.sub('--history', '--count', '4'), '5\n6\n7\n8\n')
        self.sub('--timeout', '50', status=1, says='no message came to "news" within 50 ms')

    def test_live(self):
        self.pub(b'')
        p = subprocess.Popen([TARN, 'sub', '--count', '2', self.URL, 'news'], env=self.env, stdout=subprocess.PIPE)
        self.addCleanup(p.wait)
        self.addCleanup(p.stdout.close)
        while p.poll() is None:  # until it is there, what is sent is not for it
            self.pub(b'tick\n')
        self.assertEqual(p.stdout.read(), b'tick\ntick\n')
        self.assertEqual(p.wait(), 0)

    def test_interrupt(self):
        self.pub(b'')
        century = self.dir / 'century'
        century.write_bytes(self.recording(8, b'news', [(0, b'first'), (2**64 - 1, b'second'), (0, b'third')]))
        for arguments in (['sub', self.URL, 'news'], ['hz', self.URL], ['record', self.URL, 'news', str(self.dir / 'file')], ['pub', self.URL, 'news'],
                          ['replay', self.URL, 'news', str(century)], ['replay', '--speed', '1e-300', self.URL, 'news', str(century)]):
            p = subprocess.Popen([TARN, *arguments], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            self.addCleanup(p.stdin.close)
            while not self.waits(p):
                self.assertIsNone(p.poll())
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.wait(timeout=30), 0, arguments)

    def test_cut_off(self):
        """Made shorter while it is attached: it ends, and says why."""
        for arguments in (['sub', self.URL, 'news'], ['hz', self.URL], ['record', self.URL, 'news', str(self.dir / 'file')]):
            self.pub(b'')
            p = subprocess.Popen([TARN, *arguments], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.addCleanup(p.stderr.close)
            while not self.waits(p):
                self.assertIsNone(p.poll())
            path = self.dir / self.URL.removeprefix('posix:/')
            os.truncate(path, 4096)
            self.assertEqual(p.wait(timeout=60), 1, arguments)
            self.assertIn(f'tarn {arguments[0]}: {self.URL}: Bus error: it was made shorter meanwhile', p.stderr.read().decode())
            path.unlink()
            self.tarn('create', self.URL, '--limit', '1M')

    @staticmethod
    def waits(p):
        """Its handler of SIGINT is there."""
        caught = re.search(r'SigCgt:\s*(\w+)', pathlib.Path(f'/proc/{p.pid}/status').read_text())
        return caught and int(caught[1], 16) & 2

    def test_hz(self):
        self.pub(b'12345\n' * 10)
        look = json.loads(self.tarn('hz', '-J', '--count', '1', '--interval', '20', self.URL))
        self.assertEqual((look['channel'], look['kind'], look['messages'], look['senders'], look['largest'], look['waiting'], look['behind']),
                         ('news', 'topic', 0, 0, 1024, 10, 0))
        text = self.tarn('hz', '--count', '2', '--interval', '20', self.URL, 'news')
        self.assertRegex(text, r'(?s)\ACHANNEL [^\n]* DEATHS\nnews +topic +0:0 +0\.0( +-){4} +0 +0 +0 +0\nnews [^\n]*\n\Z')
        self.tarn('hz', self.URL, 'olds', status=1, says='no channel "olds"')
        self.tarn('create', 'posix:/empty')
        self.tarn('hz', 'posix:/empty', status=1, says='no channel in')

    def test_hz_names(self):
        """They are not let loose on the terminal, and columns stay columns."""
        for name in (b'\x1b[31mred', 'caf\u00e9 \u6f22\u5b57'.encode(), b'\xff\xc2\x9bbad', 'long \u6f22'.encode() * 9):
            subprocess.run([TARN, 'pub', '--create', self.URL, name], env=self.env, stdin=subprocess.DEVNULL, check=True)
        rows = self.raw('hz', '--count', '1', '--interval', '10', self.URL).decode().splitlines()[1:]
        self.assertEqual(sorted(row[:row.index(' topic')].rstrip() for row in rows),
                         sorted(['?[31mred', 'caf\u00e9 \u6f22\u5b57', '??bad', 'long \u6f22long \u6f22long \u6f22lon']))
        wide = lambda text: sum(2 if c in '\u6f22\u5b57' else 1 for c in text)
        self.assertEqual({wide(row[:row.index(' topic')]) for row in rows}, {24})

    def hz_once(self, *arguments, until, meanwhile):
        """Looks of tarn hz -J at one channel, while something is done again and again, until one is as it should be."""
        p = subprocess.Popen([TARN, 'hz', '-J', '--interval', '100', *arguments], env=self.env, stdout=subprocess.PIPE)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        while True:
            meanwhile()
            if select.select([p.stdout], [], [], 0)[0]:
                look = json.loads(p.stdout.readline())
                if until(look):
                    return look

    def test_hz_kinds(self):
        """Of each kind: how many, how large, how many wait, and how long."""
        self.env['HOLDER_CHANNELS'] = 'yes'
        self.hold('posix:/k')
        for name in ('ring', 'mq'):
            self.tarn('pub', 'posix:/k', name, input=b'1234567\n' * 100)

            def one_out_one_in():
                self.tarn('sub', '--take', '--count', '1', 'posix:/k', name)
                self.tarn('pub', 'posix:/k', name, input=b'1234567\n')
            look = self.hz_once('posix:/k', name, until=lambda look: look['sent'] and look['received'], meanwhile=one_out_one_in)
            self.assertEqual(look['bytes'], 7 * look['messages'])
            self.assertTrue(0 < look['messages'] <= look['sent'], look)
            self.assertAlmostEqual(look['rate'], look['sent'] / look['seconds'], delta=.1)
            self.assertIn(look['behind'], (99, 100))
            self.assertTrue(99 <= look['behind_mean'] <= 100, look)
            self.assertAlmostEqual(look['wait_ns'] / (look['behind_mean'] * look['seconds'] * 1e9 / look['received']), 1, delta=.01)
            self.assertNotIn('p50_ns', look)
        look = self.hz_once('posix:/k', 'call', until=lambda look: look['received'], meanwhile=lambda: self.tarn('call', 'posix:/k', 'call', input=b'abc\n'))
        self.assertEqual((look['kind'], look['receivers'], look['bytes']), ('call', 1, 3 * look['messages']))
        self.assertTrue('wait_ns' in look or 'wait_below_ns' in look)
        self.pub(b'')
        look = self.hz_once(self.URL, until=lambda look: look['sent'] and 'p50_ns' in look, meanwhile=lambda: self.pub(b'12345\n'))
        self.assertEqual((look['kind'], look['bytes']), ('topic', 5 * look['messages']))
        self.assertNotIn('wait_ns', look)  # nobody has a seat
        self.assertTrue(0 < look['p50_ns'] <= look['p99_ns'])

    def test_hz_live(self):
        """Channels that come, go, and are made anew as another."""
        self.env['HOLDER_CHANNELS'] = 'yes'
        holder, _ = self.hold('posix:/k')
        self.tarn('pub', 'posix:/k', 'ring2', input=b'x\n' * 5)
        p = subprocess.Popen([TARN, 'hz', '-J', '--interval', '10', '--count', '2000', 'posix:/k'], env=self.env, stdout=subprocess.PIPE)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        self.assertEqual([json.loads(p.stdout.readline())['channel'] for _ in range(5)], ['call', 'mq', 'mq2', 'ring', 'ring2'])
        holder.stdin.write(b'u')
        holder.stdin.flush()
        lines = []
        while lines[-5:] != ['call', 'mq', 'mq2', 'ring', 'call']:
            lines.append(json.loads(p.stdout.readline())['channel'])
        holder.stdin.write(b'm')
        holder.stdin.flush()
        while (look := json.loads(p.stdout.readline()))['channel'] != 'ring2':
            pass
        self.assertEqual((look['kind'], look['sent'], look['rate']), ('topic', 0, 0))
        p.send_signal(signal.SIGINT)
        p.stdout.read()
        self.assertEqual(p.wait(timeout=30), 0)

    def test_record(self):
        file = str(self.dir / 'file')
        text = b''.join(b'message %d\n' % i for i in range(50))
        self.pub(text)
        self.tarn('record', '--history', '--count', '50', self.URL, 'news', file)
        self.tarn('record', self.URL, 'news', file, status=1, says='is there already')
        self.tarn('replay', '--create', '--speed', '0', 'posix:/again', 'olds', file)
        self.assertEqual(self.tarn('sub', '--history', '--count', '50', 'posix:/again', 'olds').encode(), text)
        self.tarn('replay', '--speed', '1e6', 'posix:/again', 'olds', file)
        listed = self.raw('replay', '--list', file)
        told = [json.loads(line) for line in listed.splitlines()]
        self.assertEqual([j['sequence'] for j in told], list(range(50)))
        self.assertEqual(told[0]['after_ns'], 0)
        self.assertEqual(''.join(j['text'] + '\n' for j in told).encode(), text)
        self.raw('pub', '-J', '--create', self.URL, 'listed', input=listed)
        self.assertEqual(self.raw('sub', '--history', '--count', '50', self.URL, 'listed'), text)
        self.tarn('replay', '--list', self.URL, 'news', file, status=2, says='one argument')
        self.tarn('replay', '--list', '--create', file, status=2, says='without --create')
        whole = pathlib.Path(file).read_bytes()
        for cut in (0, 5, 30, len(whole) - 3):
            part = self.dir / 'part'
            part.write_bytes(whole[:cut])
            self.tarn('replay', '--speed', '0', 'posix:/again', 'olds', str(part), status=1,
                      says='ends within a message' if cut > 30 else 'no recording' if cut < 30 else False)
        (self.dir / 'part').write_bytes(b'no zstd at all, just some words')
        self.tarn('replay', 'posix:/again', 'olds', str(self.dir / 'part'), status=1, says='is no recording')
        self.tarn('replay', 'posix:/again', 'olds', str(self.dir / 'none'), status=1, says='No such file')

    def test_killed_recorder(self):
        """What it had a second ago is in the file."""
        file = str(self.dir / 'file')
        self.pub(b'')
        p = subprocess.Popen([TARN, 'record', self.URL, 'news', file], env=self.env)
        pub = subprocess.Popen([TARN, 'pub', '--every', '5', self.URL, 'news'], env=self.env, stdin=subprocess.PIPE)
        pub.stdin.write(b'tick\n' * 1000)
        pub.stdin.flush()
        start = len(pathlib.Path(file).read_bytes()) if os.path.exists(file) else 0
        while not os.path.exists(file) or os.path.getsize(file) < start + 40:
            time.sleep(.05)
        p.kill()
        p.wait()
        pub.kill()
        pub.wait()
        pub.stdin.close()
        self.tarn('replay', '--create', '--speed', '0', 'posix:/again', 'news', file, status=1, says='ends within a message')
        self.assertEqual(self.tarn('sub', '--latest', 'posix:/again', 'news'), 'tick\n')

    def test_wrong(self):
        self.pub(b'')
        for arguments, status, says in (
                (['pub'], 2, 'no URL'), (['pub', self.URL], 2, 'no NAME'), (['sub', self.URL, 'a', 'b'], 2, 'one argument too many'),
                (['record', self.URL, 'news'], 2, 'no FILE'), (['pub', self.URL, 'olds'], 1, 'no channel "olds" in posix:/c: tarn info tells its names, and --create would'),
                (['sub', self.URL, 'olds'], 1, 'no channel "olds" in posix:/c: tarn info tells its names\n'), (['call', self.URL, 'olds'], 1, 'no channel "olds"'),
                (['pub', '--create', 'memfd:x', 'news'], 2, 'no name to be found by'), (['call', 'anon:', 'news'], 2, 'no name to be found by'),
                (['pub', 'posix:/none', 'news'], 1, 'there is none; --create would make it'), (['sub', 'posix:/none', 'news'], 1, 'there is none; tarn create would'),
                (['sub', '--take', 'posix:/none', 'news'], 1, 'there is none; tarn create would'), (['call', 'posix:/none', 'news'], 1, 'there is none; tarn create would'),
                (['pub', '--create', '--message', '1G', '--capacity', '100000', self.URL, 'large'], 2, 'the topic was to be for 100000 messages of up to 1073741824 bytes'),
                (['sub', self.URL, '\x1b[31mred'], 1, 'no channel "\\x1b[31mred" in'), (['sub', self.URL, 'a\u009bb'], 1, 'no channel "a\\xc2\\x9bb" in'),
                (['pub', '--message', '8', self.URL, 'news'], 2, 'with --create'), 
                (['sub', '--latest', '--count', '1', self.URL, 'news'], 2, '--latest prints one'), (['sub', '--count', '0', self.URL, 'news'], 2, 'from 1 on'),
                (['replay', '--speed', 'x', self.URL, 'news', 'f'], 2, 'it is a factor'), (['hz', '--interval', '1', self.URL], 2, 'from 10'),
                (['call', self.URL, 'news'], 1, '"news" is a topic, and answers nothing')):
            self.tarn(*arguments, status=status, says=says, stdin=subprocess.DEVNULL)

    def test_other_kinds(self):
        """A ring and a queue, made by a program of the library's user; here by holder."""
        self.env['HOLDER_CHANNELS'] = 'yes'
        self.hold('posix:/k')
        for name in ('ring', 'mq'):
            self.tarn('pub', 'posix:/k', name, input=b'one\ntwo\n')
            self.tarn('sub', 'posix:/k', name, status=1, says='only tarn sub --take')
            look = json.loads(self.tarn('hz', '-J', '--count', '1', '--interval', '20', 'posix:/k', name))
            self.assertEqual((look['kind'], look['waiting']), (name, 2))
            self.assertEqual(self.tarn('sub', '--take', '--count', '2', 'posix:/k', name), 'one\ntwo\n')
            self.tarn('record', 'posix:/k', name, str(self.dir / 'f'), status=1, says='never get')
        self.assertEqual(self.tarn('call', '--timeout', '5000', 'posix:/k', 'call', input=b'abc\ndef\n'), 'ABC\nDEF\n')
        self.tarn('pub', 'posix:/k', 'call', status=1, says='tarn call asks its servers', stdin=subprocess.DEVNULL)
        self.tarn('call', 'posix:/k', 'call', input=b'fail\n', status=3, says='error -5')

    # ---- JSON, in and out ----

    def raw(self, *arguments, **options):
        r = subprocess.run([TARN, *arguments], env=self.env, stdout=subprocess.PIPE, timeout=60, check=True, **options)
        return r.stdout

    @staticmethod
    def messages(most, count):
        """Each byte, and what has many of each kind: text, words in it that need escapes, any bytes; none."""
        r = random.Random(7)
        kinds = (lambda n: r.randbytes(n), lambda n: bytes(r.choice(b'\0"\\\n\t\x7f/a=') for _ in range(n)),
                 lambda n: ''.join(chr(r.choice((0x41, 0xe9, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10ffff)))
                                   for _ in range(n // 4)).encode())
        return [bytes([b]) for b in range(256)] + [b''] + [r.choice(kinds)(r.randint(0, most)) for _ in range(count)]

    def test_json_there_and_back(self):
        sent = self.messages(64, 700)
        text = b''.join(struct.pack('<I', len(m)) + m for m in sent)
        several = ('--history', '--count', str(len(sent)))
        self.pub(text, '-p', '--capacity', '1024', '--message', '64')
        lines = self.raw('sub', '-J', *several, self.URL, 'news')
        for line, message in zip(lines.splitlines(), sent):
            j = json.loads(line)
            self.assertEqual(j['text'].encode() if 'text' in j else base64.b64decode(j['base64'], validate=True), message)
        self.raw('pub', '-J', '--create', '--capacity', '1024', '--message', '64', self.URL, 'again', input=lines)
        self.assertEqual(self.raw('sub', '-p', *several, self.URL, 'again'), text)
        # as others write it: all that is not ASCII as escapes, members in another order
        lines = b''.join(json.dumps(dict(reversed(json.loads(line).items()))).encode() + b'\n' for line in lines.splitlines())
        self.raw('pub', '-J', '--create', '--capacity', '1024', '--message', '64', self.URL, 'other', input=lines)
        self.assertEqual(self.raw('sub', '-p', *several, self.URL, 'other'), text)

    def test_json_other_kinds(self):
        self.env['HOLDER_CHANNELS'] = 'yes'
        self.hold('posix:/k')
        sent = self.messages(64, 100)
        count = ('--count', str(len(sent)))
        lines = b''.join(json.dumps({'base64': base64.b64encode(m).decode()}).encode() + b'\n' for m in sent)
        self.raw('pub', '-J', 'posix:/k', 'ring', input=lines)
        there = self.raw('sub', '--take', '-J', *count, 'posix:/k', 'ring')
        self.raw('pub', '-J', 'posix:/k', 'ring2', input=there)
        self.assertEqual(self.raw('sub', '--take', '-p', *count, 'posix:/k', 'ring2'), b''.join(struct.pack('<I', len(m)) + m for m in sent))
        # a queue: the highest priority first, and of each in order
        lines = b''.join(json.dumps({'base64': base64.b64encode(m).decode(), 'priority': i % 4}).encode() + b'\n' for i, m in enumerate(sent))
        self.raw('pub', '-J', 'posix:/k', 'mq', input=lines)
        there = self.raw('sub', '--take', '-J', *count, 'posix:/k', 'mq')
        self.assertEqual([j['priority'] for j in map(json.loads, there.splitlines())],
                         [level for level in (3, 2, 1, 0) for i in range(len(sent)) if i % 4 == level])
        self.raw('pub', '-J', 'posix:/k', 'mq2', input=there)
        self.assertEqual(self.raw('sub', '--take', '-J', *count, 'posix:/k', 'mq2'), there)
        self.tarn('pub', '-J', 'posix:/k', 'mq', input=b'{"text": "a", "priority": 3}\n{"text": "b", "priority": 4}\n', status=1,
                  says='line 2 of the input: tarn_mq_send_timed: priority 4: "mq" has 0 to 3. Nothing of it was sent')
        self.assertEqual(json.loads(self.tarn('sub', '--take', '-J', '--count', '1', 'posix:/k', 'mq')), {'priority': 3, 'size': 1, 'text': 'a'})
        self.tarn('pub', '-J', 'posix:/k', 'ring', input=b'{"text": "a", "priority": 1}\n', status=1, says='"priority" is 1, and this channel has none')
        self.tarn('pub', '-J', 'posix:/k', 'ring', input=b'{"text": "a", "priority": 0}\n')
        answers = self.raw('call', '-J', 'posix:/k', 'call', input=b'{"text": "ab"}\n{"base64": "/2E="}\n')
        self.assertEqual([json.loads(a) for a in answers.splitlines()], [{'size': 2, 'text': 'AB'}, {'size': 2, 'base64': '/0E='}])
        self.assertEqual(self.raw('call', '-J', 'posix:/k', 'call', input=answers), answers)
        self.tarn('call', '-J', 'posix:/k', 'call', input=b'ab\n', status=1, says='line 1 of the input: it is no JSON')

    def test_json_hostile(self):
        self.pub(b'', '--message', '8')
        for line, says in (
                (b'', 'no JSON'), (b'x', 'no JSON'), (b'{"text": "a"', 'no JSON'), (b'{"text": "a"} {}', 'no JSON'), (b'{"text": "a"}\0', 'no JSON'),
                (b'{"text": "\xff"}', 'decode byte 0xff'), (b'{"text": "\\ud800"}', 'invalid Unicode'), (b'{"text": "\\x"}', 'invalid escape'),
                (b'{"text": "\x1b"}', 'control character'), (b'{"text": "a", "text": "b"}', 'duplicate'), (b'{"text": "a", "lost": 1e999}', 'overflow'),
                (b'{"text": "a", "lost": 99999999999999999999}', 'too big'), (b'[' * 3000, 'maximum parsing depth'),
                (b'[{"text": "a"}]', 'no JSON object'), (b'{}', 'neither "text" nor "base64"'), (b'{"size": 1}', 'neither'),
                (b'{"text": "a", "base64": "YQ=="}', 'both'), (b'{"text": null}', '"text" is to be a string'), (b'{"text": ["a"]}', '"text" is to be a string'),
                (b'{"base64": 1}', '"base64" is to be a string'), (b'{"text": "a", "size": "1"}', '"size" is to be a whole number from 0 on'),
                (b'{"text": "a", "size": -1}', '"size" is to be'), (b'{"text": "a", "size": 1.0}', '"size" is to be'),
                (b'{"text": "a", "priority": 0.5}', '"priority" is to be a whole number'), (b'{"text": "a", "lost": true}', '"lost" is to be a number'),
                (b'{"text": "a", "sequence": {}}', '"sequence" is to be a number'), (b'{"text": "a", "priority": 9}', 'this channel has none'),
                (b'{"txt": "a"}', '"txt" is no member of a message'), (b'{"text": "a", "\\u001b]0;title": 1}', '"?]0;title" is no member'),
                (b'{"text": "a", "size": 2}', '"size" is 2, and the message has 1 bytes'), (b'{"text": "123456789"}', 'has 9 bytes, and the channel\'s largest 8'),
                (b'{"base64": "a"}', 'wrong at its character 2'), (b'{"base64": "YWJj YQ=="}', 'at its character 5'), (b'{"base64": "YWI"}', 'at its character 4'),
                (b'{"base64": "YWJ="}', 'at its character 3'), (b'{"base64": "YR=="}', 'at its character 2'), (b'{"base64": "Y==="}', 'at its character 2'),
                (b'{"base64": "===="}', 'at its character 1'), (b'{"base64": "YQ==YQ=="}', 'at its character 3'), (b'{"base64": "YW_j"}', 'at its character 3'),
                (b'{"base64": "="}', 'at its character 2'), (b'{"base64": "YQ\\u0000="}', 'at its character 3'),
                (b' ' * 5000 + b'{"text": "a"}', 'more than 4144 bytes')):
            with self.subTest(line=line[:80]):
                self.pub(b'{"text": "good"}\n' + line + b'\n{"text": "more"}\n', '-J', status=1, says='tarn pub: line 2 of the input: ')
                err = subprocess.run([TARN, 'pub', '-J', self.URL, 'news'], env=self.env, input=line + b'\n', stderr=subprocess.PIPE).stderr.decode()
                self.assertIn(says, err)
                self.assertTrue(err.endswith('Nothing of it was sent\n') and err.isprintable() is False and err[:-1].isprintable(), err)
                self.assertEqual(self.sub('--latest'), 'good\n')
        self.pub(b' {\t"text":"a", "sequence": 1e18,"sent_ns":1, "after_ns": 0.5 , "size":1}\r', '-J')  # the last newline may be missing
        self.assertEqual(self.sub('--latest'), 'a\n')

    def test_json_damaged(self):
        """Lines with random damages: refused, and then nothing is sent; or what another reader of JSON takes them for."""
        r = random.Random(11)
        seeds = (b'{"sequence": 12, "sent_ns": 34, "lost": 0, "size": 5, "text": "a\\u00e9\\"b"}', b'{"priority": 0, "base64": "AP+AYWI="}')
        self.pub(b'', '--message', '32')
        taken = 0
        for turn in range(120):
            line = bytearray(r.choice(seeds))
            for _ in range(r.randint(1, 2)):
                at = r.randrange(len(line))
                line[at:at + r.randint(0, 2)] = bytes(r.choice(b'{}[]",:\\u0123456789abcAtx=+/ -.\xc3\xa9\xff') for _ in range(r.randint(0, 2)))
            p = subprocess.run([TARN, 'pub', '-J', self.URL, 'news'], env=self.env, input=b'{"text": "before"}\n' + line, stderr=subprocess.PIPE, timeout=60)
            latest = self.raw('sub', '--latest', '-r', self.URL, 'news')
            if p.returncode == 0:
                j = json.loads(line.decode())
                self.assertEqual(latest, j['text'].encode() if 'text' in j else base64.b64decode(j['base64'], validate=True), line)
                taken += 1
            else:
                self.assertEqual((p.returncode, latest), (1, b'before'), (line, p.stderr))
                self.assertTrue(p.stderr.startswith(b'tarn pub: line 2 of the input: '), p.stderr)
        self.assertTrue(10 < taken < 110, taken)

    def test_long_input(self):
        """No more is read than a message can have."""
        self.pub(b'')
        (self.dir / 'long').touch()
        os.truncate(self.dir / 'long', 16 << 20)
        for form, says in (([], 'message 1 of the input has more'), (['-J'], 'line 1 of the input: it has more'), (['-r'], 'message 1 of the input has more')):
            with open(self.dir / 'long', 'rb') as zeros:
                self.tarn('pub', *form, self.URL, 'news', stdin=zeros, status=1, says=says)
                self.assertLess(os.lseek(zeros.fileno(), 0, os.SEEK_CUR), 1 << 20)

    def test_interrupt_writing(self):
        """Nobody reads what it prints."""
        self.pub(b'0123456789abcde\n' * 8192, '--capacity', '8192')
        p = self.started('sub', '--history', self.URL, 'news')
        full, was = b'', None
        while not self.waits(p) or was != full or not any(full):  # the pipe has no room
            was, full = full, fcntl.ioctl(p.stdout, termios.FIONREAD, b'\0' * 4)
            time.sleep(.02)
        p.send_signal(signal.SIGINT)
        self.assertEqual((p.wait(timeout=30), p.stderr.read()), (0, b''))

    def test_interrupt_busy(self):
        """Messages of no bytes, without an end."""
        self.pub(b'')
        with open('/dev/zero', 'rb') as zeros:
            p = subprocess.Popen([TARN, 'pub', '-p', self.URL, 'news'], env=self.env, stdin=zeros)
            while not self.waits(p) or json.loads(self.raw('sub', '-J', '--history', '--count', '1', self.URL, 'news'))['sequence'] < 1000:
                self.assertIsNone(p.poll())
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.wait(timeout=30), 0)

    # ---- what goes wrong ----

    @staticmethod
    def zstd(content):
        """A frame of one raw block."""
        return b'\x28\xb5\x2f\xfd\xa0' + struct.pack('<I', len(content)) + struct.pack('<I', len(content) << 3 | 1)[:3] + content

    def recording(self, most, name, messages):
        return self.zstd(b'tarnrec1' + struct.pack('<II', most, len(name)) + name +
                         b''.join(struct.pack('<QQI', gap, i, len(m)) + m for i, (gap, m) in enumerate(messages)))

    def listed(self, content, status, says):
        (self.dir / 'part').write_bytes(content)
        p = subprocess.run([TARN, 'replay', '--list', self.dir / 'part'], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((p.returncode, p.stderr.count(b'\n')), (status, status), p.stderr)
        self.assertIn(says, p.stderr)
        return p.stdout

    def test_hostile_recordings(self):
        """What came before the damage is printed, and one complaint."""
        good = self.recording(8, b'n', [(1, b'one'), (2, b'two'), (3, b'')])
        whole = self.listed(good, 0, b'')
        self.assertEqual([json.loads(line)['text'] for line in whole.splitlines()], ['one', 'two', ''])
        for content, says, lines in (
                (b'', b'is no recording', 0), (b'words', b'is no recording', 0), (self.zstd(b''), b'is no recording', 0), (self.zstd(b'tarnrec2' * 4), b'is no recording', 0),
                (self.zstd(b'tarnrec1'), b'is no recording', 0), (self.zstd(b'tarnrec1' + struct.pack('<II', 8, 5) + b'name'), b'no message in it', 0),
                (self.zstd(b'tarnrec1' + struct.pack('<II', 8, 256) + b'n' * 256), b'make no sense', 0),
                (self.zstd(b'tarnrec1' + struct.pack('<II', 1 << 31, 1) + b'n'), b'make no sense', 0),
                (self.recording(2, b'n', [(0, b'ab'), (0, b'abc'), (0, b'a')]), b'larger than it says', 1),
                (good[:-1] + b'\0' + b'junk behind', b'is damaged', 3), (good + good[9:], b'is damaged', 3)):
            with self.subTest(content=content):
                self.assertEqual(self.listed(content, 1, says).count(b'\n'), lines)

    def test_cut_recording(self):
        file = str(self.dir / 'file')
        self.pub(b''.join(b'message %d\n' % i for i in range(50)))
        self.tarn('record', '--history', '--count', '50', self.URL, 'news', file)
        content = pathlib.Path(file).read_bytes()
        whole = self.listed(content, 0, b'')
        for cut in range(0, len(content), 5):
            self.assertTrue(whole.startswith(self.listed(content[:cut], 1, b'part: it')))
        for at in range(0, len(content), 23):  # a frame has no checksum: what comes of it is any, and no harm
            (self.dir / 'part').write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1:])
            p = subprocess.run([TARN, 'replay', '--list', self.dir / 'part'], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual((p.returncode, p.stderr.count(b'\n')), (p.returncode & 1,) * 2)

    def test_record_interrupted(self):
        """In the midst of a stream; the file is whole."""
        file = str(self.dir / 'file')
        self.pub(b'')
        pub = subprocess.Popen(f'yes | {TARN} pub --every 1 {self.URL} news', shell=True, env=self.env, preexec_fn=os.setsid)
        self.addCleanup(pub.wait)
        self.addCleanup(os.killpg, pub.pid, signal.SIGKILL)
        p = subprocess.Popen([TARN, 'record', self.URL, 'news', file], env=self.env, stderr=subprocess.DEVNULL)
        while not os.path.exists(file) or os.path.getsize(file) < 100:
            self.assertIsNone(p.poll())
            time.sleep(.01)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(timeout=30), 0)
        last = -1
        for line in self.raw('replay', '--list', file).splitlines():
            look = json.loads(line)
            self.assertEqual((look['sequence'] > last, look['text']), (True, 'y'))
            last = look['sequence']
        self.assertGreater(last, 0)

    def test_record_killed_idle(self):
        """What came before it was quiet is in the file, too."""
        file = str(self.dir / 'file')
        self.pub(b'')
        p = subprocess.Popen([TARN, 'record', self.URL, 'news', file], env=self.env)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        while not os.path.exists(file) or os.path.getsize(file) == 0:
            self.assertIsNone(p.poll())
        self.pub(b'one\ntwo\nthree\n')
        start = os.path.getsize(file)
        while os.path.getsize(file) == start:
            self.assertIsNone(p.poll())
            time.sleep(.01)
        p.kill()
        self.assertEqual(self.listed(pathlib.Path(file).read_bytes(), 1, b'ends within a message').count(b'\n'), 3)

    def test_record_full_disk(self):
        mounted = ['unshare', '-m' if os.geteuid() == 0 else '-rm', 'sh', '-c', 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"', str(self.dir)]
        if not shutil.which('unshare') or subprocess.run([*mounted, 'true'], stderr=subprocess.DEVNULL).returncode:
            self.skipTest('no file system may be mounted here')
        disk = self.dir / 'disk'
        disk.mkdir()
        mounted[-1] = str(disk)
        r = random.Random(5)
        lines = b''.join(base64.b64encode(r.randbytes(600)) + b'\n' for _ in range(1000))
        self.pub(lines, '--capacity', '1024')
        script = '"$0" record --history --count 1000 "$1" news "$2/file"; echo "status $?"; "$0" replay --list "$2/file"; echo "status $?"'
        p = subprocess.run([*mounted, 'sh', '-c', script, TARN, self.URL, str(disk)], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        out, err = p.stdout.decode().splitlines(), p.stderr.decode()
        self.assertEqual((out[0], out[-1]), ('status 3', 'status 1'))
        self.assertEqual([json.loads(line)['text'].encode() for line in out[1:-1]], lines.split()[:len(out) - 2])
        self.assertGreater(len(out), 50)
        self.assertRegex(err, r'\Atarn record: .*: No space left on device; what is in it already is good\ntarn replay: .*: it ends within a message.*\n\Z')
        self.tarn('record', '--history', '--count', '1', self.URL, 'news', '/dev/full', status=1, says='there already')

    def test_reader_gone(self):
        self.pub(b'one\ntwo\nthree\n')
        for command in (f'timeout 50 {TARN} sub --history {self.URL} news | head -n 1', f'timeout 50 {TARN} hz -J --interval 3600000 {self.URL} news | true'):
            p = subprocess.run(command, shell=True, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)  # though nothing more comes
            self.assertEqual((p.returncode, p.stderr), (0, b''))
        # what could not be written goes to another, and of what would not be seen nothing is asked
        self.env['HOLDER_CHANNELS'] = 'yes'
        self.hold('posix:/k')
        with open('/dev/full', 'w') as full:
            self.tarn('call', 'posix:/k', 'call', input=b'a\nb\n', stdout=full, status=3, says='could not be written')
        self.assertEqual(json.loads(self.tarn('hz', '-J', '--count', '1', '--interval', '10', 'posix:/k', 'call'))['total'], 1)
        for name in ('ring', 'mq'):
            self.tarn('pub', 'posix:/k', name, input=b'one\ntwo\n')
            with open('/dev/full', 'w') as full:
                self.tarn('sub', '--take', 'posix:/k', name, stdout=full, status=3, says='could not be written')
            self.assertEqual(self.tarn('sub', '--take', '--count', '2', 'posix:/k', name), 'one\ntwo\n')

    def test_closed_descriptors(self):
        """What is printed does not go into the segment, which would have got the descriptor's number."""
        self.env['HOLDER_CHANNELS'] = 'yes'
        self.hold('posix:/k')
        self.tarn('pub', 'posix:/k', 'mq', input=b'message\n' * 3)
        for closing, arguments, status in (('>&-', ['sub', '--take', '--count', '1', 'posix:/k', 'mq'], 3), ('2>&-', ['sub', '--take', 'posix:/k', 'none'], 1),
                                           ('<&-', ['pub', 'posix:/k', 'mq'], 3), ('<&- >&- 2>&-', ['sub', '--take', '--count', '1', 'posix:/k', 'mq'], 3),
                                           ('>&-', ['info', 'posix:/k'], 3)):
            p = subprocess.run(['sh', '-c', f'exec "$0" "$@" {closing}', TARN, *arguments], env=self.env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=60)
            self.assertEqual(p.returncode, status, (closing, arguments))
            self.assertEqual(self.tarn('check', 'posix:/k'), 'posix:/k: no damage\n')
        self.assertEqual(self.tarn('sub', '--take', '--count', '3', 'posix:/k', 'mq'), 'message\n' * 3)

    def test_descriptor(self):
        """The channels of a segment without a name."""
        self.env['HOLDER_CHANNELS'] = 'yes'
        p, fd = self.hold('memfd:k')
        url = f'/proc/{p.pid}/fd/{fd}'
        self.tarn('pub', url, 'ring', input=b'one\ntwo\n')
        self.assertEqual(self.tarn('sub', '--take', '--count', '2', url, 'ring'), 'one\ntwo\n')
        self.assertEqual(self.tarn('call', url, 'call', input=b'abc\n'), 'ABC\n')
        self.tarn('pub', '--create', url, 'news', input=b'x\n')
        mine = os.open(url, os.O_RDWR)
        self.addCleanup(os.close, mine)
        self.assertEqual(self.tarn('sub', '--latest', f'fd:{mine}', 'news', pass_fds=[mine]), 'x\n')
        self.tarn('pub', f'fd:{mine}', 'news', input=b'y\n', pass_fds=[mine])
        self.assertEqual(self.tarn('sub', '--latest', url, 'news'), 'y\n')

    def started(self, *arguments, **options):
        p = subprocess.Popen([TARN, *arguments], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        for cleanup in (p.stdout.close, p.stderr.close, p.wait, p.kill):
            self.addCleanup(cleanup)
        return p

    def subscribed(self, url, name):
        p = self.started('sub', url, name)
        while not select.select([p.stdout], [], [], 0)[0]:
            self.assertIsNone(p.poll())
            self.tarn('pub', url, name, input=b'x\n')
        return p

    def test_nothing_moves(self):
        """For a reason that is said: the segment, or the channel, is gone; nobody is at the other end."""
        self.env['HOLDER_CHANNELS'] = 'yes'
        holder, _ = self.hold('posix:/k')
        holder.stdin.write(b'um')  # "ring2" is a topic
        holder.stdin.flush()
        while subprocess.run([TARN, 'sub', '--latest', 'posix:/k', 'ring2'], env=self.env, stderr=subprocess.PIPE).stderr.find(b'published') < 0:
            self.assertIsNone(holder.poll())
        sub = self.subscribed('posix:/k', 'ring2')
        holder.stdin.write(b'u')
        holder.stdin.flush()
        self.assertEqual(sub.stderr.readline(), b'tarn sub: "ring2" was removed from posix:/k, or made anew\n')
        self.assertEqual(sub.wait(timeout=30), 1)
        pub = self.started('pub', 'posix:/k', 'ring', stdin=subprocess.PIPE)
        pub.stdin.write(b'x\n' * 2000)
        pub.stdin.close()
        self.assertEqual(pub.stderr.readline(), b'tarn pub: "ring" is full, and nobody receives from it: waiting\n')
        self.tarn('sub', '--take', '--count', '1500', 'posix:/k', 'ring')
        self.assertEqual((pub.wait(timeout=30), pub.stderr.read()), (0, b''))
        holder.kill()
        call = self.started('call', 'posix:/k', 'call', stdin=subprocess.PIPE)
        call.stdin.write(b'x\n')
        call.stdin.flush()
        self.assertEqual(call.stderr.readline(), b'tarn call: no server is there to answer "call": waiting for one\n')
        call.send_signal(signal.SIGINT)
        self.assertEqual((call.wait(timeout=30), call.stderr.read()), (0, b''))
        call.stdin.close()
        self.pub(b'')
        sub = self.subscribed(self.URL, 'news')
        self.tarn('rm', self.URL)
        self.assertTrue(sub.stderr.readline().startswith(b'tarn sub: posix:/c was removed meanwhile'))
        sub.send_signal(signal.SIGINT)
        self.assertEqual((sub.wait(timeout=30), sub.stderr.read()), (0, b''))

    def test_permission(self):
        self.pub(b'x\n')
        (self.dir / 'c').chmod(0o644)
        self.assertEqual(self.sub('--latest', uid=NOBODY), 'x\n')
        self.pub(b'y\n', uid=NOBODY, status=3)
        (self.dir / 'c').chmod(0o666)
        self.pub(b'y\n', uid=NOBODY)
        os.chown(self.dir / 'c', NOBODY - 1, NOBODY)
        self.pub(b'z\n', uid=NOBODY, status=3, says="only segments of one's own or root's are attached\n")
        self.assertEqual(self.sub('--latest', uid=NOBODY), 'y\n')
        os.chown(self.dir / 'c', 0, 0)
        (self.dir / 'c').chmod(0o644)
        self.tarn('sub', '--take', self.URL, 'news', uid=NOBODY, status=3, says='no permission to write it')
        self.tarn('record', '--history', '--count', '1', self.URL, 'news', str(self.dir / 'file'), uid=NOBODY, status=3, says='Permission denied')
        self.tarn('record', '--history', '--count', '1', self.URL, 'news', str(self.dir / 'file'))
        (self.dir / 'file').chmod(0o600)
        self.tarn('replay', '--list', str(self.dir / 'file'), uid=NOBODY, status=3, says='Permission denied')


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
