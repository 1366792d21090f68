"""Changes that keep enough of the shape of our files to get past the first `if`.

A change of plain bytes almost never survives the checksum of a line: so lines are taken out,
put in, said twice and joined, numbers and words are exchanged for others that mean something,
and then, mostly, the checksums are made right again.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

CHECKSUM: Final = re.compile(rb',"crc":"[0-9a-f]{8}"\}(?=\r?$)')
NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
TEXT: Final = re.compile(rb'"(?:[^"\\\n]|\\.)*"')

NUMBERS: Final = (
    *(b"0", b"1", b"2", b"3", b"-1", b"1.5", b"1e400", b"-0.0", b"1E5", b"64", b"999999999"),
    *(str(2**power).encode() for power in (31, 53, 62, 63, 64, 100)),
    *(b"1" + b"0" * power for power in (9, 17, 18, 400, 5000)),
    *(b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"[]", b"{}", b'""', b'"1"'),
)
_NAMES: Final = (
    "id parentId type timestamp role content toolCalls toolResult metadata branch batch key "
    "control crc kind seal fence reset head branch_deleted offset length epoch nonce owner "
    "messageId name created leafMessageId createdAt path logSize renewals acquiredAt "
    "renewedAt ttl fenced released keys sessions journal size format op at sessionId set lazy "
    "recount after next open register update delete add_key remove_key torn rebuild log "
    "messages lastId messageCount updatedAt userId user assistant system tool_call "
    "tool_result compaction custom tool text tool_use tool_calls tool_call_id function "
    "arguments input is_error thinking image image_url source data url"
)
WORDS: Final = (
    *(b'"%s"' % word.encode() for word in _NAMES.split()),
    *(b'""', b'"\\ud83d"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"'),
    *(b'"../x"', b'"a/b"', b'".."', b'"sessions.json"', b'"HEAD"', b'"' + b"x" * 1100 + b'"'),
)
PIECES: Final = (
    *(b"\0", b"\0\0\0\n", b"\n", b"\r\n", b"~", b"~\n", b" ", b"\t\n", b"\xef\xbb\xbf", b"\xff"),
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"{}\n", b"[]\n", b"null\n", b"not JSON\n"),
    *(b"[" * 70, b'{"a":' * 70, b"[" * 1100, b'"batch":[1,2]', b'"batch":[2,2]', b"1" * 500),
)


def mutated(data: bytes, most: int, seed: int, pool: Sequence[bytes]) -> bytes:
    """Return something like `data`, of `most` bytes at the most."""
    dice = random.Random(seed)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5))):
        data = dice.choice(CHANGES)(dice, data, pool)
        if len(data) > most:
            data = data[:most]
    if dice.random() < 0.7:
        data = mended(data)
    return data[:most]


def mended(data: bytes) -> bytes:
    """Return the bytes with each checksum at the end of a line made right."""
    return b"\n".join(map(_mended_line, data.split(b"\n")))


def _mended_line(line: bytes) -> bytes:
    found = CHECKSUM.search(line)
    if found is None:
        return line
    body = line[: found.start()]
    # Some of what stands before may be NUL bytes: they do not belong to the record.
    return body + b',"crc":"%08x"}' % crc32(body.lstrip(b"\0")) + line[found.end() :]


def sealed(dice: random.Random, data: bytes, _pool: Sequence[bytes]) -> bytes:
    """Seal a tail the way a writer does, mostly with the right offset and length.

    The tail is one of junk, or a whole line that is there: it lacked nothing but its LF.
    """
    starts = [0, *(found.end() for found in re.finditer(rb"\n", data))]
    place = dice.choice(starts)
    junk = dice.choice((b'{"id":"torn","type":"us', b"\0" * 9, data[:40].replace(b"\n", b" ")))
    junk += dice.choice((b"~", b"~", b""))
    behind = place
    if dice.random() < 0.5 and len(starts) > 1:
        number = dice.randrange(len(starts) - 1)
        place, behind = starts[number], starts[number + 1]
        junk = data[place : behind - 1]
    wrong = dice.choice((0, 0, 0, 1, -1, 10**18))
    seal = (
        b'{"id":"s%d","parentId":null,"type":"custom","timestamp":1,"control":{"kind":"seal",'
        b'"offset":%d,"length":%d},"crc":"00000000"}'
    ) % (dice.randrange(1000), place, len(junk) + wrong)
    torn = b'{"op":"torn","at":1,"offset":%d,"length":%d,"crc":"00000000"}' % (
        place,
        len(junk) + wrong,
    )
    is_log = data.count(b'"op":') * 2 < len(starts)
    line = mended(seal if is_log or dice.random() < 0.2 else torn)
    return data[:place] + junk + b"\n" + line + b"\n" + data[behind:]


def batched(dice: random.Random, data: bytes, _pool: Sequence[bytes]) -> bytes:
    """Make lines in a row a batch, or the most of one."""
    lines = data.split(b"\n")
    start, count = dice.randrange(len(lines)), dice.randint(1, 5)
    for place, number in enumerate(range(start, min(start + count, len(lines))), 1):
        body = CHECKSUM.sub(b"}", re.sub(rb',"batch":\[[^\]]*\]', b"", lines[number]))
        if body.endswith(b"}"):
            lines[number] = body[:-1] + b',"batch":[%d,%d],"crc":"00000000"}' % (place, count)
    return mended(b"\n".join(lines))


def spliced(dice: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Put a line of another file in."""
    lines = data.split(b"\n")
    donor = dice.choice(pool).split(b"\n") if pool else lines
    lines.insert(dice.randint(0, len(lines)), dice.choice(donor))
    return b"\n".join(lines)


def rearranged(dice: random.Random, data: bytes, _pool: Sequence[bytes]) -> bytes:
    """Take a line out, say it twice, put it elsewhere, join it to the next, or cut it off."""
    lines = data.split(b"\n")
    number = dice.randrange(len(lines))
    match dice.randrange(5):
        case 0:
            del lines[number]
        case 1:
            lines.insert(dice.randint(0, len(lines)), lines[number])
        case 2:
            lines.insert(dice.randint(0, len(lines) - 1), lines.pop(number))
        case 3 if number + 1 < len(lines):
            lines[number] += dice.choice((b"", b"\0", b" ")) + lines.pop(number + 1)
        case _:
            lines[number] = lines[number][: dice.randint(0, len(lines[number]))]
    return b"\n".join(lines)


def exchanged(pattern: re.Pattern[bytes], others: Sequence[bytes]) -> Change:
    """Return what exchanges one match of `pattern` for one of `others`."""

    def change(dice: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
        found = list(pattern.finditer(data))
        if not found:
            return inserted(dice, data, pool)
        chosen = dice.choice(found)
        return data[: chosen.start()] + dice.choice(others) + data[chosen.end() :]

    return change


def inserted(dice: random.Random, data: bytes, _pool: Sequence[bytes]) -> bytes:
    """Put a piece in that means something to some reader."""
    place = dice.randint(0, len(data))
    return data[:place] + dice.choice(PIECES) + data[place:]


def flipped(dice: random.Random, data: bytes, _pool: Sequence[bytes]) -> bytes:
    """Change one byte."""
    place = dice.randrange(len(data)) if data else 0
    return data[:place] + bytes([dice.randrange(256)]) + data[place + 1 :]


CHANGES: Final[tuple[Change, ...]] = (
    sealed,
    batched,
    spliced,
    rearranged,
    rearranged,
    exchanged(NUMBER, NUMBERS),
    exchanged(TEXT, WORDS),
    exchanged(TEXT, WORDS),
    inserted,
    flipped,
)
