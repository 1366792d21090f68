"""The names of objects: paths, keys and ids spelled so that every service sorts them alike.

Pure. Names sort by bytes on S3, and folder by folder on some that speak its language. The two
orders are one if no character that sorts before `/` follows the whole of another name, so each of
those has a `_` before it; and a file ends in `=`, so that no file has the name of a folder. What
is too long for one step of a path, as those services limit it, goes on in the next behind a `~`.
"""

import re
from hashlib import sha256
from typing import Final

from session_store.errors import InvalidIdError
from session_store.files.paths import check_path

MAX_PATH_BYTES: Final = 860
"""An object's name may take 1,024 bytes; what stands before and behind a path takes the rest."""
MAX_KEY_BYTES: Final = 240
CUT_KEY_BYTES: Final = 150
STEP_BYTES: Final = 240
ON: Final = "~/"
LATEST_MS: Final = (1 << 48) - 1

FILES: Final = "f"
PARTS: Final = "p"
SESSIONS: Final = "i/s"
KEYS: Final = "i/k"
CREATED: Final = "i/c"
FOLDERS: Final = (FILES, PARTS, "i", "probe")
"""Below these lies all that a store keeps, but its mark."""
HASHED: Final = "="

_ODD: Final = re.compile(rb"[^0-9A-Za-z]")
_UUID7: Final = re.compile(
    r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_FIRST: Final = re.compile(r"((?:[^/]*~/)*[^/]*)(/?)")
_STEP: Final = re.compile(r"(?:[0-9A-Za-z]|_[-._]|_[0-9A-F]{2}){1,80}")
_SPELLED: Final = re.compile(r"_([-._]|[0-9A-F]{2})")


def spell(text: str) -> str:
    """Return any text in letters, digits and `_-`, `_.`, `__` and `_` with two hex digits."""
    # Half a character is in no name, but may be asked for.
    data = text.encode("utf-8", "surrogatepass")
    spelled = _ODD.sub(_spell_byte, data).decode("ascii")
    return spelled if len(spelled) <= STEP_BYTES else ON.join(_STEP.findall(spelled))


def _spell_byte(found: re.Match[bytes]) -> bytes:
    byte = found[0]
    return b"_" + byte if byte in b"-._" else b"_%02X" % byte[0]


def unspell(name: str) -> str:
    """Return the text that was spelled so."""
    data = _SPELLED.sub(lambda found: _byte_of(found[1]), name.replace(ON, ""))
    return data.encode("latin-1").decode("utf-8", "surrogatepass")


def _byte_of(code: str) -> str:
    return code if len(code) == 1 else chr(int(code, 16))


def folder_name(folder: str) -> str:
    """Return what the names of all files below a folder begin with, without the last `/`."""
    return f"{FILES}/{_spell_path(folder)}" if folder else FILES


def parts_name(folder: str) -> str:
    """Return the same for the parts of these files."""
    return f"{PARTS}/{_spell_path(folder)}" if folder else PARTS


def head_name(path: str) -> str:
    """Return the name of a file's head, or raise `InvalidIdError`."""
    return f"{FILES}/{_spell_path(path)}="


def part_name(path: str, start: int, token: str) -> str:
    """Return the name of the part of a file that begins at `start`."""
    return f"{PARTS}/{_spell_path(path)}=/{start:x}-{token}"


def _spell_path(path: str) -> str:
    spelled = "/".join(map(spell, check_path(path)))
    if len(spelled) > MAX_PATH_BYTES:
        raise InvalidIdError(path, f"{len(spelled)} bytes as an object; {MAX_PATH_BYTES} at most")
    return spelled


def path_of(name: str) -> str:
    """Return the path of the file whose head or part has this name, else the name itself."""
    kind, _, spelled = name.partition("/")
    if kind not in {FILES, PARTS} or "=" not in spelled:
        return name
    steps = spelled.partition("=")[0].replace(ON, "").split("/")
    return "/".join(map(unspell, steps))


def first_step(below: str) -> tuple[str, bool]:
    """Return the first component of a spelled path, and whether there is more behind it."""
    found = _FIRST.match(below)
    assert found is not None
    return found[1], bool(found[2])


def key_name(key: str) -> str:
    """Return the name of a session key; one too long has a digest in the place of its end."""
    spelled = spell(key)
    if len(spelled) > MAX_KEY_BYTES:
        digest = sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        spelled = f"{spelled[:CUT_KEY_BYTES]}{HASHED}{digest}"
    return f"{KEYS}/{spelled}"


def key_of(name: str) -> str | None:
    """Return the key with this name, None if the name holds only its beginning."""
    spelled = name.rpartition("/")[2]
    return None if HASHED in spelled else unspell(spelled)


def created_name(session_id: str) -> str:
    """Return where it is said when a session was made whose id does not tell it."""
    return f"{CREATED}/{spell(session_id)}"


def session_name(created_ms: float, session_id: str) -> str:
    """Return the name of a session: the later it was made, and the greater its id, the earlier."""
    age = LATEST_MS - _whole(created_ms)
    inverted = bytes(255 - byte for byte in session_id.encode("utf-8", "surrogatepass"))
    # Behind an id comes what sorts after all digits: the longer of two that begin alike is first.
    name = f"{age:012x}{inverted.hex()}g"
    steps = [name[at : at + STEP_BYTES] for at in range(0, len(name), STEP_BYTES)]
    return f"{SESSIONS}/{ON.join(steps)}"


def session_of(name: str) -> str:
    """Return the id of the session with this name."""
    inverted = bytes.fromhex(name.removeprefix(f"{SESSIONS}/").replace(ON, "")[12:-1])
    return bytes(255 - byte for byte in inverted).decode("utf-8", "surrogatepass")


def when_made(session_id: str) -> int | None:
    """Return the time in a UUIDv7, in milliseconds; None for any other id."""
    found = _UUID7.fullmatch(session_id)
    return None if found is None else int(found[1] + found[2], 16)


def _whole(created_ms: float) -> int:
    return min(max(int(created_ms), 0), LATEST_MS)
