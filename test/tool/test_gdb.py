#!/usr/bin/env python3
"""gdb's printers and commands for tarn, on structs.c. usage: test_gdb.py STRUCTS LIBRARY SCRIPT [unittest arguments]"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

STRUCTS, LIBRARY, SCRIPT = (os.path.realpath(p) for p in sys.argv[1:4])
CASES = sys.argv[4:]
SKIP = 77


def gdb(*commands, directory):
    """What it says, when the program has made everything. The script is loaded by gdb itself, from where meson installs it."""
    installed = pathlib.Path(f'{directory}/auto-load{LIBRARY}-gdb.py')
    installed.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, installed)
    before = [f'set auto-load scripts-directory {directory}/auto-load', f'set auto-load safe-path {directory}/auto-load', 'set debuginfod enabled off']
    lines = ['set pagination off', 'set confirm off', 'set print pretty off', 'break ready', 'run posix:/gdb', *commands, 'kill']
    arguments = [a for line in before for a in ('-iex', line)] + [a for line in lines for a in ('-ex', line)]
    env = dict(os.environ, LC_ALL='C.UTF-8', TARN_SHM_DIR=str(directory))
    r = subprocess.run(['gdb', '-nx', '-batch', *arguments, STRUCTS], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=100, check=False)
    return r.stdout.decode()


class Printers(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix='tarn-gdb-', dir='/dev/shm')
        commands = {
            'lock': 'print everything->lock', 'plain': 'print everything->plain', 'here': 'print everything->here', 'far': 'print everything->far',
            'the_ref': 'print the_ref', 'jobs': 'print all_jobs->list', 'points': 'print all_points->vector', 'blocks': 'print all_blocks->queue',
            'string': 'print *the_string', 'map': 'print *the_words', 'topic': 'print *the_topic',
            'ref': 'tarn-ref the_segment the_ref int', 'dollar': 'print $tarn[3]', 'by address': 'tarn-ref everything everything->here',
            'outside': 'tarn-ref the_segment 0x7fffffffffff', 'nonsense': 'tarn-ref 1 2', 'names': 'tarn-names the_segment',
            'damaged': 'set var all_points->vector.chunk[0] = 0x7ffffffffff0', 'damaged points': 'print all_points->vector',
            'circle': 'set var all_jobs->list.ends.next = 8', 'damaged jobs': 'print all_jobs->list',
        }
        text = gdb(*(part for key, c in commands.items() for part in (f'echo \\n== {key}\\n', c)), directory=cls.dir)
        cls.text = text
        cls.said = {p.split('\n', 1)[0]: p.split('\n', 1)[1].strip() for p in text.split('\n== ')[1:]}
        if 'Breakpoint 1, ' not in text and ('ptrace' in text or 'not permitted' in text):
            raise unittest.SkipTest(f'gdb may run no program here: {text[-200:]}')

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def says(self, key, pattern):
        self.assertRegex(self.said.get(key, self.text), pattern)

    def test_refs(self):
        self.says('plain', r'^\$\d+ = 0x[0-9a-f]+ <all \\x1b>$')
        self.says('here', r'^\$\d+ = 0x[0-9a-f]+ <all \\x1b \+ \d+>$')
        self.says('far', r'^\$\d+ = 0x10000000000 <not in the segment>$')
        self.says('the_ref', r'<all \\x1b \+ \d+>$')  # in private memory: of the only segment

    def test_objects(self):
        self.says('lock', r'= held by participant 0x1$')
        self.says('jobs', r'= list of 2 members = \{0x[0-9a-f]+, 0x[0-9a-f]+\}$')
        self.says('points', r'= vector of 20 elements of 4 bytes = \{0, 4294901761, 4294836226, ')
        self.says('blocks', r'= queue of 3 blocks = \{0x[0-9a-f]+, 0x[0-9a-f]+, 0x[0-9a-f]+\}$')
        self.says('string', r'= "some\\x00bytes\\x0a"$')

    def test_handles(self):
        """Their structs are known where libtarn has debugging information."""
        if 'incomplete type' in self.said.get('map', ''):
            self.skipTest('libtarn was built without -g')
        self.says('map', r'= map of byte strings at 0x[0-9a-f]+ <words>$')
        self.says('topic', r'= topic "news": its handle sends$')

    def test_commands(self):
        self.says('ref', r'^0x[0-9a-f]+ <all \\x1b \+ \d+> is at 0x[0-9a-f]+\n0$')
        self.says('dollar', r'= 9$')
        self.says('by address', r'<all \\x1b \+ \d+> is at 0x')
        self.says('outside', 'is not in the segment, which has 0x')
        self.says('nonsense', r'1 is no tarn \*')
        names = self.said['names']
        self.assertRegex(names, r'(?m)^ *0x[0-9a-f]+ +24 struct node +first$')
        self.assertEqual(len(names.splitlines()), 25)

    def test_damage(self):
        self.says('damaged points', r'= vector of 20 elements of 4 bytes')
        self.says('damaged jobs', r'= list of ')
        self.assertNotIn('Traceback', self.text)
        self.assertNotIn('Python Exception', self.text)


if __name__ == '__main__':
    if not shutil.which('gdb'):
        print('there is no gdb here: its printers are not tested')
        sys.exit(SKIP)
    unittest.main(argv=[sys.argv[0], *CASES])
