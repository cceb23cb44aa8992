#!/usr/bin/env python3
"""The library's USDT probes: docs/tracing.md names each, and gdb, where it is, stops at them with the arguments that are told. usage: test_probes.py LIBRARY EXAMPLE TRACING.md"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY, EXAMPLE, PAGE = (os.path.realpath(p) for p in sys.argv[1:4])
SKIP = 77


def run(*command, **more):
    return subprocess.run(command, env=dict(os.environ, LC_ALL='C.UTF-8', **more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=100, check=False).stdout.decode()


def probes():
    """{name: number of arguments} of each note in the library."""
    notes = run('readelf', '-n', LIBRARY)
    return {name: len(args.split()) for name, args in re.findall(r'Provider: tarn\s+Name: (\S+)\s.*?Arguments:([^\n]*)', notes, re.S)}


class Probes(unittest.TestCase):
    maxDiff = None

    def test_page_names_each(self):
        page = pathlib.Path(PAGE).read_text(encoding='utf-8')
        told = {name: len(re.sub(r'\(.*?\)', '', args).split(', ')) for name, args in re.findall(r'^\| `(\w+)` \| ([^|]*) \|', page, re.M)}
        there = probes()
        self.assertEqual(told, there)
        self.assertGreater(len(there), 10)

    @unittest.skipUnless(shutil.which('gdb'), 'no gdb')
    def test_gdb_stops_there(self):
        """A segment is opened, a thread attaches, begins and commits a section: in this order, by one handle and one participant."""
        lines = ['set pagination off', 'set confirm off', 'set breakpoint pending on']
        for name in ('open', 'attach', 'section__begin', 'section__commit', 'close'):
            lines += [f'tbreak -probe-stap tarn:{name}']
        lines += ['run', 'printf "open %#lx %s\\n", $_probe_arg0, (char *)$_probe_arg1',
                  'continue', 'printf "attach %#lx %d %s\\n", $_probe_arg0, $_probe_arg1, (char *)$_probe_arg2',
                  'continue', 'printf "begin %#lx %d\\n", $_probe_arg0, $_probe_arg1',
                  'continue', 'printf "commit %#lx %d\\n", $_probe_arg0, $_probe_arg1',
                  'continue', 'printf "close %#lx %s\\n", $_probe_arg0, (char *)$_probe_arg1', 'kill']
        with tempfile.TemporaryDirectory(prefix='tarn-probes-', dir='/dev/shm') as directory:
            said = run('gdb', '-nx', '-batch', '-iex', 'set debuginfod enabled off', *[a for line in lines for a in ('-ex', line)], EXAMPLE, TARN_SHM_DIR=directory)
        found = re.findall(r'^(open|attach|begin|commit|close) (0x[0-9a-f]+) ?(.*)$', said, re.M)
        self.assertEqual([f[0] for f in found], ['open', 'attach', 'begin', 'commit', 'close'], said)
        self.assertEqual(len({f[1] for f in found}), 1, said)
        url = found[0][2]
        self.assertRegex(url, r'^\w+:', said)
        self.assertEqual(found[4][2], url, said)
        self.assertEqual(found[1][2].split(' ', 1)[1], url, said)
        self.assertEqual(found[2][2], found[1][2].split()[0], said)
        self.assertEqual(found[3][2], found[2][2], said)


if __name__ == '__main__':
    if not shutil.which('readelf') or not probes():
        sys.exit(SKIP)  # no sys/sdt.h, or -Dprobes=disabled
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
