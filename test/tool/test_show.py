#!/usr/bin/env python3
"""tarn show: the structs of a program (structs.c), tarn's own objects, damaged programs and segments. usage: test_show.py TARN STRUCTS [unittest arguments]"""
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import unittest

import machine

machine.Case.TARN, machine.Case.HOLDER = (os.path.abspath(p) for p in sys.argv[1:3])
CASES = sys.argv[3:]
STRUCTS = machine.Case.HOLDER
WHOLE = 'all \033'  # the name of an object
BUILT = b'libdw.so' in pathlib.Path(machine.Case.TARN).read_bytes()
needs_types = unittest.skipUnless(BUILT, 'this tarn was built without libdw')


def build_id(path):
    """By readelf, or by nothing."""
    text = subprocess.run(['readelf', '-n', path], stdout=subprocess.PIPE, check=False).stdout.decode()
    found = re.search('Build ID: ([0-9a-f]+)', text)
    return found and found[1]


class Case(machine.Case):
    def setUp(self):
        super().setUp()
        self.ours()
        self.env['LD_LIBRARY_PATH'] = str(pathlib.Path(self.TARN).parent.parent / 'src')  # for copies of the program
        self.p = self.hold('posix:/s')

    def show(self, *arguments, **options):
        return self.tarn('show', 'posix:/s', *arguments, **options)

    def value(self, *arguments, **options):
        return json.loads(self.show(*arguments, '-J', **options))['value']

    def harmless(self, p, seed):
        """However damaged what it was shown: it has ended in order, with no bytes for the terminal. A crash of libdw's is told; one of ours a sanitizer tells."""
        self.assertIn(p.returncode, (0, 1), f'seed {seed}: {p.stderr.decode()}')
        self.assertNotIn(b'\033', p.stdout + p.stderr)
        self.assertNotRegex(p.stderr, rb'buffer-(over|under)flow|use-after|runtime error|memory leaks', f'seed {seed}')

    def tell(self, letter):
        self.p.stdin.write(letter)
        self.p.stdin.flush()
        return int(self.p.stdout.readline())


@needs_types
class Structs(Case):
    def test_every_kind_of_field(self):
        v = self.value(WHOLE)
        self.assertEqual(list(v)[:4], ['lock', 'yes', 'no', 'letter'])
        want = {'yes': True, 'no': False, 'letter': 'q', 'name': 'it\'s "so"', 'full': 'full', 'odd': 'a', 'small': -7, 'id': 'deadbeef', 'negative': -2,
                'large': 2**64 - 1, 'colour': 'BLUE', 'strange': 77, 'rights': 'READ | EXECUTE', 'level': ['HIGH', 'HIGHER', 'HIGHEST', 0], 'three': 5, 'minus': -9, 'wide': 0xabcdef0123,
                'real': 0.1, 'precise': 1e100, 'longer': 2.5, 'not_a_number': 'nan', 'whole': 0x20001, 'halves': [1, 2], 'unnamed': {'inner': 11},
                'corner': [{'x': 0, 'y': 0}, {'x': 3, 'y': -4}], 'grid': [[{'x': 0, 'y': 0}] * 2, [{'x': 9, 'y': 0}, {'x': 0, 'y': 0}]],
                'numbers': [i * i for i in range(16)]}
        self.assertEqual({k: v[k] for k in want}, want)
        self.assertEqual(v['both']['i'], -1)
        for pointer in ('text', 'function', 'self'):
            self.assertRegex(v[pointer], '^0x[0-9a-f]+$')
        ref = json.loads(self.show(WHOLE, '-J'))['ref']
        self.assertEqual(v['plain'], {'ref': ref, 'object': r'all \x1b'})
        self.assertEqual(v['far'], {'ref': 2**40, 'object': None})
        self.assertEqual(v['here']['object'], r'all \x1b')
        self.assertEqual(v['lock'], {'state': 'held', 'owner': 1, 'dirty': 0, 'waiting': 0})
        self.assertEqual(v['event']['state'], 'set')
        self.assertEqual(v['semaphore']['units'], 4)
        self.assertEqual((v['rwlock']['state'], v['rwlock']['readers']), ('read', 1))
        self.assertEqual(v['once']['state'], 'not done')
        self.assertEqual(v['bytes'], {'size': 6, 'content': 'inside'})
        self.assertEqual(v['held'], {'available': 3, 'units': 5, 'waiting': 0})
        self.assertEqual((v['barrier']['members'], v['barrier']['parties'], v['barrier']['arrived'], v['barrier']['broken']), (1, 3, 0, 0))
        self.assertEqual((v['condition'], v['stack']), ({'waiting': 0}, {'count': 0, 'entries': []}))

    def test_who_holds_and_who_waits(self):
        self.hold('posix:/s', 'wait')
        line = self.until(lambda: re.search('lock = held by .*waits', self.show(WHOLE)), 'somebody waits for the lock')[0]
        self.assertRegex(line, rf'held by 0x1 \(process {self.p.pid}\); 0x[0-9a-f]+ waits$')
        self.assertEqual(self.value(WHOLE)['lock']['waiting'], 1)

    def test_a_dead_holder(self):
        self.release(self.p)
        self.assertIn(f'tarn_mutex lock = held by 0x1 (process {self.p.pid}, dead)', self.show(WHOLE, '--elf', STRUCTS))

    def test_as_c_writes_it(self):
        text = self.show(WHOLE)
        self.assertNotIn('\033', text)
        for line in (f'    tarn_mutex lock = held by 0x1 (process {self.p.pid})', '    unsigned int three:3 = 5', '    int minus:5 = -9',
                     '    char name[12] = "it\'s \\"so\\""', '    char odd[6] = "a" and 3 bytes behind its end',
                     '    point_t corner[2] = {{x = 0, y = 0}, {x = 3, y = -4}}', '    enum colour strange = 77, which has no name',
                     '    tarn_ref far = 0x10000000000, which is not in the segment', "    char letter = 'q'", '    struct everything *self = 0x'):
            self.assertTrue(any(have.startswith(line) for have in text.splitlines()), f'{line}\nnot in\n{text}')
        self.assertIn('225, ... 24 more}', text)
        self.assertIn('char odd[6] = "a\\x00b\\x1b\\x0a"', self.show(WHOLE, '--all'))
        self.assertEqual(self.value(WHOLE, '--all')['numbers'], [i * i for i in range(40)])
        self.assertEqual(self.value(WHOLE, '--limit', '3')['numbers'], [0, 1, 4])
        # into a terminal too: it has no odd bytes, and no colours, but in --watch
        seen = machine.on_terminal(lambda out: self.show(WHOLE, stdout=out))
        self.assertNotIn(b'\033', seen)

    def test_a_value_a_line(self):
        lines = dict(line.split(' ', 1) for line in self.show(WHOLE, '--raw').splitlines())
        self.assertEqual(lines['grid[1][0].x'], '9')
        self.assertEqual(lines['lock.owner'], '1')
        self.assertEqual(lines['whole'], '131073')
        self.assertEqual(self.show('number', '--raw'), 'number 7\n')

    def test_types(self):
        self.assertEqual(self.value('number'), 7)
        self.assertEqual(self.value('array'), [0, -1, 0])
        self.assertEqual(self.value('local'), {'only_here': 12345})  # of a function
        self.assertEqual(self.value('tail'), {'count': 2, 'points': [{'x': 0, 'y': 0}, {'x': 0, 'y': 8}]})
        self.assertEqual(self.value('number', '--type', 'point_t'), {'x': 7, 'y': 0})
        self.assertEqual(self.value('number', '--type', 'unsigned char[8]'), '0700000000000000')
        here = json.loads(self.show(WHOLE, '-J'))['value']['here']['ref']
        self.assertEqual(self.value(hex(here + 8), '--type', 'int [2]'), [4, 9])
        self.assertEqual(self.value(str(here + 8), '--type', 'unsigned long'), 4 + (9 << 32))
        self.assertEqual(self.value('number', '--type', 'struct everything', status=1)[:16], '0700000000000000')
        self.assertIn('bytes, and number 8: what is behind those', self.err)
        self.assertEqual(self.value('bytes', status=1)[:28], b'no type at all'.hex())
        self.assertIn('no type "struct unheard_of": say --elf', self.err)
        self.assertIn('no type at all..', self.show('bytes', status=1))
        self.show('number', '--type', 'void', status=1)
        self.show('number', '--type', 'int[', status=1)

    def test_two_types_of_one_name(self):
        r = subprocess.run([self.TARN, 'show', 'posix:/s', 'twice', '-J'], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        self.assertIn(json.loads(r.stdout)['value'], ({'whole': 1}, {'halves': [1, 0]}))
        self.assertIn('several "struct twice"', r.stderr.decode())

    def test_follows_round_a_circle(self):
        v = self.value('first', '--follow', '9')
        self.assertEqual([v['value'], v['next']['to']['value'], v['next']['to']['next']['to']['value']], [1, 2, 3])
        again = v['next']['to']['next']['to']['next']
        self.assertEqual((again['object'], 'to' in again), ('first', False))
        self.assertEqual(v['other']['object'], 'second')
        self.assertNotIn('to', v['other'])
        self.assertIn('shown already', self.show('first', '--follow', '9'))
        self.assertEqual(self.value('first', '--follow', '1')['next']['to']['next']['ref'], self.value('second')['next']['ref'])
        self.assertNotIn('to', self.value('first', '--follow', '1')['next']['to']['next'])
        v = self.value('first', '--as', 'ref=point_t', '--follow', '2')
        self.assertEqual(v['next']['to']['value'], 2)
        v = self.value(WHOLE, '--as', 'here=int[3]', '--follow', '1')
        self.assertEqual(v['here']['to'], [0, 1, 4])

    def test_pointers_where_all_have_one_address(self):
        self.hold('posix:/fixed', 'same')
        v = json.loads(self.tarn('show', 'posix:/fixed', WHOLE, '-J', '--follow', '1'))['value']
        self.assertEqual(v['self']['object'], r'all \x1b')
        self.assertRegex(v['text'], '^0x')


@unittest.skipIf(BUILT, 'this tarn was built with libdw')
class Without(Case):
    def test_bytes(self):
        self.assertEqual(self.value('bytes', status=1)[:28], b'no type at all'.hex())
        self.assertIn('built without libdw', self.err)
        self.assertIn('no type at all..', self.show('bytes', '--elf', STRUCTS, status=1, says='built without libdw'))


class Kinds(Case):
    def test_all_names(self):
        rows = {o['name']: o for o in json.loads(self.show('-J'))['objects']}
        self.assertEqual(len(rows), 25)
        self.assertEqual({k: rows[k]['kind'] for k in ('ages', 'years', 'jobs', 'points', 'string', 'queue', 'news', 'ring', 'first')},
                         {'ages': 'map', 'years': 'tree', 'jobs': 'list', 'points': 'vector', 'string': 'bytes', 'queue': 'queue', 'news': 'topic',
                          'ring': 'ring', 'first': 'struct'})
        self.assertEqual([rows[k]['entries'] for k in ('ages', 'years', 'jobs', 'points', 'queue', 'first')], [1, 3, 2, 20, 3, None])
        self.assertEqual((rows['first']['type'], rows['first']['size'], rows['first']['block']), ('struct node', 24, 32))
        self.assertEqual(rows['jobs']['state'], '2 members')
        self.assertEqual(self.show('--raw', '--no-headings', '-o', 'ENTRIES,NAME', '--sort', 'ENTRIES').splitlines()[0], '20 points')
        self.assertNotIn('\033', self.show())

    def test_entries_as_bytes(self):
        self.assertEqual(self.value('points', '--limit', '2')['entries'], ['00000000', '0100ffff'])
        self.assertIn('... 4 more', self.show('points'))
        self.assertEqual(len(self.value('points', '-a')['entries']), 20)
        self.assertEqual(self.value('words')['entries'], [{'key': r'key\x1b', 'value': 'value'}])
        self.assertEqual(self.value('string'), {'size': 11, 'content': r'some\x00bytes\x0a'})
        self.assertEqual([e['object'] for e in self.value('jobs')['entries']], ['job0', 'job1'])
        self.assertEqual([e['object'] for e in self.value('queue')['entries']], ['block0', 'block1', 'block2'])
        v = self.value('news')
        self.assertEqual((v['sent'], v['latest'], v['parties'][0]['role'], v['parties'][0]['pid']), (1, '05000600', 'send', self.p.pid))
        v = self.value('ring')
        self.assertEqual((v['count'], v['sent'], v['capacity']), (1, 1, 1024))
        self.assertEqual([(self.value(k)['kind'], self.value(k)['parties'][0]['role']) for k in ('mq', 'call')], [('mq', 'both'), ('call', 'receive')])

    @needs_types
    def test_entries_of_a_type(self):
        self.assertEqual(self.value('points', '--entry', 'point_t', '--limit', '2')['entries'], [{'x': 0, 'y': 0}, {'x': 1, 'y': -1}])
        self.assertEqual(self.value('ages', '--key', 'int', '--entry', 'struct point')['entries'], [{'key': -5, 'value': {'x': 1, 'y': 2}}])
        self.assertEqual([e['key'] for e in self.value('years', '--key', 'int32_t')['entries']], [-1, 0, 1])
        self.assertEqual([e['cost'] for e in self.value('queue', '--entry', 'struct block')['entries']], [100, 101, 102])
        for entry in ('struct job', 'struct job.link'):
            jobs = self.value('jobs', '--entry', entry)['entries']
            self.assertEqual([(j['number'], j['what']) for j in jobs], [(0, 'work'), (1, 'work')])
            self.assertEqual((jobs[1]['link']['next'], jobs[0]['link']['previous'], jobs[0]['link']['next'] > 0), (0, 0, True))
        self.value('jobs', '--entry', 'struct job.number', status=1)
        self.assertIn('TYPE.MEMBER', self.err)
        self.assertEqual(self.value('news', '--entry', 'point_t')['latest'], {'x': 5, 'y': 6})
        self.assertEqual(len(self.value('points', '--entry', 'struct everything')['entries']), 16)  # another size: bytes

    @needs_types
    def test_watch(self):
        w = subprocess.Popen([self.TARN, 'show', 'posix:/s', WHOLE, '-J', '--watch', '0.1', '--count', '300', '--limit', '2'], env=self.env,
                             stdout=subprocess.PIPE)
        self.addCleanup(self.end, w)
        looks, text = [], b''
        for line in w.stdout:
            text += line
            if line != b'}\n':
                continue
            looks.append(json.loads(text))
            text = b''
            if len(looks) == 1:
                self.assertEqual(self.tell(b'h'), 1)
            elif looks[-1]['changed']:
                break
        self.assertEqual((looks[0]['changed'], looks[0]['value']['numbers'][0]), ([], 0))
        self.assertEqual((looks[-1]['changed'], looks[-1]['value']['numbers'][0]), (['numbers[0]'], 1))

    @staticmethod
    def end(p):
        p.kill()
        p.stdout.close()
        p.wait()

    def test_watch_marks(self):
        """Without types too: the state of a list, in text; and the list of names."""
        for arguments, first, then in ((('jobs',), '  tarn_list jobs = 2 members {', '* tarn_list jobs = 3 members {   (was 2 members)'),
                                       (('jobs', '--raw'), '- jobs 3 members', '* jobs 4 members'),
                                       (('-o', 'CHANGED,NAME', '--raw', '--no-headings'), '- jobs', 'yes jobs')):
            w = subprocess.Popen([self.TARN, 'show', 'posix:/s', *arguments, '--watch=0.1', '--count', '300'], env=self.env, stdout=subprocess.PIPE)
            self.addCleanup(self.end, w)
            lines = []
            for line in w.stdout:
                lines.append(line.decode().rstrip('\n'))
                if lines[-1] == first and lines.count(first) == 1:
                    self.tell(b'g')
                if lines[-1] == then:
                    break
            self.assertEqual((first in lines, '' in lines, lines[-1]), (True, True, then))

    def watch_on_terminal(self):
        """What is written to a terminal until something has changed."""
        try:
            ours, theirs = os.openpty()
        except OSError as e:
            self.skipTest(f'no terminal to be had here: {e}')
        w = subprocess.Popen([self.TARN, 'show', 'posix:/s', 'jobs', '--watch', '0.1', '--count', '300'], env=self.env, stdout=theirs)
        os.close(theirs)
        text = b''
        for part in (b'jobs = ', b'* tarn_list'):
            while part not in text:
                text += os.read(ours, 4096)
            self.tell(b'g')
        w.terminate()
        w.wait(timeout=60)
        os.close(ours)
        return text

    def test_bold_on_a_terminal(self):
        self.env.pop('NO_COLOR', None)
        self.assertIn(b'\033[1m* tarn_list', self.watch_on_terminal())
        self.env['NO_COLOR'] = '1'
        self.assertNotIn(b'\033', self.watch_on_terminal())

    def test_arguments(self):
        for wrong, says in ((('--follow', 'x', 'a'), '--follow'), (('--watch=0', 'a'), '--watch'), (('--count', '2', 'a'), '--count is of --watch'),
                            (('--as', 'x', 'a'), 'FIELD=TYPE'), (('a', 'b'), 'too many'), (('--type', 'int'), 'say which'), (('-o', 'NAME', 'a'), 'list of names'),
                            (('-J', '--raw', 'a'), 'one of them'), (('--limit', '0', 'a'), '--limit'), (('-o', 'NONE'), 'no column')):
            self.show(*wrong, status=2, says=says)
        self.tarn('show', status=2, says='no URL')
        self.show('none', status=1, says='no object has the name "none"')
        self.show('0x7fffffffff', status=1, says='lies not in its data')
        self.tarn('show', 'posix:/none', status=1)
        self.assertIn('--entry', self.tarn('show', '--help'))


@needs_types
class Programs(Case):
    """Which program has the types."""

    def copy(self, name, **how):
        path = self.dir / name
        shutil.copy(STRUCTS, path)
        if how.get('strip'):
            subprocess.run(['strip', path], check=True)
        return path

    def debug_file(self, name, identity):
        """Where the debugging information of this build id is looked for: the whole program does as well."""
        self.env['TARN_DEBUG_DIR'] = str(self.dir / 'debug')
        path = self.dir / 'debug' / '.build-id' / identity[:2] / f'{identity[2:]}.debug'
        path.parent.mkdir(parents=True)
        shutil.copy(name, path)
        return path

    def made_by(self, program):
        machine.Case.HOLDER = str(program)
        try:
            return self.hold('posix:/p')
        finally:
            machine.Case.HOLDER = STRUCTS

    def p_value(self, *arguments, **options):
        return json.loads(self.tarn('show', 'posix:/p', 'first', '-J', *arguments, **options))['value']

    def test_maker_has_ended(self):
        p = self.made_by(STRUCTS)
        self.assertEqual(self.p_value()['value'], 1)
        q = self.hold('posix:/p', 'join')
        self.release(p)
        self.assertEqual(self.p_value()['value'], 1)  # a participant runs the same program
        self.release(q)
        v = self.p_value(status=1)
        self.assertEqual(v[:8], '01000000')  # its bytes
        self.assertIn(f'build id {build_id(STRUCTS)}', self.err)
        self.assertIn('Say --elf FILE', self.err)
        self.assertEqual(self.p_value('--elf', STRUCTS)['value'], 1)
        self.debug_file(STRUCTS, build_id(STRUCTS))
        self.assertEqual(self.p_value()['value'], 1)

    def test_stripped(self):
        program = self.copy('stripped', strip=True)
        self.made_by(program)
        self.p_value(status=1)
        self.assertIn('stripped', self.err)
        path = self.debug_file(STRUCTS, build_id(STRUCTS))
        self.assertEqual(self.p_value()['value'], 1)
        self.assertEqual(self.p_value('--elf', program)['value'], 1)
        shutil.copy(self.TARN, path)  # of another build id
        self.p_value(status=1)

    def test_another_build(self):
        """Its build id differs by a bit: never taken unasked; with --elf it is, and that is told."""
        program = self.copy('other')
        there = program.read_bytes().index(bytes.fromhex(build_id(STRUCTS)))
        with open(program, 'r+b') as f:
            f.seek(there)
            f.write(bytes([int(build_id(STRUCTS)[:2], 16) ^ 1]))
        p = self.made_by(program)
        self.assertEqual(self.p_value()['value'], 1)  # it is that one's segment
        self.assertNotEqual(self.json('info', 'posix:/p')['segment']['build_id'], self.json('info', 'posix:/s')['segment']['build_id'])
        self.release(p)
        self.p_value(status=1)
        r = subprocess.run([self.TARN, 'show', 'posix:/p', 'first', '--elf', STRUCTS, '-J'], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        self.assertEqual(json.loads(r.stdout)['value']['value'], 1)
        self.assertIn('types may have changed', r.stderr.decode())
        self.assertIn(build_id(STRUCTS), r.stderr.decode())

    def test_made_by_the_command(self):
        """tarn create has no structs: a participant's are taken, which is told."""
        self.tarn('create', 'posix:/p')
        p = self.made_by(STRUCTS)
        r = subprocess.run([self.TARN, 'show', 'posix:/p', 'first', '-J'], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        self.assertEqual(json.loads(r.stdout)['value']['value'], 1)
        self.assertIn('made by tarn create: types are those of', r.stderr.decode())
        self.release(p)
        self.p_value(status=1)
        self.assertIn('Say --elf FILE', self.err)

    @unittest.skipUnless(os.getuid() == 0, 'only root can give a program to another')
    def test_another_users_program(self):
        program = self.copy('theirs')
        os.chown(program, machine.NOBODY, machine.NOBODY)
        self.made_by(program)
        self.p_value(status=1)
        self.assertIn("0 may not be, 1 run another user's program", self.err)
        self.assertEqual(self.p_value('--elf', program)['value'], 1)

    def test_no_build_id(self):
        program = self.copy('without')
        subprocess.run(['objcopy', '--remove-section', '.note.gnu.build-id', program], check=True)
        if build_id(program):
            self.skipTest('objcopy leaves it')
        self.made_by(program)
        self.p_value(status=1)
        self.assertIn('no build id', self.err)
        self.assertEqual(self.p_value('--elf', program)['value'], 1)

    def test_no_program(self):
        for name, content, says in (('empty', b'', 'no ELF file'), ('text', b'#!/bin/sh\n' * 100, 'no ELF file'),
                                    ('short', pathlib.Path(STRUCTS).read_bytes()[:100], ''), ('half', pathlib.Path(STRUCTS).read_bytes()[:20000], '')):
            (self.dir / name).write_bytes(content)
            self.show('first', '--elf', self.dir / name, status=1, says=says)
        self.show('first', '--elf', self.dir, status=1, says='no file')
        self.show('first', '--elf', self.dir / 'none', status=1, says='No such file')
        wide = bytearray(pathlib.Path(STRUCTS).read_bytes())
        wide[4] = 1  # of 32 bits
        (self.dir / 'wide').write_bytes(wide)
        self.show('first', '--elf', self.dir / 'wide', status=1, says='another kind of machine')
        wide[4] = 2
        struct.pack_into('<H', wide, 16, 1)
        (self.dir / 'object').write_bytes(wide)
        self.show('first', '--elf', self.dir / 'object', status=1, says='not linked')

    def test_damaged(self):
        """Bytes of the debugging information are turned over: whatever is shown then, it ends, with one of its statuses."""
        good = pathlib.Path(STRUCTS).read_bytes()
        sections = subprocess.run(['readelf', '-SW', STRUCTS], stdout=subprocess.PIPE, check=True).stdout.decode()
        parts = [(int(m[2], 16), int(m[3], 16)) for m in re.finditer(r'(\.debug_(?:info|abbrev|str|line))\s+PROGBITS\s+\S+\s+(\S+)\s+(\S+)', sections)]
        self.assertGreaterEqual(len(parts), 3)
        seen = set()
        for seed in range(int(os.environ.get('TARN_DAMAGES', '40'))):
            r = random.Random(seed)
            bad = bytearray(good)
            for _ in range(r.choice((1, 3, 30, 300))):
                offset, size = r.choice(parts[:2] if r.random() < .7 else parts)
                bad[offset + r.randrange(size)] = r.choice((0, 0xff, r.randrange(256)))
            path = self.dir / 'damaged'
            path.write_bytes(bad)
            p = subprocess.run([self.TARN, 'show', 'posix:/s', r.choice((WHOLE, 'first', 'tail')), '-a', '--follow', '3', '--elf', path], env=self.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=150, check=False)
            self.harmless(p, seed)
            seen.add(p.returncode)
        self.assertEqual(seen, {0, 1})


class Segments(Case):
    def test_damaged(self):
        """Bytes of a copy of the segment are turned over, behind its header."""
        good = (self.dir / 's').read_bytes()
        first = json.loads(self.show('-J'))['objects']
        low, high = min(o['ref'] for o in first), max(o['ref'] + o['size'] for o in first)
        for seed in range(int(os.environ.get('TARN_DAMAGES', '25'))):
            r = random.Random(seed)
            bad = bytearray(good)
            for _ in range(r.choice((1, 10, 1000))):
                o = r.choice(first)
                at = r.choice((r.randrange(512, len(bad)), r.randrange(low, high), o['ref'] + r.randrange(o['size'])))
                bad[at] = r.choice((0, 0xff, r.randrange(256)))
            (self.dir / 'd').write_bytes(bad)
            for arguments in ((), (r.choice(first)['name'].replace('\\x1b', '\033'), '-a', '--follow', '20', '--elf', STRUCTS, '--entry', 'struct job')):
                p = subprocess.run([self.TARN, 'show', 'posix:/d', *arguments], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100,
                                   check=False)
                self.harmless(p, seed)

    def test_cut_off(self):
        """Truncated while it is watched: the child ends by SIGBUS, and the command tells."""
        (self.dir / 'c').write_bytes((self.dir / 's').read_bytes())
        w = subprocess.Popen([self.TARN, 'show', 'posix:/c', 'first', '--watch', '0.1', '--count', '600', '--elf', STRUCTS], env=self.env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(lambda: (w.kill(), w.stdout.close(), w.stderr.close(), w.wait()))
        self.assertTrue(w.stdout.readline())
        os.truncate(self.dir / 'c', 4096)
        self.assertEqual(w.wait(timeout=70), 1)
        self.assertRegex(w.stderr.read().decode(), 'Bus error|AddressSanitizer')

    def test_stamp(self):
        segment = self.json('info', 'posix:/s')['segment']
        self.assertEqual(segment['build_id'], build_id(STRUCTS))
        self.assertIn(build_id(STRUCTS), self.tarn('info', 'posix:/s'))

    def test_one_made_before(self):
        """A stamp of nothing, as a tarn before this one leaves it: it is good, and says so."""
        image = bytearray((self.dir / 's').read_bytes())
        at = image.index(bytes.fromhex(build_id(STRUCTS)), 0, 256)
        image[at:at + 32] = bytes(32)
        size_at = at - 12
        self.assertEqual(struct.unpack_from('<I', image, size_at)[0], len(build_id(STRUCTS)) // 2)
        struct.pack_into('<I', image, size_at, 0)
        total = 0xcbf29ce484222325
        for byte in image[:248]:
            total = ((total ^ byte) * 0x100000001b3) % 2**64
        struct.pack_into('<Q', image, 248, total)
        (self.dir / 'old').write_bytes(image)
        self.assertIsNone(self.json('info', 'posix:/old')['segment']['build_id'])
        if BUILT:
            self.tarn('show', 'posix:/old', 'first', status=1, says='no build id')
        self.tarn('show', 'posix:/old')


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *CASES])
