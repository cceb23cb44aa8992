"""What gdb shows of tarn: loaded by itself with libtarn.so, from gdb's auto-load directory; or by `source`.

    print mutex, list, vector, bytes, queue, ...     in words, and their members
    print ref                                        its number, and the name of the object in which it lies
    tarn-ref SEG REF [TYPE]                          the address of a ref in this process, as $tarn; its value, if a type is said
    tarn-names SEG                                   what there is in a segment

SEG is an expression of type `tarn *`, or any address in a segment. Segments are found among the process's mappings by their first eight bytes; nothing in the
process is called or written, so it works on a core, too, as far as that has the segments (options.dumped). What is read may be anything: walks are bounded.

SPDX-License-Identifier: MIT"""
import re
import struct

import gdb
import gdb.printing

MAGIC = 0x0a0d6e7261740a1a  # segment_header.magic
ZONE_NAME = 64              # offset of segment_header.zone[1]; and then of ZONE_DATA:
ZONE_DATA = 80
COMMITTED = 256
CHAINS, HEAD = 256, 64      # name/layout.h: name_zone.head
ENTRY = struct.Struct('<QQQQIHH8x')  # struct name_entry
LINK = struct.Struct('<QQQ')         # tarn_link
VECTOR_FIRST = 8                     # elements of chunk 0
MOST_NAMES, MOST_TEXT = 100000, 200


def memory(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack('<Q', memory(address, 8))[0]


def harmless(text):
    """Other people's bytes, for a terminal."""
    return ''.join(c if c.isprintable() and c != '\\' else f'\\x{ord(c):02x}' for c in text.decode('latin-1'))


# ---- segments ----


class Segment:
    """One, where this process has it mapped."""

    def __init__(self, base):
        self.base = base
        self.size = word(base + ZONE_DATA) + word(base + COMMITTED)
        self._names = None

    def has(self, ref, size=1):
        return 0 < ref and ref + size <= self.size

    def read(self, ref, size):
        if not self.has(ref, size):
            raise gdb.MemoryError(f'{ref:#x} is not in the segment')
        return memory(self.base + ref, size)

    def names(self):
        """[(ref, size, name, type)], by ref."""
        if self._names is None:
            found = []
            for head in struct.unpack(f'<{CHAINS}Q', self.read(word(self.base + ZONE_NAME) + HEAD, 8 * CHAINS)):
                self.walk_chain(head, found)
            self._names = sorted(found)
        return self._names

    def walk_chain(self, at, found):
        seen = set()
        while at and at not in seen and len(found) < MOST_NAMES:
            seen.add(at)
            try:
                at_next, _, ref, size, _, type_length, name_length = ENTRY.unpack(self.read(at, ENTRY.size))
                texts = self.read(at + ENTRY.size, type_length + 1 + name_length)
            except gdb.MemoryError:
                return
            found.append((ref, size, harmless(texts[type_length + 1:]), harmless(texts[:type_length])))
            at = at_next

    def named(self, ref):
        """'book + 16', or None."""
        for start, size, name, _ in reversed(self.names()):
            if start <= ref < start + size:
                return name if ref == start else f'{name} + {ref - start}'
        return None

    def text(self, ref):
        if not ref:
            return 'null'
        name = self.named(ref) if self.has(ref) else 'not in the segment'
        return f'{ref:#x}' + (f' <{name}>' if name else '')


known = None  # of this stop


def segments():
    """All that the process has mapped, by address."""
    global known
    if known is None:
        known = []
        try:
            mappings = gdb.execute('info proc mappings', to_string=True)
        except gdb.error:
            mappings = ''
        starts = {int(m[1], 16) for m in re.finditer(r'^\s*(0x[0-9a-f]+)\s+0x[0-9a-f]+\s', mappings, re.M)}
        for start in sorted(starts):
            try:
                if word(start) == MAGIC:
                    known.append(Segment(start))
            except gdb.MemoryError:
                pass
    return known


def forget(_event):
    global known
    known = None


def segment_at(address):
    """In which the address lies, or the only one there is; else None."""
    for s in segments():
        if s.base <= address < s.base + s.size:
            return s
    return segments()[0] if len(segments()) == 1 else None


def segment_of(value):
    address = value.address
    return segment_at(int(address) if address is not None else 0)


def segment_argument(text):
    """A `tarn *`, whose first word is the base; or an address in a segment."""
    value = int(gdb.parse_and_eval(text).cast(gdb.lookup_type('unsigned long')))
    for s in segments():
        if s.base <= value < s.base + s.size:
            return s
    try:
        base = word(value)
    except gdb.MemoryError:
        base = 0
    for s in segments():
        if s.base == base:
            return s
    raise gdb.GdbError(f'{text} is no tarn *, and no address in a segment that is mapped here')


# ---- printers ----


class Printer:
    def __init__(self, value):
        self.value = value

    def field(self, name):
        return self.value[name]


class RefPrinter(Printer):
    def to_string(self):
        ref = int(self.value.cast(gdb.lookup_type('unsigned long')))
        s = segment_of(self.value)
        return s.text(ref) if s else f'{ref:#x}'


def lock_text(mutex):
    owner, waiters = int(mutex['owner']), int(mutex['waiters'])
    text = f'held by participant {owner & 0x7fffffff:#x}' if owner & 0x7fffffff else 'free'
    return text + (', dirty: a holder died' if owner >> 31 else '') + (', waited for' if waiters else '')


class MutexPrinter(Printer):
    def to_string(self):
        return lock_text(self.value)


class LinkPrinter(Printer):
    def to_string(self):
        s, lies_in = segment_of(self.value), int(self.field('list'))
        if not lies_in:
            return 'in no list'
        return 'in list ' + (s.text(lies_in) if s else f'{lies_in:#x}')


class Members(Printer):
    """Of those that have any: gdb says how many are shown (print elements)."""

    def display_hint(self):
        return 'array'

    def lock(self):
        text = lock_text(self.field('lock'))
        return '' if text == 'free' else f' ({text})'


class ListPrinter(Members):
    """Members are links: print a struct by TARN_MEMBER."""

    def links(self):
        s, at = segment_of(self.value), int(self.field('ends')['next'])
        seen = set()
        while s and at and not at & 7 and at not in seen and s.has(at, LINK.size):
            seen.add(at)
            yield s, at
            at = LINK.unpack(s.read(at, LINK.size))[0]

    def to_string(self):
        return f'list of {sum(1 for _ in self.links())} members{self.lock()}'

    def children(self):
        pointer = gdb.lookup_type('tarn_link').pointer()
        for k, (s, at) in enumerate(self.links()):
            yield f'[{k}]', gdb.Value(s.base + at).cast(pointer)


class VectorPrinter(Members):
    def to_string(self):
        return f'vector of {int(self.field("size"))} elements of {int(self.field("element"))} bytes{self.lock()}'

    def children(self):
        s, element = segment_of(self.value), int(self.field('element'))
        whole = {1: 'unsigned char', 2: 'unsigned short', 4: 'unsigned int', 8: 'unsigned long'}.get(element)
        kind = gdb.lookup_type(whole) if whole else gdb.lookup_type('unsigned char').array(element - 1) if element else None
        for k in range(int(self.field('size')) if s and kind else 0):
            chunk = (k // VECTOR_FIRST + 1).bit_length() - 1  # chunk c has room for 2^(c + 3)
            at = int(self.field('chunk')[chunk]) if chunk < 40 else 0
            at += (k - VECTOR_FIRST * ((1 << chunk) - 1)) * element
            if not s.has(at, element):
                return
            yield f'[{k}]', gdb.Value(s.base + at).cast(kind.pointer()).dereference()


class BytesPrinter(Printer):
    def to_string(self):
        s, block = segment_of(self.value), int(self.field('block'))
        if not block:
            return '""'
        try:
            size = struct.unpack('<Q', s.read(block, 8))[0]
            text = s.read(block + 8, min(size, MOST_TEXT))
        except (gdb.MemoryError, AttributeError):
            return f'bytes at {block:#x}'
        return f'"{harmless(text)}"' + (f' and {size - len(text)} bytes more' if size > len(text) else '')


class ChainPrinter(Members):
    """A queue or a stack: its blocks."""

    def to_string(self):
        return f'{self.value.type.strip_typedefs().tag[5:]} of {int(self.field("count"))} blocks{self.lock()}'

    def children(self):
        s, at = segment_of(self.value), int(self.field('first'))
        for k in range(int(self.field('count'))):
            if not s or not at or not s.has(at, 16):
                return
            yield f'[{k}]', gdb.Value(s.base + at).cast(gdb.lookup_type('tarn_node').pointer())
            at = struct.unpack('<Q', s.read(at, 8))[0]


class HandlePrinter(Printer):
    """Of a map or tree: what lies in private memory leads to it. Its struct is known where libtarn has debugging information."""

    def to_string(self):
        ref = int(self.field('ref'))
        s = segment_at(int(self.value['map' if self.kind() == 'map' else 'tree']))
        return f'{self.kind()} of {"numbers" if self.field("u64") else "byte strings"} at ' + (s.text(ref) if s else f'{ref:#x}')

    def kind(self):
        return self.value.type.strip_typedefs().tag[5:]


class ChannelPrinter(HandlePrinter):
    def to_string(self):
        party = self.value[self.value.type.strip_typedefs().fields()[0]]
        does = {0x1000: 'sends', 0x2000: 'receives', 0x3000: 'sends and receives'}.get(int(party['role']), 'looks')
        name = memory(int(party['name'].address), party['name'].type.sizeof).split(b'\0')[0]
        return f'{self.kind()} "{harmless(name)}": its handle {does}'


STRUCTS = {
    'tarn_mutex': MutexPrinter, 'tarn_link': LinkPrinter, 'tarn_list': ListPrinter, 'tarn_vector': VectorPrinter, 'tarn_bytes': BytesPrinter,
    'tarn_queue': ChainPrinter, 'tarn_stack': ChainPrinter, 'tarn_map': HandlePrinter, 'tarn_tree': HandlePrinter, 'tarn_ring': ChannelPrinter,
    'tarn_mq': ChannelPrinter, 'tarn_topic': ChannelPrinter, 'tarn_call': ChannelPrinter,
}


class Printers(gdb.printing.PrettyPrinter):
    def __init__(self):
        super().__init__('tarn')

    def __call__(self, value):
        kind = value.type
        while kind.code == gdb.TYPE_CODE_TYPEDEF:
            if kind.name == 'tarn_ref':
                return RefPrinter(value)
            kind = kind.target()
        printer = STRUCTS.get(kind.tag) if kind.code == gdb.TYPE_CODE_STRUCT and kind.tag and kind.fields() else None
        return printer(value) if printer else None


# ---- commands ----


class TarnRef(gdb.Command):
    """tarn-ref SEG REF [TYPE] - where a ref is in this process: its address is $tarn, and with a type its value is printed."""

    def __init__(self):
        super().__init__('tarn-ref', gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) < 2:
            raise gdb.GdbError('usage: tarn-ref SEG REF [TYPE]')
        s = segment_argument(words[0])
        ref = int(gdb.parse_and_eval(words[1]).cast(gdb.lookup_type('unsigned long')))
        if not s.has(ref):
            raise gdb.GdbError(f'{ref:#x} is not in the segment, which has {s.size:#x} bytes')
        kind = ' '.join(words[2:]) or 'void'
        gdb.execute(f'set $tarn = ({kind} *) {s.base + ref:#x}')
        print(f'{s.text(ref)} is at {s.base + ref:#x}')
        if len(words) > 2:
            print(f'{gdb.parse_and_eval("*$tarn")}')


class TarnNames(gdb.Command):
    """tarn-names SEG - the names that there are in a segment: ref, size, type, name."""

    def __init__(self):
        super().__init__('tarn-names', gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        for ref, size, name, kind in segment_argument(argument).names():
            print(f'{ref:#12x} {size:8} {kind:24} {name}')


gdb.printing.register_pretty_printer(gdb.current_objfile(), Printers(), replace=True)
gdb.events.stop.connect(forget)
TarnRef()
TarnNames()
