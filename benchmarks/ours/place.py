"""Where a row works on an engine that others use as well."""

from pathlib import Path

from session_store.files.urls import room_of


def place_of(folder: Path, url: str) -> str:
    """Return the URL of a store of the row's own, named after its scratch folder."""
    room = room_of(url)
    assert room is not None
    place: str = room.place_in(url, folder.parent.name.rpartition("-")[2])
    return place
